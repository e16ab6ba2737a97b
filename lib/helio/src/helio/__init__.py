"""The helio command: installs, bootstraps, inspects and removes a Helio cloud.

Read it from the edge inwards: `cli` parses a command line, builds a list of steps (`steps`), and
runs it on a host (`host`) while a reporter (`report`) tells the operator what happens. What is
pure stands apart: `bundle` derives the bundle from the charms, `packing` makes the charm files.
"""
