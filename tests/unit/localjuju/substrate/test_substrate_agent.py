"""The unit agent, run as a process of this host, spoken to by the engine's own client."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from localjuju.substrate import agent_client
from localjuju.substrate.protocol import DispatchResult, SubstrateError


class Agent(Protocol):
    """What the fixture `unit_agent` gives."""

    socket: Path
    charm: Path
    process: Any
    dispatch: list[str]
    environment: dict[str, str]

    def write(self, source: str, dispatch: str | None = None) -> None: ...


def _run(
    agent: Agent,
    argv: list[str] | None = None,
    *,
    warm: bool = False,
    env: Mapping[str, str] | None = None,
) -> DispatchResult:
    return asyncio.run(_dispatch(agent, argv, warm=warm, env=env))


async def _dispatch(
    agent: Agent,
    argv: list[str] | None = None,
    *,
    warm: bool = False,
    env: Mapping[str, str] | None = None,
) -> DispatchResult:
    environment = {**agent.environment, **(env or {})}
    return await agent_client.dispatch(
        agent.socket, argv or agent.dispatch, environment, str(agent.charm), warm=warm
    )


def _shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _wait_for(path: Path) -> str:
    end = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.01)
    return path.read_text().strip()


def test_output_comes_line_by_line_and_apart(unit_agent: Agent):
    result = _run(unit_agent, _shell("echo one; echo two >&2; printf three"))
    assert result.stdout == ("one", "three")
    assert result.stderr == ("two",)
    assert (result.exit_code, result.signal) == (0, 0)


def test_the_exit_status_is_told(unit_agent: Agent):
    assert _run(unit_agent, _shell("exit 7")).exit_code == 7


def test_death_by_a_signal_is_no_exit_status(unit_agent: Agent):
    result = _run(unit_agent, _shell("kill -TERM $$"))
    assert (result.exit_code, result.signal) == (None, signal.SIGTERM)


def test_the_environment_is_what_was_asked_for_and_nothing_else(unit_agent: Agent):
    argv = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    result = _run(unit_agent, argv, env={"JUJU_UNIT_NAME": "web/0"})
    assert json.loads(result.stdout[0]) == {**unit_agent.environment, "JUJU_UNIT_NAME": "web/0"}


def test_the_charm_folder_is_the_working_directory_and_standard_input_is_empty(unit_agent: Agent):
    result = _run(unit_agent, _shell("pwd; cat; echo end"))
    assert result.stdout == (str(unit_agent.charm), "end")


def test_a_pipe_that_breaks_ends_a_program_as_usual(unit_agent: Agent):
    # A program that inherits "ignore SIGPIPE" from Python would go on for ever.
    assert _run(unit_agent, _shell("yes | head -1; echo done")).stdout == ("y", "done")


def test_two_hundred_kilobytes_arrive_in_order(unit_agent: Agent):
    result = _run(unit_agent, _shell("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"))
    assert result.stdout == tuple(str(number) for number in range(20000))


def test_a_line_of_any_bytes_arrives(unit_agent: Agent):
    result = _run(unit_agent, _shell(r"printf '\303\244\377\n'"))
    assert result.stdout == ("ä\ufffd",)


def test_the_time_of_children_is_counted(unit_agent: Agent):
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    result = _run(unit_agent, _shell(f'{sys.executable} -c "{burn}"; true'))
    assert 0.3 <= result.cpu_seconds < 3


def test_what_a_charm_leaves_running_does_not_hold_the_dispatch_back(unit_agent: Agent):
    started = time.monotonic()
    result = _run(unit_agent, _shell("sleep 30 & echo $!"))
    assert time.monotonic() - started < 5
    assert result.exit_code == 0
    os.kill(int(result.stdout[0]), signal.SIGKILL)


def test_a_missing_program_is_one_clear_error(unit_agent: Agent):
    with pytest.raises(SubstrateError, match="cannot start /no/such: No such file or directory"):
        _run(unit_agent, ["/no/such"])


def test_the_agent_serves_after_a_program_was_missing(unit_agent: Agent):
    with pytest.raises(SubstrateError):
        _run(unit_agent, ["/no/such"])
    assert _run(unit_agent, _shell("echo on")).stdout == ("on",)


def test_cancelling_ends_the_whole_process_group(unit_agent: Agent, tmp_path: Path):
    pids = tmp_path / "pids"

    async def cancel() -> None:
        text = f"sleep 60 & echo $$ $! > {pids}; wait"
        task = asyncio.create_task(_dispatch(unit_agent, _shell(text)))
        await asyncio.to_thread(_wait_for, pids)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert not [pid for pid in _wait_for(pids).split() if _is_alive(int(pid))]


def test_a_process_that_ignores_the_end_is_killed_after_five_seconds(
    unit_agent: Agent, tmp_path: Path
):
    ready = tmp_path / "ready"

    async def cancel() -> float:
        text = f"trap '' TERM; echo $$ > {ready}; while :; do sleep 1; done"
        task = asyncio.create_task(_dispatch(unit_agent, _shell(text)))
        await asyncio.to_thread(_wait_for, ready)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    assert 4.5 < asyncio.run(cancel()) < 9
    assert not _is_alive(int(_wait_for(ready)))


def test_a_dispatch_ends_with_the_engine_that_waited_for_it(unit_agent: Agent, tmp_path: Path):
    pids = tmp_path / "pids"

    async def lose() -> bool:
        request = {
            "op": "run",
            "argv": _shell(f"echo $$ > {pids}; sleep 60"),
            "env": unit_agent.environment,
            "cwd": "/",
        }
        _, writer = await asyncio.open_unix_connection(unit_agent.socket)
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        await asyncio.to_thread(_wait_for, pids)
        writer.close()
        await writer.wait_closed()
        # The next engine comes before the process is gone.
        return await agent_client.end_running(unit_agent.socket)

    asyncio.run(lose())
    assert not _is_alive(int(_wait_for(pids)))


def test_the_next_engine_ends_what_it_finds_running(unit_agent: Agent, tmp_path: Path):
    ready = tmp_path / "ready"

    async def end() -> tuple[bool, DispatchResult]:
        text = f"trap 'exit 3' TERM; echo $$ > {ready}; while :; do sleep 0.1; done"
        task = asyncio.create_task(_dispatch(unit_agent, _shell(text)))
        await asyncio.to_thread(_wait_for, ready)
        return await agent_client.end_running(unit_agent.socket), await task

    ended, result = asyncio.run(end())
    assert ended
    assert result.exit_code == 3


def test_nothing_is_ended_when_nothing_runs(unit_agent: Agent):
    assert _run(unit_agent, _shell("true")).exit_code == 0
    assert asyncio.run(agent_client.end_running(unit_agent.socket)) is False


def test_an_agent_that_is_not_there_runs_nothing(tmp_path: Path):
    assert asyncio.run(agent_client.end_running(tmp_path / "none.sock")) is False


def test_a_second_dispatch_is_refused(unit_agent: Agent, tmp_path: Path):
    ready = tmp_path / "ready"

    async def both() -> None:
        task = asyncio.create_task(_dispatch(unit_agent, _shell(f"echo 1 > {ready}; sleep 60")))
        await asyncio.to_thread(_wait_for, ready)
        with pytest.raises(SubstrateError, match="a dispatch runs already"):
            await _dispatch(unit_agent, _shell("true"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(both())


def test_a_dispatch_whose_container_ends_is_not_reported(unit_agent: Agent, tmp_path: Path):
    ready = tmp_path / "ready"

    async def lose() -> DispatchResult:
        text = f"echo $$ > {ready}; sleep 3"
        task = asyncio.create_task(_dispatch(unit_agent, _shell(text)))
        await asyncio.to_thread(_wait_for, ready)
        unit_agent.process.kill()
        return await task

    assert asyncio.run(lose()).exit_code is None


def test_the_watch_tells_who_the_agent_is_and_ends_with_it(unit_agent: Agent):
    async def watch() -> tuple[list[dict[str, str]], bytes]:
        heard: list[dict[str, str]] = []
        for _ in range(2):
            async with agent_client.watching(unit_agent.socket, 5) as (hello, _):
                heard.append(hello)
        async with agent_client.watching(unit_agent.socket, 5) as (_, reader):
            unit_agent.process.terminate()
            return heard, await reader.read()

    heard, rest = asyncio.run(watch())
    assert heard[0] == heard[1]
    assert heard[0]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert rest == b""
    assert unit_agent.process.wait(2) == 0


# Warm dispatches

SHOW = """
import json, os, sys
import wave  # something that no interpreter has loaded from the start
LOADED_FROM = os.getppid()
if __name__ == "__main__":
    print(json.dumps({
        "env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(), "file": __file__,
        "path": sys.path, "main": sys.modules["__main__"].__file__, "stdin": sys.stdin.read(),
    }))
    print("to stderr", file=sys.stderr)
    sys.exit(int(os.environ.get("CODE", "0")))
