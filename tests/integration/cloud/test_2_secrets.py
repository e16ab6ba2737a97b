"""No credential stands where somebody else could read it."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudtest import SETTINGS

PUBLIC_KEYS = {
    "username",  # a name, needed to read the logs
    "ca",  # certificates are public by nature
    "ca-certificate",
    "certificate",
    "chain",
    "crossing-certificate",
    "csr",
    "fsid",  # names of a Ceph cluster and of libvirt's secret, no keys
    "uuid",
    "old-csr",
    "previous-ca-certificate",
    "subject",  # names in a request
    "tls-ca",
    "tls",
}


@pytest.fixture(scope="module")
def credentials(cloud) -> dict[str, str]:
    """Every secret value that the model knows: value → where it comes from."""
    values: dict[str, str] = {}
    for juju in cloud.models:
        for secret in juju.secrets():
            shown = juju.show_secret(secret.uri, reveal=True)
            for key, value in shown.content.items():
                if key in PUBLIC_KEYS:
                    continue
                # A key in PEM is looked for by its first line of content: no two keys share it.
                is_pem = value.startswith("-----")
                needle = value.strip().splitlines()[1] if is_pem else value.strip()
                if len(needle) >= 8:
                    values[needle] = f"{secret.label or secret.uri} {key}"
    assert len(values) >= 6, "the model must know passwords, keys and private keys"
    return values


def found(text: str, credentials: dict[str, str]) -> list[str]:
    return sorted({origin for value, origin in credentials.items() if value in text})


def test_no_credential_is_in_a_databag(cloud, credentials):
    for juju in cloud.models:
        for unit in (u for app in juju.status().apps.values() for u in app.units):
            shown = juju.cli("show-unit", unit, "--format", "json")
            assert "relation-info" in shown
            assert not found(shown, credentials), unit


def test_no_credential_is_in_an_argument_of_a_process(credentials):
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process has ended meanwhile
        assert not found(arguments, credentials), arguments


def test_no_credential_is_in_a_log_line_or_a_trace(cloud, credentials):
    seen = 0
    for path in sorted(cloud.home.rglob("*")):
        parts = path.relative_to(cloud.home).parts
        is_record = path.suffix == ".log" or "logs" in parts or "traces" in parts
        if parts[0] == "storage" or not path.is_file() or not is_record:
            continue
        seen += 1
        assert not found(path.read_text(errors="replace"), credentials), path
    assert seen > 10, "logs and traces must have been found"
    for juju in cloud.models:
        assert not found(juju.debug_log(limit=0), credentials)


def test_no_credential_is_in_a_trace_as_the_command_shows_it(cloud, credentials):
    shown = cloud.juju.cli("debug-log", "--replay", "--no-tail", "--level", "TRACE")
    assert not found(shown, credentials)


def readable_files(root: Path) -> Iterator[Path]:
    """Yield files below `root` that any user could read: every folder on the way lets them in."""
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if (Path(folder) / name).lstat().st_mode & stat.S_IXOTH
            and not (Path(folder) / name).is_symlink()
        ]
        for name in names:
            path = Path(folder) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & stat.S_IROTH:
                yield path


def roots_of_containers() -> Iterator[Path]:
    """Yield the private layer of every container in the store."""
    for path in Path("/proc").glob("[0-9]*/root"):
        try:
            mounts = (path.parent / "mounts").read_text()
        except (FileNotFoundError, ProcessLookupError, OSError):
            continue
        line = next((row for row in mounts.splitlines() if row.split()[1] == "/"), "")
        options = line.split()[3].split(",") if line else []
        upper = next((o.split("=", 1)[1] for o in options if o.startswith("upperdir=")), "")
        if upper.startswith(SETTINGS["store"]):
            yield Path(upper)


def test_no_credential_is_in_a_file_that_everybody_may_read(cloud, credentials):
    uppers = set(roots_of_containers())
    assert len(uppers) >= 4
    storage = set((cloud.home / "engine").glob("models/*/storage/*"))
    for root in (*uppers, *storage, *(p for p in Path("/tmp").iterdir() if p.is_dir())):
        for path in readable_files(root):
            if path.stat().st_size < 64 * 1024 * 1024:
                assert not found(path.read_bytes().decode(errors="replace"), credentials), path


def test_the_home_of_the_cloud_is_closed_to_others(cloud):
    assert stat.S_IMODE(cloud.home.stat().st_mode) & 0o077 == 0 or not [
        path
        for path in readable_files(cloud.home)
        if path.name in ("openrc", "clouds.yaml", "engine.db")
    ]


def test_the_scan_finds_what_is_planted(cloud, credentials):
    value, origin = next(iter(credentials.items()))
    assert found(json.dumps({"log": f"password is {value}"}), credentials) == [origin]
