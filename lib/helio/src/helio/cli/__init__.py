"""The command line: one module per command, each parses, builds a plan, runs it and prints."""

from helio.cli.main import main

__all__ = ["main"]
