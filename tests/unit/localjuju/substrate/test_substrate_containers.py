"""What pods and machines have in common."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence

import pytest

from localjuju.substrate import containers
from localjuju.substrate.protocol import SubstrateError
from localjuju.substrate.runner import Done

KEY = ("shop", "web/0")


async def test_the_end_of_a_first_process_is_told_once():
    ended = []
    holders = containers.Holders(ended.append)
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as second:
        assert holders.hold(KEY, first.pid)
        assert holders.hold(KEY, second.pid)
        first.kill()  # which is not watched any more
        await asyncio.sleep(0.05)
        assert KEY in holders
        second.kill()
        async with asyncio.timeout(5):
            while KEY in holders:
                await asyncio.sleep(0.01)
    assert ended == [KEY]
    assert not holders.hold(KEY, second.pid), "it is gone"
    holders.close()


async def test_a_charm_for_another_python_is_refused(unit_agent):
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    for wanted in (mine, None):
        await containers.check_python(unit_agent.socket, "web/0", wanted, "machine 3")
    words = f"charm is packed for Python 3.1, machine 3 has {mine}"
    with pytest.raises(SubstrateError, match=words):
        await containers.check_python(unit_agent.socket, "web/0", "3.1", "machine 3")


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "no space"), (1, "the image x/a:1 is not in /var/lib/store; build or load it first")],
)
async def test_a_missing_image_is_named_else_the_reason_of_podman(settings, code, words):
    class Podman:
        async def run(self, argv: Sequence[str]) -> Done:
            assert argv[-3:] == ("image", "exists", "x/a:1")
            return Done(code, b"", b"")

    assert await containers.why_not_made(Podman(), settings, "x/a:1", "no space") == words
