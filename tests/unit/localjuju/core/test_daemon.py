"""The engine as a process: one for each home, and clear words when it cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from localjuju import daemon


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localjuju.daemon", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_second_engine_is_refused_and_told_of_the_first(tmp_path):
    told = pytest.raises(daemon.DaemonError, match=f"process {os.getpid()}")
    with daemon.lock(tmp_path), told:
        daemon.lock(tmp_path)
    daemon.lock(tmp_path).close()


def test_who_only_asks_for_the_engine_does_not_keep_it_from_starting(tmp_path):
    asking = daemon.lock(tmp_path)
    asked = threading.Timer(0.03, asking.close)
    asked.start()
    daemon.lock(tmp_path).close()
    asked.join()


def test_a_home_without_settings_is_named(tmp_path):
    done = run(str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no engine in {tmp_path}")
    assert "Traceback" not in done.stderr


def test_a_call_without_a_home_shows_the_usage():
    done = run()
    assert done.returncode == 1
    assert "usage: python -m localjuju.daemon HOME" in done.stderr
