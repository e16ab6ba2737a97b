"""The launcher with a uv of our own, that makes an environment in no time."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[3]

# Says its version, and on `sync` makes an environment whose helio prints what it was started with.
UV = """\
#!/bin/sh
[ "$1" = --version ] && { echo "uv 1.2.3 (test)"; exit; }
echo "$*" >>"$HOME/uv.log"
[ -n "${PIP_FIND_LINKS+set}${UV_PYTHON+set}${PYTHONPATH+set}" ] && echo ambient >>"$HOME/uv.log"
sleep 0.2
mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
cat >"$UV_PROJECT_ENVIRONMENT/bin/helio" <<'END'
#!/bin/sh
printf '%s|' "$@"
END
chmod +x "$UV_PROJECT_ENVIRONMENT/bin/helio"
ln -sf /usr/bin/python3 "$UV_PROJECT_ENVIRONMENT/bin/python"
"""


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    (root / "lib" / "helio").mkdir(parents=True)
    shutil.copy(ROOT / "helio", root / "helio")
    shutil.copy(ROOT / "lib" / "helio" / "launcher.sh", root / "lib" / "helio" / "launcher.sh")
    (root / "lib" / "helio" / "pyproject.toml").write_text("")
    (root / "uv.lock").write_text('[[package]]\nname = "uv"\nversion = "1.2.3"\n')
    return root


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home" / "bin").mkdir(parents=True)
    uv = tmp_path / "home" / "bin" / "uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    return tmp_path / "home"


@pytest.fixture
def launch(checkout, home):
    def run(*arguments: str, program: pathlib.Path | None = None, **environment: str):
        return subprocess.run(
            [program or checkout / "helio", *arguments],
            cwd=home,
            env={"PATH": f"{home / 'bin'}:/usr/bin:/bin", "HOME": str(home), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def syncs(home: pathlib.Path) -> list[str]:
    log = home / "uv.log"
    return log.read_text().splitlines() if log.exists() else []


def test_the_first_use_makes_the_environment_and_the_next_does_not(launch, home):
    first = launch("status", "two words")
    assert first.stdout == "status|two words|"
    assert "setting up" in first.stderr
    second = launch("status")
    assert (second.stdout, second.stderr) == ("status|", "")
    assert len(syncs(home)) == 1


def test_the_environment_has_what_the_lock_says_for_running_only(launch, home):
    launch("status")
    (line,) = syncs(home)
    assert "--frozen" in line
    assert "--group run" in line
    assert "--python /usr/bin/python3" in line


def test_it_works_through_a_link_from_anywhere(launch, checkout, tmp_path):
    link = tmp_path / "anywhere"
    link.symlink_to(checkout / "helio")
    assert launch("status", program=link).stdout == "status|"


def test_settings_of_the_shell_do_not_count(launch, home):
    launch("status", PIP_FIND_LINKS="/x", UV_PYTHON="/x", PYTHONPATH="/x")
    assert "ambient" not in syncs(home)


def test_commands_started_together_make_it_once(launch, home):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: launch("status").stdout, range(5)))
    assert results == ["status|"] * 5
    assert len(syncs(home)) == 1


def test_a_changed_lock_is_followed(launch, home, checkout):
    launch("status")
    with (checkout / "uv.lock").open("a") as lock:
        lock.write("# changed\n")
    launch("status")
    assert len(syncs(home)) == 2


def test_a_moved_checkout_gets_a_new_environment(launch, home, checkout, tmp_path):
    launch("status")
    marker = checkout / ".venv" / "marker"
    marker.write_text("")
    moved = checkout.rename(tmp_path / "moved")
    assert launch("status", program=moved / "helio").stdout == "status|"
    assert not (moved / ".venv" / "marker").exists()


def test_what_a_developer_added_stays_when_the_lock_changes(launch, checkout):
    launch("status")
    marker = checkout / ".venv" / "marker"
    marker.write_text("")
    (checkout / "lib" / "helio" / "pyproject.toml").write_text("# changed")
    launch("status")
    assert marker.exists()


def test_a_failed_set_up_is_told_and_tried_again(launch, home, checkout):
    uv = home / "bin" / "uv"
    uv.write_text(UV.replace("sleep 0.2", '[ -e "$HOME/ok" ] || exit 3'))
    failed = launch("status")
    assert failed.returncode == 1
    assert "error: cannot set up" in failed.stderr
    (home / "ok").write_text("")
    assert launch("status").stdout == "status|"


def test_a_checkout_without_its_lock_is_told(launch, checkout):
    (checkout / "uv.lock").write_text("")
    assert "cannot find the version of uv" in launch("status").stderr


def test_what_root_makes_in_a_users_checkout_is_the_users(launch, checkout):
    package = checkout / "lib" / "helio" / "src" / "helio"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    if os.geteuid() == 0:
        os.chown(checkout, 1000, 1000)
    owner = checkout.stat().st_uid
    launch("status")
    made = (checkout / ".venv", checkout / ".venv" / "bin", checkout / "build",
            package / "__pycache__")  # fmt: skip
    assert {path.stat().st_uid for path in made} == {owner}


def test_a_checkout_of_somebody_else_is_told_to_use_sudo(checkout, home):
    """As an ordinary user who may not write there."""
    prefix = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for folder in (checkout, *checkout.parents):
            if folder.is_relative_to("/tmp") and folder != pathlib.Path("/tmp"):
                folder.chmod(0o755)
    else:
        checkout.chmod(0o555)
    done = subprocess.run(
        [*prefix, checkout / "helio", "status"],
        env={"PATH": f"{home / 'bin'}:/usr/bin:/bin", "HOME": "/"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    checkout.chmod(0o755)
    assert done.returncode == 1
    assert "belongs to another user; run this once with sudo" in done.stderr
