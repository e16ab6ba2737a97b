"""A machine that behaves like one: files in a folder, a systemd with memory, owners in a table.

What nobody declared fails: an unknown program, a unit that no file defines.
"""

import pathlib
import re

from charmkit.machine import Machine


class System:
    """What is on a machine, as it outlives one dispatch.

    Args:
        root: Folder that is its file system.
        units: Units that packages bring, name → whether they are enabled.
        programs: Runs any other program: (argv, stdin) → output; raises KeyError if it has none.
    """

    def __init__(self, root: pathlib.Path, units=(), programs=None):
        self.root = root
        self.packages: set[str] = set()
        self.users: dict[str, list[str]] = {}
        self.owners: dict[str, tuple[str, str]] = {}
        self.units: dict[str, str] = dict.fromkeys(units, "disabled")
        self.loaded: dict[str, str] = {}
        self.active: set[str] = set()
        self.failing: set[str] = set()
        self.starts: list[str] = []
        self.argvs: list[tuple[str, ...]] = []  # of everything that was run
        self.commands: list[tuple[str, ...]] = []  # without those that only manage it
        self.programs = programs
        root.mkdir(parents=True, exist_ok=True)

    # --- systemd -------------------------------------------------------------------------------

    def _text(self, unit: str) -> str:
        """Give what the files say of a unit: its own file and its drop-ins."""
        folder = self.root / "etc/systemd/system"
        paths = [folder / unit, *sorted((folder / f"{unit}.d").glob("*.conf"))]
        return "".join(path.read_text() for path in paths if path.is_file())

    def _known(self, unit: str) -> bool:
        return unit in self.units or (self.root / "etc/systemd/system" / unit).is_file()

    def systemctl(self, verb: str, *arguments: str) -> tuple[int, str, str]:
        names = [each for each in arguments if not each.startswith("--")]
        if verb == "show":
            return 0, "\n".join(map(self._show, names)), ""
        for name in names:
            if not self._known(name) and name not in self.loaded:
                return 5, "", f"Unit {name} not found."
            if verb in ("start", "restart"):
                if name not in self.loaded:
                    self.loaded[name] = self._text(name)
                if name in self.failing:
                    return 1, "", f"Job for {name} failed."
                self._start(name)
            elif verb == "enable":
                self.units[name] = "enabled"
            elif verb == "disable":
                self.units[name] = "disabled"
                self.active.discard(name)
        if verb == "daemon-reload":
            self.loaded = {
                name: self._text(name) for name in {*self.units, *self._files()} | set(self.loaded)
            }
        assert verb in ("start", "restart", "enable", "disable", "daemon-reload"), verb
        return 0, "", ""

    def _files(self):
        return [path.name for path in (self.root / "etc/systemd/system").glob("*.service")]

    def _show(self, name: str) -> str:
        state = "active" if name in self.active else "inactive"
        stale = "yes" if self.loaded.get(name, "") != self._text(name) else "no"
        enabled = self.units.get(name, "disabled" if self._known(name) else "")
        return (
            f"Id={name}\nActiveState={state}\nUnitFileState={enabled}\nNeedDaemonReload={stale}\n"
        )

    def _start(self, name: str) -> None:
        note = re.search(
            r"^ExecStartPre=.*echo (\w+) > (\S+)'$", self.loaded[name], flags=re.MULTILINE
        )
        if note:
            path = self.root / note[2].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{note[1]}\n")
        self.active.add(name)
        self.starts.append(name)

    def boot(self) -> None:
        """Boot again: only enabled units run, and nothing is left in /run."""
        self.active = set()
        for path in sorted((self.root / "run").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        self.loaded = {}
        self.systemctl("daemon-reload")
        for name, state in self.units.items():
            if state == "enabled":
                self._start(name)

    # --- other programs ------------------------------------------------------------------------

    def execute(self, argv: tuple[str, ...], stdin: str) -> tuple[int, str, str]:
        self.argvs.append(argv)
        name, *rest = argv
        if name == "systemctl":
            return self.systemctl(*rest)
        if name == "dpkg-query":
            asked = [each for each in rest if not each.startswith("-")]
            found = [each for each in asked if each in self.packages]
            return int(found != asked), "".join(f"{each} ii \n" for each in found), ""
        self.commands.append(argv)
        if name == "apt-get":
            self.packages |= {each for each in rest[1:] if not each.startswith("-")}
            return 0, "", ""
        if name == "getent":
            return (0 if rest[1] in self.users else 2), "", ""
        if name == "groupadd":
            return 0, "", ""
        if name == "useradd":
            self.users[rest[-1]] = [rest[-1]]
            return 0, "", ""
        if name == "id":
            return 0, " ".join(self.users[rest[-1]]), ""
        if name == "usermod":
            self.users[rest[-1]] += rest[2].split(",")
            return 0, "", ""
        if name == "tar":
            place = next(each.split("=")[1] for each in rest if each.startswith("--directory"))
            (pathlib.Path(place) / "opt/openstack/bin").mkdir(parents=True)
            return 0, "", ""
        if self.programs is None:
            return 127, "", f"nobody declared the program of {argv}"
        return self.programs(argv, stdin)


class FakeMachine(Machine):
    """A `Machine` whose commands and owners are those of a `System`."""

    def __init__(self, service: str, system: System):
        super().__init__(service, system.root)
        self._system = system

    def _execute(self, argv, environment, stdin, user, group, timeout):
        return self._system.execute(tuple(argv), stdin)

    def _owner(self, path, found):
        return self._system.owners.get(path, ("root", "root"))

    def _own(self, place, path, user, group):
        self._system.owners[path] = (user, group)
