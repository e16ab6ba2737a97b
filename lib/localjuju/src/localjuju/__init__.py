"""An embedded engine that runs unmodified Juju charms on one machine.

`model` holds the state, `resolver` decides what a unit does next, `hooks` serves the hook
commands, `substrate` runs pods, `engine` ties them together, `store` keeps it all in SQLite,
`api` and `cli` answer like `juju`.
"""
