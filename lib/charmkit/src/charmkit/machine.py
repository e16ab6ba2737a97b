"""A machine: the target whose processes systemd runs, with what must be there before."""

import grp
import hashlib
import json
import os
import pathlib
import pwd
import shlex
import shutil
import subprocess
import tempfile
import typing
from collections.abc import Iterable, Mapping, Sequence

from charmkit.layout import Content, DirectoryContent, Workload
from charmkit.service import Service, User
from charmkit.target import CommandError, FileInfo
from charmkit.units import RUNTIME, Unit

_INSTALL = 1800  # seconds that the distribution's packages may take
_UNPACK = 600  # seconds that unpacking the runtime may take
_RESTART = 300  # seconds that starting one unit may take
_PROBE = 10  # seconds that a probe may take


class Machine:
    """The machine on which a unit of a machine charm stands.

    Args:
        service: Name of the service; several machine charms may share a machine.
        root: Where its file system begins; another folder in tests.
    """

    def __init__(self, service: str, root: pathlib.Path = pathlib.Path("/")):
        self._service = service
        self._root = root
        self.folder = f"/var/lib/charmkit/{service}"

    # --- files ---------------------------------------------------------------------------------

    def info(self, path: str) -> FileInfo | None:
        """Tell mode and owner of a file or folder."""
        try:
            found = self._at(path).stat()
        except FileNotFoundError:
            return None
        user, group = self._owner(path, found)
        return FileInfo(mode=found.st_mode & 0o7777, user=user, group=group)

    def read(self, path: str) -> str | None:
        """Give the text of a file."""
        try:
            return self._at(path).read_text()
        except FileNotFoundError:
            return None

    def write(self, content: Content) -> None:
        """Write a file in one step: nobody sees half of it, or a secret with a wrong owner."""
        place = self._at(content.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        new = pathlib.Path(name)
        try:
            with os.fdopen(number, "w") as file:
                file.write(content.text)
            self._own(new, content.path, content.user, content.group)
            new.chmod(content.mode)
            new.replace(place)
        finally:
            new.unlink(missing_ok=True)

    def make_folder(self, directory: DirectoryContent) -> None:
        """Make a folder."""
        place = self._at(directory.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700)
        self._own(place, directory.path, directory.user, directory.group)
        place.chmod(directory.mode)

    def list(self, path: str) -> Sequence[str]:
        """Give the paths of what is in a folder."""
        place = self._at(path)
        return [f"{path}/{name}" for name in sorted(os.listdir(place))] if place.is_dir() else []

    def remove(self, path: str) -> None:
        """Remove a file or folder."""
        place = self._at(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def _at(self, path: str) -> pathlib.Path:
        return self._root / path.lstrip("/")

    def _owner(self, path: str, found: os.stat_result) -> tuple[str, str]:
        """Name the owners of a file; by their number if nobody has it."""
        try:
            user = pwd.getpwuid(found.st_uid).pw_name
        except KeyError:
            user = str(found.st_uid)
        try:
            group = grp.getgrgid(found.st_gid).gr_name
        except KeyError:
            group = str(found.st_gid)
        return user, group

    def _own(self, place: pathlib.Path, path: str, user: str, group: str) -> None:
        shutil.chown(place, user, group)

    # --- commands ------------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        user: str | None = None,
        group: str | None = None,
        timeout: float = 120,
    ) -> str:
        """Run a command on the machine."""
        status, output, error = self._execute(argv, environment or {}, stdin, user, group, timeout)
        if status:
            raise CommandError(argv, status, error or output)
        return output

    def _execute(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        stdin: str,
        user: str | None,
        group: str | None,
        timeout: float,
    ) -> tuple[int, str, str]:
        as_root = user in (None, "root")
        # The charm's own Python, its virtual environment among it, is not the workload's.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "JUJU_", "VIRTUAL_ENV", "OPERATOR_DISPATCH"))
        }
        try:
            done = subprocess.run(
                list(argv),
                env={**inherited, **environment},
                input=stdin,
                user=None if as_root else user,
                group=None if as_root else group,
                extra_groups=None if as_root else [],
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return -1, "", f"no answer in {timeout:g} s"
        except FileNotFoundError:
            return 127, "", "there is no such program"
        return done.returncode, done.stdout, done.stderr

    # --- processes -----------------------------------------------------------------------------

    def is_as_wanted(self, workload: Workload) -> bool:
        """Tell whether every unit is defined as it shall be and runs since it is so."""
        states = self._states(unit.name for unit in workload.units)
        return not any(
            not self._is_defined(unit) or self._problems(unit, states[unit.name])
            for unit in workload.units
        )

    def is_running(self, workload: Workload) -> bool:
        """Tell whether any of the units runs."""
        states = self._states(unit.name for unit in workload.units)
        return any(state["ActiveState"] == "active" for state in states.values())

    def start(self, workload: Workload) -> None:
        """Define the units and, one after the other, start or restart those that need it."""
        self._remember(workload)
        states = self._states(unit.name for unit in workload.units)
        new = [self._write_unit(unit) for unit in workload.units if not self._is_defined(unit)]
        if new or any(state["NeedDaemonReload"] == "yes" for state in states.values()):
            self._systemctl("daemon-reload")
            states = self._states(unit.name for unit in workload.units)
        for unit in workload.units:
            state = states[unit.name]
            if state["UnitFileState"] == "disabled":
                self._systemctl("enable", unit.name)
            if problem := self._problems(unit, state):
                self._systemctl(problem, unit.name)

    def drain(self) -> None:
        """Do nothing: no one forwards clients to machines."""

    def has_checks(self, workload: Workload) -> bool:
        """Tell that nothing is to be installed: systemd has no checks, we look ourselves."""
        return True

    def install_checks(self, workload: Workload) -> None:
        """Do nothing: there is nothing to install."""

    def silent(self, workload: Workload) -> Sequence[str]:
        """Name the processes whose unit is not active or whose probe fails, now."""
        states = self._states(unit.name for unit in workload.units)
        probes = {probe.process: shlex.split(probe.command) for probe in workload.probes}
        return [
            unit.process
            for unit in workload.units
            if states[unit.name]["ActiveState"] != "active"
            or not self._answers(probes.get(unit.process))
        ]

    def _answers(self, probe: Sequence[str] | None) -> bool:
        try:
            return not probe or bool(self.run(probe, timeout=_PROBE) or True)
        except CommandError:
            return False

    def stop(self, names: Sequence[str]) -> None:
        """Stop the units for good, but for those that stay; remove what we wrote for them."""
        record: dict[str, typing.Any] = json.loads(self.read(self._record) or "{}")
        leaving = [record[name] for name in names if name in record and not record[name]["stays"]]
        kept = {path for each in record.values() if each["stays"] for path in each["files"]}
        if leaving:
            # In the opposite order: what was started last needs the others.
            units = [each["unit"] for each in reversed(leaving)]
            self._systemctl("disable", "--now", *units)
        for each in leaving:
            for path in {each["path"], *each["files"]} - kept - {""}:
                self.remove(path)
        if leaving:
            self._systemctl("daemon-reload")
        self.remove(self.folder)

    def services(self) -> dict[str, bool]:
        """Tell which of the processes that were started run: process → whether it does."""
        record: dict[str, typing.Any] = json.loads(self.read(self._record) or "{}")
        states = self._states(each["unit"] for each in record.values())
        return {
            name: states[each["unit"]]["ActiveState"] == "active" for name, each in record.items()
        }

    @property
    def _record(self) -> str:
        return f"{self.folder}/units.json"

    def _remember(self, workload: Workload) -> None:
        """Note what is to be undone: when we are removed no plan can be made any more."""
        record = {
            unit.process: {
                "unit": unit.name,
                "path": unit.path,
                "stays": unit.stays,
                "files": list(unit.files),
            }
            for unit in workload.units
        }
        text = json.dumps(record, sort_keys=False)
        if self.read(self._record) != text:
            self._write_root(self._record, text, 0o600)

    def _is_defined(self, unit: Unit) -> bool:
        return not unit.path or self.read(unit.path) == unit.text

    def _write_unit(self, unit: Unit) -> str:
        self._write_root(unit.path, unit.text, 0o644)
        return unit.name

    def _write_root(self, path: str, text: str, mode: int) -> None:
        self.write(Content(path=path, text=text, mode=mode, user="root", group="root"))

    def _problems(self, unit: Unit, state: Mapping[str, str]) -> str:
        """Name what systemctl has to do for the unit, or "" if it is as it shall be."""
        if state["ActiveState"] not in ("active", "activating", "reloading"):
            return "start"
        noted = (self.read(unit.note) or "").strip()
        return "restart" if unit.digest and noted != unit.digest else ""

    def _states(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Ask for the states of units: name → property → value."""
        wanted = ("ActiveState", "UnitFileState", "NeedDaemonReload")
        asked = list(dict.fromkeys(names))
        if not asked:
            return {}
        properties = ",".join(("Id", *wanted))
        text = self._systemctl("show", f"--property={properties}", *asked)
        # One block for each unit, in the order in which they were asked for.
        blocks = [
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            for block in text.strip().split("\n\n")
        ]
        return {
            name: {key: block.get(key, "") for key in wanted}
            for name, block in zip(asked, blocks, strict=True)
        }

    def _systemctl(self, *arguments: str) -> str:
        # A script of the same name for another init system is none of its business.
        skip = {"SYSTEMCTL_SKIP_SYSV": "1"}
        return self.run(("systemctl", *arguments), environment=skip, timeout=_RESTART)

    # --- what must be there --------------------------------------------------------------------

    def prepare(self, service: Service, runtime: pathlib.Path | None) -> None:
        """Bring packages, users and the runtime; do nothing where they are there.

        Args:
            service: The service.
            runtime: Path of the file resource, or None if the service has none.

        Raises:
            CommandError: A package cannot be installed, or the runtime not be unpacked.
        """
        self._ensure_packages(service.packages)
        for user in service.users:
            self._ensure_user(user)
        if runtime:
            self._ensure_runtime(runtime)

    def runtime(self) -> str:
        """Give the digest of what stands in `/opt/openstack`, or "" if nothing of ours does."""
        place = self._at(RUNTIME)
        return place.readlink().name.rpartition("-")[2] if place.is_symlink() else ""

    def _ensure_packages(self, packages: Sequence[str]) -> None:
        if not packages:
            return
        form = "${Package} ${db:Status-Abbrev}\n"
        _, text, _ = self._execute(
            ("dpkg-query", "-W", f"-f={form}", *packages), {}, "", None, None, 60
        )
        present = {line.split()[0] for line in text.splitlines() if line.split()[1:] == ["ii"]}
        missing = [each for each in packages if each not in present]
        if not missing:
            return
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
        self.run(("apt-get", "update"), environment=quiet, timeout=_INSTALL)
        self.run(
            ("apt-get", "install", "--yes", "--no-install-recommends", *missing),
            environment=quiet,
            timeout=_INSTALL,
        )

    def _ensure_user(self, user: User) -> None:
        if self._execute(("getent", "group", user.name), {}, "", None, None, 30)[0]:
            self.run(("groupadd", "--system", "--gid", str(user.uid), user.name))
        if self._execute(("getent", "passwd", user.name), {}, "", None, None, 30)[0]:
            home = ("--home-dir", user.home, "--no-create-home", "--shell", "/usr/sbin/nologin")
            ids = ("--system", "--uid", str(user.uid), "--gid", user.name)
            self.run(("useradd", *ids, *home, user.name))
        groups = self.run(("id", "--name", "--groups", user.name)).split()
        lacking = [group for group in user.groups if group not in groups]
        if lacking:
            self.run(("usermod", "--append", "--groups", ",".join(lacking), user.name))
        if self.info(user.home) is None:
            self.make_folder(
                DirectoryContent(
                    path=user.home, files=(), mode=0o755, user=user.name, group=user.name
                )
            )

    def _ensure_runtime(self, archive: pathlib.Path) -> None:
        """Unpack the runtime beside the old one, and let `/opt/openstack` name it in one step.

        Another charm on this machine may have brought a newer one since, so only an archive that
        is new to us is unpacked.
        """
        with archive.open("rb") as file:
            wanted = hashlib.file_digest(file, "sha256").hexdigest()[:24]
        record = f"{self.folder}/runtime"
        place, new = self._at(RUNTIME), self._at(f"{RUNTIME}-{wanted}")
        if self.read(record) == wanted and place.exists():
            return
        if self.runtime() != wanted:
            old = place.resolve() if place.exists() else None
            unpacked = new.with_suffix(".unpacked")
            for left in (new, unpacked):  # by an interrupted hook
                shutil.rmtree(left, ignore_errors=True)
            unpacked.mkdir(parents=True)
            places = (f"--file={archive}", f"--directory={unpacked}")
            argv = ("tar", "--extract", "--zstd", "--no-same-owner", *places)
            self.run(argv, timeout=_UNPACK)
            # The archive may name the folder, or begin in it.
            (unpacked / RUNTIME.lstrip("/") if (unpacked / "opt").is_dir() else unpacked).rename(
                new
            )
            shutil.rmtree(unpacked, ignore_errors=True)
            link = new.with_suffix(".link")
            link.unlink(missing_ok=True)
            link.symlink_to(new.name)
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)  # a folder cannot be replaced in one step
            link.replace(place)
            if old and old != place:
                shutil.rmtree(old)
        self._write_root(record, wanted, 0o644)
