"""Relation interfaces: one module each, named like the interface with `_` for `-`.

A module holds everything about its wire format, and no other file spells a databag key:

- the wire models and the value that a template sees,
- `Requirer` and `Provider` (`charmkit.spec` says what they owe),
- `provider_side(local_app, local_unit) -> RemoteSide` and
  `requirer_side(local_app, local_unit) -> RemoteSide`: test data, what the other end publishes
  once it has seen these bags of ours. They take any bags, also empty ones.

Wire formats are those of the published charms, so ours and theirs can be mixed.
"""
