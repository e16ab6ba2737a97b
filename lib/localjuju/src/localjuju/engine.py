"""The engine: models in memory, one worker per unit, every change stored before it counts.

One asyncio process. Whoever changes a model does so in the event loop, between two awaits, and
then calls `persist` (or goes through `change`), which brings the model in order — what dies
along, who leads, which addresses — stores what differs in one transaction, and wakes the workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import uuid
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from localjuju import (
    changes,
    crossmodel,
    leadership,
    lifecycle,
    operations,
    resolver,
    wanted,
    workload,
)
from localjuju.clock import Clock, SystemClock, Timer
from localjuju.kubernetes import Accounts
from localjuju.logs import LogStore
from localjuju.machine_worker import MachineWorker
from localjuju.model import CAAS, Action, Life, Machine, Model, Value
from localjuju.settings import Settings
from localjuju.store import Store, StoreError
from localjuju.substrate.protocol import ServiceSpec, Substrate, SubstrateError
from localjuju.trace import TraceStore
from localjuju.worker import Surroundings, UnitWorker

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

_PERSIST_DELAY = 0.05
_EVENTS_AGAIN = 1.0
_SERVICES_AGAIN = 5.0
_WORKER_AGAIN = 10.0
_GRACE = 20.0
"""Seconds that running hooks get to end when the engine is stopped."""


class EngineError(Exception):
    """The engine cannot do what was asked; the text names the thing."""


class Engine:
    """Runs the models of one home.

    Args:
        settings: Where the engine lives.
        substrate: What runs pods.
        clock: The time; a test passes one that it turns.
        seed: Seed of the order that Juju leaves open; None takes a random one.
        hook_socket: Where to serve a unit's hook commands, by model, unit and machine (empty for
            a pod): a folder for each, with nothing else in it, and a path that is short enough
            for a socket.
        accounts: The units' accounts of the Kubernetes interface, if that is served.
    """

    def __init__(
        self,
        settings: Settings,
        substrate: Substrate,
        *,
        hook_socket: Callable[[str, str, str], Path],
        clock: Clock | None = None,
        seed: int | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.settings = settings
        self.substrate = substrate
        self.clock: Clock = clock or SystemClock()
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.logs = LogStore(settings.home / "logs", self.clock)
        self.traces = TraceStore(settings.home / "traces")
        self.store = Store(settings.database)
        self.models: dict[str, Model] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._workers: dict[tuple[str, str], tuple[UnitWorker, asyncio.Task[None]]] = {}
        self._machine_workers: dict[tuple[str, str], tuple[MachineWorker, asyncio.Task[None]]] = {}
        self._destroying: dict[str, asyncio.Task[None]] = {}
        self._watchers: set[asyncio.Event] = set()
        self._presumed: set[tuple[str, str]] = set()
        self._services_changed = asyncio.Event()
        self._services_lock = asyncio.Lock()
        self._services: list[ServiceSpec] | None = None
        self._lease_timer: Timer | None = None
        self._store_timers: dict[str, Timer] = {}
        self._running = False
        cores = os.cpu_count() or 2
        self._shared = Surroundings(
            settings=settings,
            substrate=substrate,
            clock=self.clock,
            logs=self.logs,
            traces=self.traces,
            random=random.Random(seed),  # noqa: S311 - an order, not a secret
            # Charms spend about half of a hook waiting for their workload.
            hook_slots=asyncio.Semaphore(2 * cores),
            action_slots=asyncio.Semaphore(2 * cores),
            persist=self.persist,
            persist_soon=self._persist_soon,
            sync_services=self._sync_services,
            pod_looked_at=self._pod_looked_at,
            hook_socket=hook_socket,
            accounts=accounts,
            models=lambda: self.models.values(),
        )

    # --- Start and stop -------------------------------------------------------------------

    async def start(self) -> None:
        """Load the models, heal the substrate and go on where the last engine stopped.

        Raises:
            StoreError: The database cannot be read.
            SubstrateError: The substrate cannot be prepared.
        """
        self.models = self.store.load()
        now = self.clock.now()
        for model in self.models.values():
            self._presumed |= {(model.name, u.name) for u in model.units.values() if u.pod_ready}
            for unit in model.units.values():
                resolver.recovered(unit, model, now)
            for machine in model.machines.values():
                machine.ready = False  # until it was looked at
                operations.tasks_lost(machine.id, model, now)
        await self.substrate.prepare()
        self._running = True
        self._spawn(self._follow_pods())
        self._spawn(self._follow_services())
        for model in list(self.models.values()):
            self.persist(model)
            self._changed(model)
            if model.life is not Life.ALIVE:
                self._destroying[model.name] = self._spawn(self._take_down(model))

    async def stop(self, *, grace: float = _GRACE) -> None:
        """Stop working; pods live on. Running hooks may end, after `grace` seconds they are cut.

        A hook that is cut off runs again when the engine is back.
        """
        self._running = False
        workers = list(self._workers.values())
        machines = [task for _, task in self._machine_workers.values()]
        for task in machines:
            task.cancel()
        for worker, task in workers:
            worker.closing = True
            worker.wake.set()
            if not worker.dispatching:
                task.cancel()
        busy = [task for _, task in workers if not task.done()]
        if busy:
            await asyncio.wait(busy, timeout=grace)
        for task in [*busy, *self._tasks]:
            task.cancel()
        await asyncio.gather(*busy, *machines, *self._tasks, return_exceptions=True)
        for timer in [*self._store_timers.values(), self._lease_timer]:
            if timer is not None:
                timer.cancel()
        for model in self.models.values():
            self.store.commit(model)
        self.store.close()
        self.logs.close()

    # --- Changes --------------------------------------------------------------------------

    def model(self, name: str) -> Model:
        """Return a model by name.

        Raises:
            EngineError: There is none.
        """
        try:
            return self.models[name]
        except KeyError:
            raise EngineError(f"model localjuju:admin/{name} not found") from None

    async def change(self, model: str, edit: Callable[[Model], T]) -> T:
        """Apply an edit to a model and store it, in one transaction.

        Args:
            model: Name of the model.
            edit: Checks first and then changes; an exception means that nothing changed.

        Returns:
            What the edit returned.

        Raises:
            EngineError: There is no such model.
            Exception: Whatever the edit raised.
        """
        live = self.model(model)
        result = edit(live)
        self.persist(live)
        return result

    def persist(self, model: Model) -> list[str]:
        """Bring a model in order, store what differs, wake whom it concerns.

        What it shares with other models is brought in line there, too. Each model is stored by
        itself: should the engine end in between, the next one finds the difference.

        Returns:
            The rows of this model that were written.
        """
        rows = self._put_in_order(model)
        waiting = crossmodel.mirror(model, self.models.values())
        while waiting:
            other = waiting.pop(0)
            self._put_in_order(other)
            more = crossmodel.mirror(other, self.models.values())
            waiting += [one for one in more if one not in waiting]
        return rows

    def _put_in_order(self, model: Model) -> list[str]:
        now = self.clock.now()
        lifecycle.cascade(model)
        lifecycle.reap(model)
        for app in model.applications:
            changes.ensure_units(model, app, now)
        changes.ensure_subordinates(model, now)
        presumed = {unit for name, unit in self._presumed if name == model.name}
        leadership.elect(model, now, presumed)
        wanted.assign(
            self.models.values(),
            self.settings.subnet,
            self.settings.home / "storage",
            self.settings.spaces,
        )
        rows = self._store(model)
        if rows:
            self._changed(model)
        return rows

    def _store(self, model: Model) -> list[str]:
        """Write what differs. Where that fails the engine ends: memory must not run ahead."""
        try:
            return self.store.commit(model)
        except StoreError as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        if not self.failure.done():
            _LOG.error("the engine cannot go on: %s", error, exc_info=error)
            self.failure.set_exception(error)

    async def add_model(self, name: str, config: Mapping[str, Value], kind: str = CAAS) -> Model:
        """Add an empty model of pods, or of machines.

        Raises:
            EngineError: A model of this name exists.
        """
        if name in self.models:
            raise EngineError(f'model "{name}" already exists')
        model = Model(
            name=name,
            uuid=str(uuid.uuid4()),
            type=kind,
            created=self.clock.now(),
            config=dict(config),
        )
        self.models[name] = model
        self.persist(model)
        return model

    async def destroy_model(self, name: str, *, force: bool = False) -> None:
        """Remove a model with all it holds; return when nothing of it is left.

        Args:
            name: Name of the model.
            force: Pass over hooks that fail and pods that do not come up.

        Raises:
            EngineError: There is no such model.
        """
        model = self.model(name)
        model.life = Life.DYING
        for entity in (*model.units.values(), *model.machines.values()):
            entity.force = entity.force or force
        self.persist(model)
        if name not in self._destroying:
            self._destroying[name] = self._spawn(self._take_down(model))
        await asyncio.shield(self._destroying[name])

    async def _take_down(self, model: Model) -> None:
        def is_over() -> bool:
            at_work = (*self._workers, *self._machine_workers)
            return lifecycle.is_empty(model) and not any(m == model.name for m, _ in at_work)

        await self.wait_until(is_over)
        while True:
            try:
                await self.substrate.destroy_model(model.name)
                break
            except SubstrateError as error:
                _LOG.warning("cannot remove model %s: %s", model.name, error)
                await self.clock.sleep(_SERVICES_AGAIN)
        timer = self._store_timers.pop(model.name, None)
        if timer is not None:
            timer.cancel()
        home = self.settings.home
        for folder in (home / "storage" / model.uuid, home / "units" / model.name):
            shutil.rmtree(folder, ignore_errors=True)
        self.store.delete(model)
        del self.models[model.name]
        del self._destroying[model.name]
        self.logs.remove(model.name)
        self.traces.remove(model.name)
        for other in list(self.models.values()):
            self.persist(other)  # whoever had relations with it
        self._services_changed.set()
        self._notify()

    # --- Waiting --------------------------------------------------------------------------

    async def wait_until(self, holds: Callable[[], bool], timeout: float | None = None) -> None:
        """Return once `holds()` is true; it is asked after every change of any model.

        Raises:
            TimeoutError: It was not within `timeout` seconds.
        """
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    event.clear()
                    await event.wait()
        finally:
            self._watchers.discard(event)

    async def wait_action(
        self, model: str, action_id: int, timeout: float | None = None
    ) -> Action:
        """Return an action once it has ended.

        Raises:
            EngineError: There is no such model or task.
            TimeoutError: It has not ended within `timeout` seconds.
        """
        action = self.model(model).actions.get(action_id)
        if action is None:
            raise EngineError(f'task "{action_id}" not found')
        await self.wait_until(lambda: action.status not in {"pending", "running"}, timeout)
        return action

    # --- What follows a change ------------------------------------------------------------

    def _changed(self, model: Model) -> None:
        if not self._running:
            return
        for unit in model.units.values():
            worker = self._workers.get((model.name, unit.name))
            if worker is None:
                self._start_worker(model, unit.name)
            else:
                worker[0].wake.set()
        for machine in model.machines.values():
            keeper = self._machine_workers.get((model.name, machine.id))
            if keeper is None:
                self._start_machine_worker(model, machine)
            else:
                keeper[0].wake.set()
        self._services_changed.set()
        self._arm_lease_timer()
        self._notify()

    def _notify(self) -> None:
        for event in self._watchers:
            event.set()

    def _start_worker(self, model: Model, name: str) -> None:
        key = (model.name, name)
        worker = UnitWorker(self._shared, model, model.units[name])
        task = asyncio.create_task(worker.run(), name=f"unit {model.name} {name}")
        self._workers[key] = (worker, task)
        task.add_done_callback(lambda done: self._worker_ended(key, done))

    def _start_machine_worker(self, model: Model, machine: Machine) -> None:
        key = (model.name, machine.id)
        worker = MachineWorker(self._shared, model, machine)
        task = asyncio.create_task(worker.run(), name=f"machine {model.name} {machine.id}")
        self._machine_workers[key] = (worker, task)
        task.add_done_callback(lambda done: self._machine_worker_ended(key, done))

    def _machine_worker_ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._machine_workers[key]
        self._notify()
        error = None if task.cancelled() else task.exception()
        if error is None or not self._running:
            return
        _LOG.error("the worker of machine %s %s ended: %r", *key, error, exc_info=error)
        self.clock.call_at(self.clock.now() + _WORKER_AGAIN, lambda: self._revive_machine(key))

    def _revive_machine(self, key: tuple[str, str]) -> None:
        model = self.models.get(key[0])
        machine = model.machines.get(key[1]) if model is not None else None
        if self._running and model and machine and key not in self._machine_workers:
            machine.ready = False
            self._start_machine_worker(model, machine)

    def _worker_ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._workers[key]
        self._notify()
        if not self._running:
            return
        error = None if task.cancelled() else task.exception()
        if error is None:
            self._revive(key)
            return
        _LOG.error("the worker of %s %s ended: %r", *key, error, exc_info=error)
        # A bug of ours in one unit must not end the others; nor is it a reason to spin.
        self.clock.call_at(self.clock.now() + _WORKER_AGAIN, lambda: self._revive(key))

    def _revive(self, key: tuple[str, str]) -> None:
        """Start a worker for a unit that exists (again) under this name and has none."""
        model = self.models.get(key[0])
        if self._running and model and key[1] in model.units and key not in self._workers:
            resolver.recovered(model.units[key[1]], model, self.clock.now())
            self._start_worker(model, key[1])

    def _persist_soon(self, model: Model) -> None:
        def store() -> None:
            self._store_timers.pop(model.name, None)
            self._store(model)
            self._notify()

        if model.name not in self._store_timers:
            when = self.clock.now() + _PERSIST_DELAY
            self._store_timers[model.name] = self.clock.call_at(when, store)

    def _arm_lease_timer(self) -> None:
        if self._lease_timer is not None:
            self._lease_timer.cancel()
            self._lease_timer = None
        due = min(map(leadership.next_expiry, self.models.values()), default=float("inf"))
        if due < float("inf"):
            self._lease_timer = self.clock.call_at(due, self._lease_ran_out)

    def _lease_ran_out(self) -> None:
        self._lease_timer = None
        for model in list(self.models.values()):
            self.persist(model)
        if self._lease_timer is None:
            self._arm_lease_timer()

    # --- The substrate --------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    async def _follow_pods(self) -> None:
        while True:
            try:
                async for event in self.substrate.events():
                    model = self.models.get(event.model)
                    if model is not None and workload.observe_machine(model, event):
                        self.persist(model)
                        continue
                    unit = model.units.get(event.unit) if model is not None else None
                    if model is not None and unit is not None and workload.observe(unit, event):
                        self.persist(model)
            except SubstrateError as error:
                _LOG.warning("cannot follow the pods: %s", error)
            await self.clock.sleep(_EVENTS_AGAIN)

    async def _follow_services(self) -> None:
        while True:
            await self._services_changed.wait()
            self._services_changed.clear()
            try:
                await self._sync_services()
            except SubstrateError as error:
                _LOG.warning("cannot set the service addresses: %s", error)
                await self.clock.sleep(_SERVICES_AGAIN)
                self._services_changed.set()

    async def _sync_services(self) -> None:
        async with self._services_lock:
            specs = wanted.service_specs(self.models.values(), self._presumed)
            if specs != self._services:
                self._services = None  # unknown until the substrate has taken them
                await self.substrate.set_services(specs)
                self._services = specs

    def _pod_looked_at(self, model: str, unit: str) -> None:
        if (model, unit) in self._presumed:
            self._presumed.discard((model, unit))
            self._services_changed.set()
            self.persist(self.models[model])
