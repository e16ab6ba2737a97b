#!/usr/bin/env python3
"""Tempest: tests of a running cloud."""

import json
import pathlib
import typing

import ops

import tempest
from charmkit.interfaces import certificate_transfer
from charmkit.reconciler import Reconciler
from charmkit.service import File, Option, Service

TEMPEST = Service(
    name="tempest",
    files=(
        File(path=tempest.CA_FILE, text="{{ receive_ca_cert.bundle }}", mode=0o644),
        File(path=tempest.SCRIPT, template="validate.py", mode=0o644),
    ),
    needs=(tempest.DOMAIN, certificate_transfer.Requirer()),
    tasks=tempest.tasks,
    options=(
        Option(name="concurrency", minimum=0, maximum=64),
        Option(name="flavor-memory", minimum=64, maximum=65536),
        Option(name="timeout", minimum=60, maximum=3600),
    ),
)


class TempestCharm(ops.CharmBase):
    """Hold Tempest, and run it when asked."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, TEMPEST, templates)
        framework.observe(self.on.validate_action, self._validate)

    def _validate(self, event: ops.ActionEvent) -> None:
        snapshot = self.reconciler.observe()
        order = tempest.order(snapshot, event.params)
        container = self.unit.get_container("tempest")
        if order is None or not container.can_connect():
            event.fail("cannot test the cloud: the unit is not ready; see its status")
            return
        # The account is on standard input, and from there in a file that only the tests can read.
        process = container.exec(
            [tempest.PYTHON, tempest.SCRIPT], stdin=json.dumps(order), user="tempest"
        )
        try:
            output, _ = process.wait_output()
        # Caught without its parameter, which only the cast below can name.
        except ops.pebble.ExecError as error:  # pyright: ignore[reportUnknownVariableType]
            failure = typing.cast("ops.pebble.ExecError[str]", error)
            lines = (failure.stderr or "").strip().splitlines()
            event.fail(f"cannot test the cloud: {lines[-1] if lines else 'no output'}")
            return
        summary = json.loads(output)
        event.set_results(tempest.results(summary))
        if problem := tempest.problem(summary):
            event.fail(problem)


if __name__ == "__main__":
    ops.main(TempestCharm)
