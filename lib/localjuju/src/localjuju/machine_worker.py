"""The worker of one machine: makes it, keeps it running, takes it away."""

from __future__ import annotations

import asyncio
import logging

from localjuju import lifecycle, wanted
from localjuju.model import Action, Life, Machine, Model, Status
from localjuju.substrate.protocol import SubstrateError
from localjuju.worker import Surroundings

_LOG = logging.getLogger(__name__)
_AGAIN_FIRST = 1.0
_AGAIN_LIMIT = 30.0


class MachineWorker:
    """Keeps one machine as the model wants it.

    Args:
        shared: What the engine's workers share.
        model: The model, as the engine holds it.
        machine: The machine, as the model holds it.
    """

    def __init__(self, shared: Surroundings, model: Model, machine: Machine) -> None:
        self.wake = asyncio.Event()
        self._shared = shared
        self._model = model
        self._machine = machine
        self._troubles = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until the machine is to go and nobody is on it, and it is gone."""
        machine, model = self._machine, self._model
        while True:
            self.wake.clear()
            leaving = machine.life is not Life.ALIVE
            if leaving and not model.units_on(machine.id):
                if await self._remove():
                    return
            elif not machine.ready and not (leaving and machine.force):
                await self._ensure()
            else:
                self._begin_tasks()
                await self.wake.wait()

    def _begin_tasks(self) -> None:
        """Begin the commands that operators want run on the machine; side by side."""
        waiting = [
            action
            for action in self._model.actions.values()
            if action.unit == self._machine.id and action.status == "pending"
        ]
        if not waiting:
            return
        for action in waiting:
            action.status, action.started = "running", self._shared.clock.now()
        self._shared.persist(self._model)  # before they begin: they may not run twice
        for action in waiting:
            task = asyncio.create_task(self._execute(action))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _execute(self, action: Action) -> None:
        command = str(action.parameters["command"])
        try:
            code, out, err = await self._shared.substrate.run_on_machine(
                self._model.name, self._machine.id, ("/bin/bash", "-c", command)
            )
        except SubstrateError as error:
            action.status, action.message = "failed", str(error)
        else:
            action.status = "completed" if code == 0 else "failed"
            action.message = "" if code == 0 else f"exit status {code}"
            texts = {
                "stdout": out.decode(errors="replace"),
                "stderr": err.decode(errors="replace"),
            }
            action.results = {"return-code": code} | {k: v for k, v in texts.items() if v}
        action.completed = self._shared.clock.now()
        self._shared.persist(self._model)

    async def _ensure(self) -> None:
        machine, model = self._machine, self._model
        try:
            spec = wanted.machine_spec(model, machine, self._shared.settings.machine_image)
            if not machine.image:
                self._tell("provisioning", f"making it from {spec.image}")
            await self._shared.substrate.ensure_machine(spec)
        except (SubstrateError, wanted.WantedError) as error:
            self._log("WARNING", str(error))
            machine.agent_status = self._status("down" if machine.image else "pending")
            self._tell("provisioning error" if not machine.image else "down", str(error))
            await self._pause()
            return
        self._troubles = 0
        machine.image = machine.image or spec.image
        machine.ready = True
        machine.agent_status = self._status("started")
        self._log("INFO", f"runs from {machine.image}")
        self._tell("running", "Running")

    async def _remove(self) -> bool:
        machine, model = self._machine, self._model
        try:
            await self._shared.substrate.remove_machine(model.name, machine.id)
        except SubstrateError as error:
            self._log("WARNING", str(error))
            await self._pause()
            return False
        for task in self._tasks:
            task.cancel()
        lifecycle.forget_machine(model, machine.id, self._shared.clock.now())
        self._log("INFO", "removed")
        self._shared.persist(model)
        return True

    async def _pause(self) -> None:
        """Let the next attempt wait, longer each time; a change of the model hastens nothing."""
        wait = min(_AGAIN_LIMIT, _AGAIN_FIRST * 2**self._troubles)
        self._troubles = min(self._troubles + 1, 10)
        await self._shared.clock.sleep(wait)

    def _status(self, current: str, message: str = "") -> Status:
        return Status(current, message, self._shared.clock.now())

    def _tell(self, current: str, message: str) -> None:
        held = self._machine.instance_status
        if (held.current, held.message) != (current, message):
            self._machine.instance_status = self._status(current, message)
        self._shared.persist(self._model)

    def _log(self, level: str, message: str) -> None:
        entity = f"machine-{self._machine.id}"
        self._shared.logs.append(self._model.name, entity, level, "machine", message)
        _LOG.info("%s machine %s: %s", self._model.name, self._machine.id, message)
