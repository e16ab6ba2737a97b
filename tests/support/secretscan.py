"""Looks for credentials of a cloud where somebody else could read them.

Each look returns what it has found, one text each: where, and what it is that stands there.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cloudtest import SETTINGS, Cloud

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


Credentials = Mapping[str, str]
"""Value → where it comes from."""


def read_credentials(cloud: Cloud) -> dict[str, str]:
    """Return every secret value that the models know now: value → where it comes from."""
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


def found(where: object, text: str, credentials: Credentials) -> list[str]:
    """Name the credentials in a text."""
    origins = {origin for value, origin in credentials.items() if value in text}
    return [f"{where}: {origin}" for origin in sorted(origins)]


class Commands:
    """Sees the command lines of this machine's processes until it is stopped.

    Only processes that were not there before are read, twice: the first look may have come
    between a fork and its exec. So a look costs little more than a list of numbers.

    Attributes:
        seen: Every command line, its words with a blank between them.
    """

    INTERVAL = 0.2

    def __init__(self):
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def looks(self) -> bool:
        """Return whether it has not ended by itself."""
        return self._thread.is_alive()

    def __enter__(self) -> "Commands":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        known, young = set[str](), set[str]()
        while not self._stop.wait(self.INTERVAL):
            now = {name for name in os.listdir("/proc") if name.isdigit()}
            for number in (now - known) | (young & now):
                self._read(number)
            known, young = now, now - known

    def _read(self, number: str) -> None:
        try:
            words = Path("/proc", number, "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return  # the process has ended meanwhile
        self.seen.add(words.replace(b"\0", b" ").decode(errors="replace"))


def in_commands(commands: Commands, credentials: Credentials) -> list[str]:
    """Look at the command lines that were seen."""
    assert commands.looks(), "somebody still looks"
    assert len(commands.seen) > 100
    # The program's name alone: the line has the credential.
    return [
        each
        for line in list(commands.seen)
        for each in found(line.partition(" ")[0], line, credentials)
    ]


def in_databags(cloud: Cloud, credentials: Credentials) -> list[str]:
    """Look at what units and applications have published."""
    problems: list[str] = []
    for juju in cloud.models:
        for unit in (u for app in juju.status().apps.values() for u in app.units):
            shown = juju.cli("show-unit", unit, "--format", "json")
            assert "relation-info" in shown
            problems += found(unit, shown, credentials)
    return problems


def in_records(cloud: Cloud, credentials: Credentials) -> list[str]:
    """Look at logs and traces, in their files and as the commands show them."""
    problems: list[str] = []
    seen = 0
    for path in sorted(below(cloud.home)):
        parts = path.relative_to(cloud.home).parts
        is_record = path.suffix == ".log" or "logs" in parts or "traces" in parts
        if parts[0] == "storage" or not path.is_file() or not is_record:
            continue
        try:
            text = path.read_text(errors="replace")
        except FileNotFoundError:
            continue  # the oldest traces go when new ones come
        seen += 1
        problems += found(path, text, credentials)
    assert seen > 10, "logs and traces must have been found"
    for juju in cloud.models:
        problems += found("debug-log", juju.debug_log(limit=0), credentials)
        shown = juju.cli("debug-log", "--replay", "--no-tail", "--level", "TRACE")
        problems += found("debug-log, TRACE", shown, credentials)
    return problems


def below(root: Path) -> Iterator[Path]:
    """Yield the files below `root`, also while some of them come and go."""
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names)


def mode_of(path: Path) -> int:
    """Return type and rights of a file, 0 if somebody has taken it away."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def readable_files(root: Path) -> Iterator[Path]:
    """Yield files below `root` that any user could read: every folder on the way lets them in."""
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if stat.S_ISDIR(mode := mode_of(Path(folder) / name)) and mode & stat.S_IXOTH
        ]
        for name in names:
            path = Path(folder) / name
            if stat.S_ISREG(mode := mode_of(path)) and mode & stat.S_IROTH:
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


def in_files(cloud: Cloud, credentials: Credentials) -> list[str]:
    """Look at the files that everybody may read: in containers, in storage, in `/tmp`."""
    uppers = set(roots_of_containers())
    assert len(uppers) >= 4
    storage = set((cloud.home / "engine").glob("models/*/storage/*"))
    problems: list[str] = []
    for root in (*uppers, *storage, *(p for p in Path("/tmp").iterdir() if p.is_dir())):
        for path in readable_files(root):
            try:
                if path.stat().st_size < 64 * 1024 * 1024:
                    text = path.read_bytes().decode(errors="replace")
                    problems += found(path, text, credentials)
            except FileNotFoundError:
                continue  # what runs there has taken it away
    return problems


LOOKS: tuple[Callable[[Cloud, Credentials], list[str]], ...] = (in_databags, in_records, in_files)
