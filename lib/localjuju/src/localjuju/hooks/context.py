"""One dispatch: its environment, its commands, and what it leaves in the model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from localjuju import secrets
from localjuju.hooks import commit, environment
from localjuju.hooks.buffer import ActionOutcome
from localjuju.hooks.command import NOTHING, Call, Command, CommandError, CommandResult
from localjuju.hooks.commands import COMMANDS
from localjuju.hooks.flags import Parsed, UsageError, parse
from localjuju.hooks.formats import FORMATS, render
from localjuju.hooks.records import CommandRecord, record
from localjuju.hooks.session import OnLog, Paths, Session, Timer
from localjuju.model import Hook, HookKind, Model

FlushError = commit.FlushError


class HookContext:
    """The context of one dispatch.

    Args:
        model: The live model. Immediate effects change it at once; the rest waits for `flush`.
        unit: The unit's name.
        hook: The hook; its relation must be in `unit.relations` already.
        context_id: What the charm's commands send back; see `environment.new_context_id`.
        clock: Tells the time.
        paths: Where things are in the charm container.
        on_log: Gets level, module and message of each `juju-log`.
        random_bytes: Where ids of secrets come from.
        models: Returns every model, for what crosses the border of this one.
    """

    def __init__(
        self,
        model: Model,
        unit: str,
        hook: Hook,
        *,
        context_id: str,
        clock: Timer,
        paths: Paths,
        on_log: OnLog,
        random_bytes: Callable[[int], bytes] = os.urandom,
        models: Callable[[], Collection[Model]] = tuple,
    ) -> None:
        self.context_id = context_id
        self.unit = unit
        self.hook = hook
        self.records: list[CommandRecord] = []
        self._session = Session(model, unit, hook, clock, paths, on_log, random_bytes, models)
        if hook.kind is HookKind.ACTION:
            self._session.outcome = ActionOutcome()
        self._session.forget_stale_bags()
        self.environment: dict[str, str] = environment.build(self._session, context_id)

    @property
    def model(self) -> Model:
        """The model that the unit is in."""
        return self._session.model

    @property
    def changed_now(self) -> bool:
        """Whether an immediate effect touched the model since this was last set to False."""
        return self._session.changed_now

    @changed_now.setter
    def changed_now(self, value: bool) -> None:
        self._session.changed_now = value

    @property
    def reboot(self) -> str:
        """When the charm wants its machine restarted: `now`, or `after` the hook; empty: not."""
        return self._session.reboot

    @property
    def outcome(self) -> ActionOutcome | None:
        """What the action has said of itself so far; None outside an action."""
        return self._session.outcome

    def run(
        self,
        command: str,
        args: Sequence[str],
        stdin: bytes | None = None,
        files: Mapping[str, bytes | OSError] | None = None,
    ) -> CommandResult:
        """Run one hook command; never raises for what a charm does wrong.

        Args:
            command: Name of the command.
            args: Its arguments.
            stdin: Content of standard input if the arguments ask for it, else None.
            files: Contents of the files that the arguments name.
        """
        began = time.perf_counter()
        known = COMMANDS.get(command)
        result = self._run(command, known, args, stdin, files or {})
        took = time.perf_counter() - began
        self.records.append(record(command, known, args, stdin, result, took))
        return result

    def _run(
        self,
        name: str,
        command: Command | None,
        args: Sequence[str],
        stdin: bytes | None,
        files: Mapping[str, bytes | OSError],
    ) -> CommandResult:
        if command is None:
            return _error(f"unknown command {name!r}", 2)
        if self.unit not in self.model.units:  # removed by force while its hook runs
            return _error(f'bad request: unit "{self.unit}" not found', 1)
        if not command.raw and any(word in {"--help", "-h"} for word in _options(args)):
            return CommandResult(_help(name, command).encode())
        try:
            parsed = Parsed({}, {}, tuple(args)) if command.raw else parse(command.all_flags, args)
            style = parsed.text("format") or "smart"
            if command.prints and style not in FORMATS:
                raise UsageError(
                    f'invalid value "{style}" for option --format: unknown format "{style}"'
                )
            value = command.run(self._session, Call(name, parsed, stdin, files))
        except UsageError as error:
            return _error(str(error), 2)
        except (CommandError, secrets.SecretError) as error:
            return _error(str(error), 1)
        if value is NOTHING or not (command.prints or isinstance(value, str)):
            return CommandResult()
        output = (parsed.text("output") or "") if command.prints else ""
        text = render(value, style if command.prints else "smart")
        return CommandResult(text.encode("utf-8", "replace"), output=output)

    def flush(self) -> None:
        """Apply what the hook has buffered: call it after exit status 0 and only then.

        Raises:
            FlushError: It cannot be applied; the model is unchanged.
        """
        if self.unit not in self.model.units:
            raise FlushError(f'cannot apply changes: unit "{self.unit}" not found')
        commit.commit(self._session)

    def finish_action(
        self, exit_code: int | None, stdout: Sequence[str] = (), stderr: Sequence[str] = ()
    ) -> None:
        """Write into the model what an action ended with, before `flush`.

        Results and `return-code` always; status `failed` and a message if it failed. Otherwise
        the status stays, since what it buffered may still be refused.

        Args:
            exit_code: Exit status of the dispatch, None when it was killed.
            stdout: Lines that it printed.
            stderr: Lines that it printed on standard error.
        """
        action, outcome = self._session.action, self._session.outcome
        if action is None or outcome is None:
            return
        results: dict[str, object] = dict(outcome.results)
        if exit_code is not None:
            results["return-code"] = exit_code
        for name, lines in (("stdout", stdout), ("stderr", stderr)):
            if lines:
                results[name] = "".join(f"{line}\n" for line in lines)
        action.results = results
        if outcome.failed:
            action.status, action.message = "failed", outcome.message
        elif exit_code is None:
            action.status, action.message = "failed", "action terminated"
        elif exit_code:
            action.status, action.message = "failed", f"exit status {exit_code}"


def _options(args: Sequence[str]) -> list[str]:
    words = list(args)
    return words[: words.index("--")] if "--" in words else words


def _error(text: str, code: int) -> CommandResult:
    return CommandResult(stderr=f"ERROR {text}\n".encode("utf-8", "replace"), code=code)


def _help(name: str, command: Command) -> str:
    lines = [f"Usage: {name} [options] {command.usage}".rstrip()]
    if command.all_flags:
        lines += ["", "Options:"]
    for flag in command.all_flags:
        names = ", ".join([f"-{alias}" for alias in flag.aliases] + [f"--{flag.name}"])
        lines.append(f"  {names}  {flag.help}".rstrip())
    return "\n".join(lines) + "\n"
