"""One unit's agent: brings its place up, runs one operation after the other, takes it away.

The place is a pod, or a machine that `machine_worker` keeps.

All decisions are `resolver`'s; here are the effects. The model is changed only between two
awaits, and what belongs together is stored in one transaction by `persist`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import os
import random
import shutil
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from localjuju import lifecycle, resolver, wanted, workload
from localjuju.clock import Clock
from localjuju.hooks.context import FlushError, HookContext
from localjuju.hooks.environment import new_context_id
from localjuju.hooks.server import HookServer
from localjuju.hooks.session import Paths
from localjuju.kubernetes import ACCOUNT_PATH, Accounts
from localjuju.logs import LogStore, entity_of
from localjuju.model import HookKind, Life, Model, Operation, Status, Step, Unit
from localjuju.settings import Settings
from localjuju.substrate.protocol import (
    Dispatch,
    DispatchResult,
    Mount,
    Substrate,
    SubstrateError,
)
from localjuju.trace import Trace, TraceStore

_LOG = logging.getLogger(__name__)
_AGAIN_FIRST = 1.0
_AGAIN_LIMIT = 30.0


@dataclasses.dataclass
class Surroundings:
    """What all workers of an engine share.

    Attributes:
        hook_slots: Bounds the hooks that run at the same time.
        action_slots: The same for actions, so that they need not wait for hooks.
        persist: Stores what differs in a model and wakes whom it concerns; returns the rows.
        persist_soon: The same for what may wait a moment: immediate effects of a running hook.
        sync_services: Returns once service addresses lead to where the model says.
        pod_looked_at: Called with model and unit once a worker knows how its pod is.
        hook_socket: Where on this host to serve a unit's hook commands: by model, unit and
            machine, which is empty for a pod.
        machine_turns: Model and machine → its units' turn: one hook at a time runs on a machine.
        accounts: Makes the units' accounts of the Kubernetes interface; None: it is not served.
        models: Returns every model.
    """

    settings: Settings
    substrate: Substrate
    clock: Clock
    logs: LogStore
    traces: TraceStore
    random: random.Random
    hook_slots: asyncio.Semaphore
    action_slots: asyncio.Semaphore
    persist: Callable[[Model], list[str]]
    persist_soon: Callable[[Model], None]
    sync_services: Callable[[], Awaitable[None]]
    pod_looked_at: Callable[[str, str], None]
    hook_socket: Callable[[str, str, str], Path]
    accounts: Accounts | None
    models: Callable[[], Collection[Model]]
    machine_turns: dict[tuple[str, str], asyncio.Lock] = dataclasses.field(
        default_factory=dict[tuple[str, str], asyncio.Lock]
    )


class UnitWorker:
    """The agent of one unit.

    Args:
        shared: What the engine's workers share.
        model: The model, as the engine holds it.
        unit: The unit, as the model holds it.
    """

    def __init__(self, shared: Surroundings, model: Model, unit: Unit) -> None:
        self.wake = asyncio.Event()
        self.closing = False
        self.dispatching = False
        self._shared = shared
        self._model = model
        self._unit = unit
        self._folder = unit_folder(shared.settings.home, model.name, unit.name)
        self._socket = shared.hook_socket(model.name, unit.name, unit.machine)
        self._server = HookServer(self._command_served)
        self._context: HookContext | None = None
        self._rebooting = asyncio.Event()  # a hook wants its machine restarted at once
        self._tried = False  # whether this engine has had a look at the pod
        self._looked_at = False
        self._troubles = 0  # pods that failed and dispatches that were cut off, in a row
        self._not_before = 0.0

    async def run(self) -> None:
        """Work until the unit has ended and is gone from the model."""
        for folder in (self._folder, self._socket.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._server.start(self._socket)
        try:
            while not self._unit.removed:
                await self._turn()
                if self.closing:
                    return
            await self._remove()
        finally:
            await self._server.stop()

    async def _turn(self) -> None:
        """Do the next thing that is to be done, or wait until there may be one."""
        unit, model, now = self._unit, self._model, self._shared.clock.now()
        self.wake.clear()
        if resolver.settle(unit, model, now):
            self._shared.persist(model)
        if unit.removed:
            return
        if (self._tried or not unit.pod_generation) and resolver.wants_new_pod(unit, model):
            resolver.new_pod(unit, model)
            self._not_before = 0.0
            self._shared.persist(model)
        if now < self._not_before:
            await self._wait(self._not_before)
            return
        if not unit.pod_ready:
            if not self._machine_is_missing():
                await self._ensure_pod()
                return
            self._shared.pod_looked_at(model.name, unit.name)
            if unit.force and unit.life is not Life.ALIVE:
                resolver.abandoned(unit, now)
                self._shared.persist(model)
            else:
                await self._wait(math.inf)
            return
        operation = resolver.next_operation(unit, model, now)
        if operation is not None:
            await self._run(is_action=operation.hook.kind is HookKind.ACTION)
            return
        if resolver.idle(unit, now):
            self._shared.persist(model)
        # Not sooner than in a second: no mistake in a rule may become a busy loop.
        await self._wait(max(now + 1.0, resolver.wake_at(unit, model, now)))

    async def _wait(self, until: float) -> None:
        timer = None
        if math.isfinite(until):
            timer = self._shared.clock.call_at(until, self.wake.set)
        try:
            await self.wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    # --- Its place: a pod or a machine --------------------------------------------------------

    def _machine_is_missing(self) -> bool:
        machine = self._model.machines.get(self._unit.machine)
        return bool(self._unit.machine) and (machine is None or not machine.ready)

    async def _ensure_place(self) -> None:
        unit, model, substrate = self._unit, self._model, self._shared.substrate
        if unit.machine:
            spec = wanted.machine_unit_spec(model, unit)
            await substrate.ensure_on_machine(spec, self._socket)
            return
        pod = wanted.pod_spec(model, unit, self._resources(), *self._account())
        for mount in pod.mounts:
            mount.source.mkdir(parents=True, exist_ok=True)
        await substrate.ensure_pod(pod, self._socket)

    async def _ensure_pod(self) -> None:
        unit, model, substrate = self._unit, self._model, self._shared.substrate
        generation = unit.pod_generation
        try:
            await self._ensure_place()
            if not self._looked_at:
                # What a dead engine left running would speak to nobody; its hook runs again.
                await substrate.running_dispatch(model.name, unit.name)
        except (SubstrateError, wanted.WantedError) as error:
            self._pod_failed(str(error))
            return
        finally:
            self._tried = True
            self._shared.pod_looked_at(model.name, unit.name)
        self._looked_at = True
        after = {name: workload.newest(view) for name, view in unit.containers.items()}
        containers = list(model.charm_of(unit.app).containers)
        substrate.watch(model.name, unit.name, containers, after)
        if generation == unit.pod_generation:
            self._troubles = 0
            unit.pod_ready = True
        if unit.machine and not unit.installed and not unit.status_set:
            unit.workload_status = Status("waiting", "installing agent", self._shared.clock.now())
        if unit.agent_status.current == "lost":
            unit.agent_status = Status("idle", since=self._shared.clock.now())
        self._shared.persist(model)

    def _pod_failed(self, reason: str) -> None:
        unit, now = self._unit, self._shared.clock.now()
        self._later()
        if unit.force and unit.life is not Life.ALIVE:
            resolver.abandoned(unit, now)
            self._shared.persist(self._model)
            return
        self._log("WARNING", "pod", reason)
        current = "lost" if unit.installed else "allocating"
        if (unit.agent_status.current, unit.agent_status.message) != (current, reason):
            if unit.operation is None or unit.operation.step is not Step.FAILED:
                unit.agent_status = Status(current, reason, now)
            if not unit.status_set:
                unit.workload_status = Status("waiting", reason, now)
            self._shared.persist(self._model)

    def _later(self) -> None:
        """Let the next attempt wait, longer each time."""
        wait = min(_AGAIN_LIMIT, _AGAIN_FIRST * 2**self._troubles)
        self._troubles = min(self._troubles + 1, 10)
        self._not_before = self._shared.clock.now() + wait

    def _resources(self) -> Mount:
        substrate, model, unit = self._shared.substrate, self._model.name, self._unit
        charm = Path(substrate.charm_path(model, unit.name))
        here = substrate.resources_path(model, unit.name, unit.machine)
        return Mount(here or self._folder / "resources", str(charm.with_name("resources")))

    def _account(self) -> list[Mount]:
        """Write the unit's account of the Kubernetes interface, and return where it belongs."""
        if self._shared.accounts is None or self._model.type != "caas":
            return []
        folder = self._folder / "account"
        self._shared.accounts.write(self._model, self._unit, folder)
        return [Mount(folder, ACCOUNT_PATH, readonly=True)]

    async def _remove(self) -> None:
        """Take the pod away, or the unit off its machine, and forget the unit."""
        unit, model, substrate = self._unit, self._model, self._shared.substrate
        substrate.unwatch(model.name, unit.name)
        while True:
            keep = not unit.destroy_storage
            try:
                if unit.machine:
                    await substrate.remove_from_machine(
                        model.name, unit.name, force=unit.force, keep_storage=keep
                    )
                else:
                    await substrate.remove_pod(model.name, unit.name, keep_storage=keep)
                break
            except SubstrateError as error:
                self._log("WARNING", "pod", str(error))
                self._later()
                await self._shared.clock.sleep(self._not_before - self._shared.clock.now())
        if unit.destroy_storage and not unit.machine:
            for storage in unit.storage.values():
                shutil.rmtree(storage.path, ignore_errors=True)
        for folder in (self._folder, self._socket.parent):
            shutil.rmtree(folder, ignore_errors=True)
        lifecycle.forget_unit(model, unit.name, self._shared.clock.now())
        self._shared.persist(model)

    # --- Operations -----------------------------------------------------------------------------

    async def _run(self, *, is_action: bool) -> None:
        shared, unit, model = self._shared, self._unit, self._model
        slots = shared.action_slots if is_action else shared.hook_slots
        async with self._turn_on_machine(), slots:
            # Time has passed in the queue: choose again, by what the model holds now.
            resolver.settle(unit, model, shared.clock.now())
            operation = resolver.next_operation(
                unit, model, shared.clock.now(), shuffle=shared.random
            )
            if operation is None or (operation.hook.kind is HookKind.ACTION) != is_action:
                self._shared.persist(model)
                return
            if self.closing:
                return
            operation = resolver.started(unit, operation, model, shared.clock.now())
            shared.persist(model)
            self.dispatching = True
            try:
                if operation.hook.kind is HookKind.STOP:
                    await shared.sync_services()  # no new traffic for what is about to stop
                await self._dispatch(operation)
            finally:
                self.dispatching = False

    def _turn_on_machine(self) -> contextlib.AbstractAsyncContextManager[Any]:
        if not self._unit.machine:
            return contextlib.nullcontext()
        key = (self._model.name, self._unit.machine)
        return self._shared.machine_turns.setdefault(key, asyncio.Lock())

    async def _run_dispatch(self, dispatch: Dispatch, limit: float | None) -> DispatchResult:
        """Run a dispatch to its end, or to the moment when it wants its machine restarted."""
        self._rebooting.clear()
        work = asyncio.create_task(self._shared.substrate.dispatch(dispatch))
        rebooting = asyncio.create_task(self._rebooting.wait())
        try:
            async with asyncio.timeout(limit):
                await asyncio.wait({work, rebooting}, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else DispatchResult(exit_code=None)
        finally:
            rebooting.cancel()
            work.cancel()
            await asyncio.wait({work})  # ended only when its process is gone

    async def _restart_machine(self) -> None:
        """Restart the machine because a hook asked for it; `start` follows by itself."""
        unit, model = self._unit, self._model
        self._log("INFO", "worker.reboot", f"restarting machine {unit.machine}")
        for other in model.units_on(unit.machine):
            other.pod_ready = False
        self._shared.persist(model)
        self._not_before = 0.0
        try:
            await self._shared.substrate.restart_machine(model.name, unit.machine)
        except SubstrateError as error:
            self._log("WARNING", "worker.reboot", str(error))

    async def _dispatch(self, operation: Operation) -> None:
        shared, unit, model = self._shared, self._unit, self._model
        hook, began = operation.hook, shared.clock.now()
        context = HookContext(
            model,
            unit.name,
            hook,
            context_id=new_context_id(unit.name, hook.name, os.urandom),
            clock=shared.clock,
            paths=self._paths(),
            on_log=self._log,
            models=shared.models,
        )
        argv = self._argv(operation)
        limit = self._time_limit(operation)
        warm = shared.settings.warm and argv is not None and argv[0].endswith("/dispatch")
        error = ""
        if argv is None:
            missing = hook.kind is HookKind.ACTION
            error = f"action not implemented on unit {unit.name!r}" if missing else ""
            result = DispatchResult(exit_code=1 if missing else 0)
        else:
            dispatch = Dispatch(
                model=model.name,
                unit=unit.name,
                argv=argv,
                environment=context.environment,
                warm=warm,
            )
            self._context = context
            self._server.register(context)
            try:
                result = await self._run_dispatch(dispatch, limit)
            except TimeoutError:
                error = f"timed out after {limit:g} s"
                result = DispatchResult(exit_code=-1)
            except SubstrateError as failure:
                error = str(failure)
                result = DispatchResult(exit_code=None)
                unit.pod_ready = False
            finally:
                self._server.unregister(context.context_id)
                self._context = None
        if context.reboot == "now":  # which ends the hook, however far it came by itself
            result = dataclasses.replace(result, exit_code=None)
        outcome = self._finish(operation, context, result, error, began)
        if context.reboot == "now" or (context.reboot and outcome == "committed"):
            await self._restart_machine()

    def _finish(
        self,
        operation: Operation,
        context: HookContext,
        result: DispatchResult,
        error: str,
        began: float,
    ) -> str:
        """Take the end of a dispatch into the model: one transaction, without a pause.

        Returns:
            What became of it: `committed`, `failed` or `requeued`.
        """
        unit, model, now = self._unit, self._model, self._shared.clock.now()
        name = operation.hook.name
        if operation.hook.kind is HookKind.ACTION and result.exit_code is not None and not error:
            context.finish_action(result.exit_code, list(result.stdout), list(result.stderr))
        if result.exit_code is None:
            resolver.requeued(unit, operation, model, now)
            outcome = "requeued"
            self._later()
        elif result.exit_code != 0:
            resolver.failed(unit, operation, model, now, reason=error)
            outcome = "failed"
        else:
            try:
                context.flush()
            except FlushError as refused:
                error = str(refused)
                resolver.failed(unit, operation, model, now, reason=error)
                outcome = "failed"
            else:
                resolver.commit(unit, operation, model, now)
                outcome = "committed"
        if outcome != "requeued":
            self._troubles = 0
        changes = self._shared.persist(model)
        self._log_end(name, result, outcome, error)
        self._shared.traces.write(
            model.name,
            Trace(
                unit=unit.name,
                hook=name,
                number=self._shared.traces.next_number(model.name, unit.name),
                started=began,
                seconds=round(now - began, 6),
                cpu_seconds=result.cpu_seconds,
                exit_code=result.exit_code,
                outcome=outcome,
                error=error,
                environment=dict(context.environment),
                commands=[dataclasses.asdict(record) for record in context.records],
                changes=changes,
                warm=result.warm,
            ),
        )
        return outcome

    def _argv(self, operation: Operation) -> tuple[str, ...] | None:
        """Return what to run; None when the charm has nothing for this hook."""
        unit, model, hook = self._unit, self._model, operation.hook
        if hook.kind is HookKind.ACTION and hook.prefix == resolver.JUJU_EXEC:
            command = str(model.actions[hook.action_id].parameters["command"])
            return ("/bin/bash", "-c", command)
        there = self._shared.substrate.charm_path(model.name, unit.name)
        here = Path(model.charm_of(unit.app).path)
        folder = "actions" if hook.kind is HookKind.ACTION else "hooks"
        for program in ("dispatch", f"{folder}/{hook.name}"):
            if (here / program).exists():
                return (f"{there}/{program}",)
        return None

    def _time_limit(self, operation: Operation) -> float | None:
        """Return the seconds that a command of `juju exec` may take; hooks take what they need."""
        action = self._model.actions.get(operation.hook.action_id)
        if action is None or action.name != resolver.JUJU_EXEC:
            return None
        given = action.parameters.get("timeout")
        return float(given) if given else None

    def _paths(self) -> Paths:
        substrate, model, unit = self._shared.substrate, self._model.name, self._unit.name
        resources, machine = self._resources(), self._model.machines.get(self._unit.machine)
        accounts = None if machine is not None else self._shared.accounts
        return Paths(
            charm=substrate.charm_path(model, unit),
            tools=substrate.tools_path(model, unit),
            hook_socket=substrate.hook_socket_path(model, unit),
            resources=resources.target,
            resources_host=resources.source,
            hostname=machine.hostname if machine is not None else unit.replace("/", "-"),
            subnets=self._shared.settings.subnets,
            passthrough={} if accounts is None else accounts.environment,
        )

    def _command_served(self) -> None:
        if self._context is not None and self._context.reboot == "now":
            self._rebooting.set()
        if self._context is not None and self._context.changed_now:
            self._context.changed_now = False
            self._shared.persist_soon(self._model)

    # --- Logs -----------------------------------------------------------------------------------

    def _log(self, level: str, module: str, message: str) -> None:
        entity = entity_of(self._unit.name)
        self._shared.logs.append(self._model.name, entity, level, module, message)

    def _log_end(self, name: str, result: DispatchResult, outcome: str, error: str) -> None:
        module = f"unit.{self._unit.name}.{name}"
        for line in result.stdout:
            self._log("DEBUG", module, line)
        for line in result.stderr:
            self._log("WARNING", module, line)
        if outcome == "committed":
            self._log("INFO", "worker.operation", f'ran "{name}" hook')
        elif outcome == "failed":
            reason = error or f"exit status {result.exit_code}"
            self._log("ERROR", "worker.operation", f'hook "{name}" failed: {reason}')
        else:
            reason = error or f"signal {result.signal}"
            self._log("WARNING", "worker.operation", f'hook "{name}" was cut off: {reason}')
        _LOG.info("%s %s: %s %s", self._model.name, self._unit.name, name, outcome)


def unit_folder(home: Path, model: str, unit: str) -> Path:
    """Return the folder of one unit in the engine's home: its resources."""
    return home / "units" / model / unit.replace("/", "-")
