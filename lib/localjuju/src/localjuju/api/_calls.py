"""What every method gets: the engine, the parameters of the request, and a way to report."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar, cast

from localjuju.bundle import BundleError
from localjuju.changes import ChangeError
from localjuju.charm import CharmError
from localjuju.clock import Clock
from localjuju.engine import EngineError
from localjuju.logs import LogStore
from localjuju.model import Action, Model, Value
from localjuju.settings import Settings
from localjuju.store import StoreError
from localjuju.substrate.protocol import Substrate, SubstrateError
from localjuju.trace import TraceStore

T = TypeVar("T")
Data = dict[str, Any]


class RequestError(Exception):
    """A request is not one that the engine understands."""


ENGINE_ERRORS = (
    BundleError,
    ChangeError,
    CharmError,
    EngineError,
    RequestError,
    StoreError,
    SubstrateError,
    TimeoutError,
)
"""What a request may end in; anything else is a fault of the engine."""


class EngineLike(Protocol):
    """What the interface needs of the engine."""

    @property
    def settings(self) -> Settings:
        """The settings of the instance."""
        ...

    @property
    def substrate(self) -> Substrate:
        """What runs pods."""
        ...

    @property
    def models(self) -> Mapping[str, Model]:
        """All models by name."""
        ...

    @property
    def logs(self) -> LogStore:
        """The models' logs."""
        ...

    @property
    def traces(self) -> TraceStore:
        """The recorded dispatches."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    async def change(self, model: str, edit: Callable[[Model], T]) -> T:
        """Apply an edit to a model and store it."""
        ...

    async def add_model(self, name: str, config: Mapping[str, Value], kind: str = ...) -> Model:
        """Add an empty model of pods, or of machines."""
        ...

    async def destroy_model(self, name: str, *, force: bool = False) -> None:
        """Remove a model; return when nothing of it is left."""
        ...

    async def wait_until(self, holds: Callable[[], bool], timeout: float | None = None) -> None:
        """Return once something holds; it is asked after every change."""
        ...

    async def wait_action(
        self, model: str, action_id: int, timeout: float | None = None
    ) -> Action:
        """Return an action once it has ended."""
        ...


@dataclasses.dataclass(frozen=True)
class Params:
    """The parameters of a request, read with their types."""

    raw: Mapping[str, Any]

    def text(self, key: str) -> str:
        """Return a text that must be there."""
        return self._typed(key, self.raw.get(key), str)

    def optional(self, key: str) -> str | None:
        """Return a text, or None when it is not given."""
        value = self.raw.get(key)
        return None if value is None else self._typed(key, value, str)

    def flag(self, key: str) -> bool:
        """Return whether something is asked for."""
        return self._typed(key, self.raw.get(key, False), bool)

    def number(self, key: str) -> int:
        """Return a whole number that must be there."""
        return self._typed(key, self.raw.get(key), int)

    def seconds(self, key: str) -> float | None:
        """Return a number of seconds, or None when it is not given."""
        value = self.raw.get(key)
        return None if value is None else float(self._typed(key, value, int | float))

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; empty when it is not given."""
        values = cast(list[Any], self._typed(key, self.raw.get(key) or [], list))
        return [self._typed(key, value, str) for value in values]

    def mapping(self, key: str) -> Data:
        """Return a mapping; empty when it is not given."""
        return cast(Data, self._typed(key, self.raw.get(key) or {}, dict))

    def _typed(self, key: str, value: Any, kind: Any) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise RequestError(f"bad request: {key} is {value!r}")
        return value


Emit = Callable[[Data], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        engine: The engine.
        params: What the client gave.
        emit: Sends an event to the client.
        intake: Held while a charm comes in: two requests must not sweep up each other's.
    """

    engine: EngineLike
    params: Params
    emit: Emit
    intake: asyncio.Lock

    @property
    def now(self) -> float:
        """The present time."""
        return self.engine.clock.now()

    @property
    def model_name(self) -> str:
        """Name of the model that the request is about."""
        return self.params.text("model")

    @property
    def model(self) -> Model:
        """The model that the request is about.

        Raises:
            ChangeError: There is none with this name.
        """
        found = self.engine.models.get(self.model_name)
        if found is None:
            raise ChangeError(f"model localjuju:admin/{self.model_name} not found")
        return found

    async def change(self, edit: Callable[[Model], T]) -> T:
        """Apply an edit to the model that the request is about."""
        return await self.engine.change(self.model.name, edit)


Method = Callable[[Call], Awaitable[Any]]
