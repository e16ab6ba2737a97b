"""What every Helio charm is made of.

Layers, each importing only those before it:

- `spec`: the values that everything else passes around; no effects, no `ops`.
- `interfaces`: one module per relation interface, requirer and provider side by side.
- `plan`: pure; makes a `Plan` from a `Service` and a `Snapshot`.
- `reconciler`: observes, applies, reports. The only layer that talks to `ops`.
"""
