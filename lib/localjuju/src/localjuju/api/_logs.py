"""Logs and traces."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable

from localjuju import changes
from localjuju.api._calls import Call, Data, Method, RequestError
from localjuju.logs import LEVELS, LogFilter, LogRecord

_BATCH = 500


async def debug_log(call: Call) -> None:
    """Report lines of a model's log; go on with new ones when asked to.

    Events: `{"lines": [[time, entity, level, module, message], …]}`.
    """
    params, model = call.params, call.model
    level = (params.optional("level") or "TRACE").upper()
    if level not in LEVELS:
        raise RequestError(f'level value "{level}" is not one of {", ".join(LEVELS)}')
    wanted = LogFilter(
        include=tuple(params.texts("include")),
        exclude=tuple(params.texts("exclude")),
        include_module=tuple(params.texts("include_module")),
        exclude_module=tuple(params.texts("exclude_module")),
        level=level,
    )
    tail = params.number("tail") if params.raw.get("tail") is not None else None
    if not params.flag("follow"):
        await _report(call, call.engine.logs.query(model.name, wanted, tail=tail))
        return
    stream = call.engine.logs.follow(model.name, wanted)
    upcoming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)  # it listens now; what it hears from here on is in the file as well
    history = call.engine.logs.query(model.name, wanted, tail=tail)
    shown = set(history[-_BATCH:])
    try:
        await _report(call, history)
        while True:
            record = await upcoming
            upcoming = asyncio.ensure_future(anext(stream))
            if record not in shown:
                await _report(call, [record])
    finally:
        upcoming.cancel()


async def _report(call: Call, records: Iterable[LogRecord]) -> None:
    lines = [list(dataclasses.astuple(record)) for record in records]
    for start in range(0, len(lines), _BATCH):
        await call.emit({"lines": lines[start : start + _BATCH]})


async def traces(call: Call) -> list[Data]:
    """Return the recorded dispatches of a unit, oldest first."""
    params, model = call.params, call.model
    unit = changes.resolve_unit(model, params.text("unit"))
    tail = params.number("tail") if params.raw.get("tail") is not None else None
    return [
        dataclasses.asdict(trace) for trace in call.engine.traces.read(model.name, unit, tail=tail)
    ]


METHODS: dict[str, Method] = {"debug_log": debug_log, "traces": traces}
