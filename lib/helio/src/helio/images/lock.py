"""Make an image's requirements.lock: OpenStack's constraints, less exactly those that cannot hold.

The constraints list of a release is frozen before its services are; some entries then exclude
the services themselves. The smallest set of entries that has to go is found by asking the
resolver, and every one that is lifted is written down with the resolver's own reason.
"""

import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml

from helio.host import Command, CommandError, HelioError, Host

# Of the distributions' Pythons the oldest; markers in the lock tell where others differ.
OLDEST_PYTHON = "3.11"

_CONSTRAINT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)===(?P<version>[^;\s]+)(?P<marker>;.*)?")
_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_LOCK_HEADER = "# Made by `helio images lock` from requirements.in and upper-constraints.txt.\n"
_LIFTED_HEADER = (
    "# Entries of upper-constraints.txt that requirements.lock does not follow, because no\n"
    "# solution exists with them. Made by `helio images lock`.\n"
)


class LockError(HelioError):
    """Requirements that no set of versions fulfils."""


@dataclasses.dataclass(frozen=True)
class Lifted:
    """A constraint that was lifted.

    Args:
        name: Normalised name of the package.
        constraint: The version that the list names.
        locked: The version in the lock instead.
        reason: What excludes the listed version.
    """

    name: str
    constraint: str
    locked: str
    reason: str


def normalise(name: str) -> str:
    """Return a package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_constraints(text: str) -> dict[str, tuple[str, ...]]:
    """Return normalised package names to their lines; one package may have a line per Python."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if match := _CONSTRAINT.fullmatch(line.strip()):
            name = normalise(match["name"])
            found[name] = (*found.get(name, ()), line.strip())
    return found


def parse_lock(text: str) -> dict[str, tuple[str, ...]]:
    """Return the packages of a lock to their versions, more than one where Pythons differ."""
    found: dict[str, tuple[str, ...]] = {}
    for match in _PIN.finditer(text):
        found[match["name"]] = (*found.get(match["name"], ()), match["version"])
    return found


def smallest_lift(
    candidates: Iterable[str], is_solvable: Callable[[frozenset[str]], bool]
) -> tuple[str, ...]:
    """Return a set of constraints to lift of which none can be spared.

    Args:
        candidates: Names that may be lifted; lifting all of them solves.
        is_solvable: Says whether a solution exists when exactly these are lifted.
    """
    ordered = sorted(candidates)
    lifted = set(ordered)

    def put_back(names: list[str]) -> None:
        """Put back all of these that can be, by halves: conflicts are few."""
        if not names or is_solvable(frozenset(lifted.difference(names))):
            lifted.difference_update(names)
        elif len(names) > 1:
            middle = len(names) // 2
            put_back(names[:middle])
            put_back(names[middle:])

    put_back(ordered)
    return tuple(sorted(lifted))


def reason(name: str, version: str, explanation: str) -> str:
    """Return what excludes a version, from the resolver's explanation.

    Args:
        name: Normalised name of the package.
        version: Version that the constraint names.
        explanation: The resolver's words when only this constraint is put back.
    """
    text = " ".join(explanation.split())
    claims = re.findall(rf"(\S+ depends on {re.escape(name)}[^\s,]*)", text)
    claims += re.findall(rf"(you require {re.escape(name)}[^\s,]*)", text)
    # The resolver narrows a range by the constraint before it speaks: such a claim proves nothing.
    telling = dict.fromkeys(claim for claim in claims if not claim.endswith(f"=={version}"))
    return "; ".join(telling).replace("you require", "requirements.in names") or text


def render_lifted(lifted: Iterable[Lifted]) -> str:
    """Return the data file that records the lifted constraints."""
    entries = [dataclasses.asdict(entry) for entry in lifted]
    return _LIFTED_HEADER + yaml.safe_dump(entries, sort_keys=False, width=99)


def make_lock(
    folder: Path, host: Host, environment: Mapping[str, str] | None = None
) -> tuple[Lifted, ...]:
    """Resolve an image's requirements and write `requirements.lock` and `lifted.yaml`.

    Args:
        folder: The image's folder, with requirements.in; the list of constraints, which all
            images share, stands beside it.
        host: Runs uv.
        environment: The index for uv (`UV_DEFAULT_INDEX`) where the public one is not used.

    Raises:
        LockError: the requirements contradict each other even without any constraint.
    """
    with tempfile.TemporaryDirectory() as scratch:
        resolver = _Resolver(folder, host, Path(scratch), dict(environment or {}))
        free = parse_lock(resolver.resolve(resolver.constraints))
        differing = [
            name
            for name, versions in free.items()
            if resolver.versions(name) not in ((), versions)
        ]
        names = smallest_lift(differing, resolver.is_solvable)
        text = resolver.resolve(names)
        locked = parse_lock(text)
        lifted = tuple(
            Lifted(
                name=name,
                constraint=", ".join(resolver.versions(name)),
                locked=", ".join(locked[name]),
                reason=reason(
                    name, resolver.versions(name)[0], resolver.explain({*names} - {name})
                ),
            )
            for name in names
        )
    host.write(folder / "requirements.lock", _LOCK_HEADER + text)
    host.write(folder / "lifted.yaml", render_lifted(lifted))
    return lifted


class _Resolver:
    """Asks uv whether and how an image's requirements resolve."""

    def __init__(self, folder: Path, host: Host, scratch: Path, environment: dict[str, str]):
        text = (folder.parent / "upper-constraints.txt").read_text(encoding="utf-8")
        self.constraints = parse_constraints(text)
        self._requirements = folder / "requirements.in"
        self._host = host
        self._scratch = scratch
        self._environment = environment

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the versions that the constraints name for a package."""
        matches = (_CONSTRAINT.fullmatch(line) for line in self.constraints.get(name, ()))
        return tuple(match["version"] for match in matches if match)

    def is_solvable(self, lifted: Iterable[str]) -> bool:
        """Return whether a solution exists without these constraints."""
        return not self.explain(lifted)

    def explain(self, lifted: Iterable[str]) -> str:
        """Return why no solution exists without these constraints; empty if one does."""
        try:
            self._run(lifted)
        except CommandError as error:
            # Any other trouble (no network, no uv) must not pass for a contradiction.
            if "No solution found" not in error.stderr:
                raise
            return error.stderr
        return ""

    def resolve(self, lifted: Iterable[str]) -> str:
        """Return the lock without these constraints.

        Raises:
            LockError: no solution exists.
        """
        if why := self.explain(lifted):
            raise LockError(f"cannot lock {self._requirements}: {' '.join(why.split())}")
        return self._run(lifted, "--generate-hashes")

    def _run(self, lifted: Iterable[str], *options: str) -> str:
        without = set(lifted)
        lines = (
            line
            for name, entries in self.constraints.items()
            if name not in without
            for line in entries
        )
        file = self._scratch / "constraints.txt"
        file.write_text("\n".join(lines), encoding="utf-8")
        argv = ("uv", "pip", "compile", "--no-config", "--quiet", "--universal", "--no-header")
        argv += ("--no-annotate", f"--python-version={OLDEST_PYTHON}", f"--constraints={file}")
        return self._host.run(
            Command((*argv, *options, str(self._requirements)), reads=True, env=self._environment)
        )