"""


SLEEPING = SHOW.replace("    sys.exit", "    import time; time.sleep(0.2)\n    sys.exit")


def test_a_warm_dispatch_is_like_a_cold_one(unit_agent: Agent):
    unit_agent.write(SLEEPING)
    cold, warm = (_run(unit_agent, warm=True, env={"CODE": "3"}) for _ in range(2))
    assert (warm.exit_code, warm.stderr) == (3, ("to stderr",)) == (cold.exit_code, cold.stderr)
    assert json.loads(warm.stdout[0]) == json.loads(cold.stdout[0])


def test_a_warm_dispatch_costs_a_fraction_of_a_cold_one(unit_agent: Agent):
    unit_agent.write(
        "import asyncio, email.parser, json, sqlite3, ssl, urllib.request\n" + SLEEPING
    )
    cold, *_, warm = (_run(unit_agent, warm=True) for _ in range(4))
    assert warm.cpu_seconds < cold.cpu_seconds / 2
    assert warm.cpu_seconds < 0.06


def test_a_warm_dispatch_sees_nothing_of_the_one_before(unit_agent: Agent):
    unit_agent.write(SLEEPING)
    for number in range(3):
        result = _run(unit_agent, warm=True, env={f"ONLY_{number}": "1"})
        env = json.loads(result.stdout[0])["env"]
        assert [name for name in env if name.startswith("ONLY_")] == [f"ONLY_{number}"]


def test_an_exception_in_a_warm_dispatch_is_exit_status_1_with_its_traceback(unit_agent: Agent):
    unit_agent.write(SLEEPING.replace("sys.exit(int(", "sys.exit(1 / int("))
    _run(unit_agent, warm=True, env={"CODE": "1"})
    result = _run(unit_agent, warm=True, env={"CODE": "0"})
    assert result.exit_code == 1
    assert result.stderr[-1] == "ZeroDivisionError: division by zero"


def test_a_warm_dispatch_can_be_cancelled(unit_agent: Agent, tmp_path: Path):
    ready = tmp_path / "ready"
    nap = (
        "import os, time\n"
        "if __name__ == '__main__':\n"
        f"    open({str(ready)!r}, 'w').write(str(os.getpid()) + '\\n')\n"
        "    time.sleep(float(os.environ['NAP']))\n"
    )
    unit_agent.write(nap)
    _run(unit_agent, warm=True, env={"NAP": "0.3"})
    ready.unlink()

    async def cancel() -> None:
        task = asyncio.create_task(_dispatch(unit_agent, warm=True, env={"NAP": "60"}))
        await asyncio.to_thread(_wait_for, ready)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert not _is_alive(int(_wait_for(ready)))
    assert _run(unit_agent, warm=True, env={"NAP": "0"}).exit_code == 0


def test_a_charm_that_cannot_be_preloaded_runs_cold(unit_agent: Agent):
    # Its main file cleans up behind itself what it imports: nothing is there to preload.
    unit_agent.write("import gone\n" + SLEEPING)
    gone = unit_agent.charm / "src" / "gone.py"
    for _ in range(3):
        gone.write_text("import os\nos.unlink(__file__)\n")
        assert _run(unit_agent, warm=True).exit_code == 0


def test_a_preloaded_interpreter_that_dies_is_not_missed(unit_agent: Agent):
    unit_agent.write(
        SLEEPING.replace(
            'print("to stderr"',
            'os.kill(os.getppid(), 9) if "KILL" in os.environ else print("to stderr"',
        )
    )
    _run(unit_agent, warm=True)
    lost = _run(unit_agent, warm=True, env={"KILL": "1"})
    assert lost.exit_code is None
    assert _run(unit_agent, warm=True).exit_code == 0


def test_what_a_charm_loads_late_is_loaded_once_for_all_that_follow(unit_agent: Agent):
    unit_agent.write(SLEEPING.replace("    import time;", "    import late, time;"))
    loads = unit_agent.charm / "loads"
    (unit_agent.charm / "src" / "late.py").write_text("open('loads', 'a').write('x')\n")
    counts: list[int] = []
    for _ in range(5):
        assert _run(unit_agent, warm=True).exit_code == 0
        time.sleep(0.1)
        counts.append(len(loads.read_text()))
    # Cold; in the first fork and then in the interpreter that forks; never again.
    assert counts == [1, 3, 3, 3, 3]


def test_commands_are_never_warm(unit_agent: Agent):
    unit_agent.write(SLEEPING)
    for _ in range(2):
        _run(unit_agent, warm=True)
    assert _run(unit_agent, _shell("echo $0"), warm=True).stdout == ("/bin/sh",)
