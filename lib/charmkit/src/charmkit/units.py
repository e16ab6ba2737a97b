"""Processes as systemd units: their text, and the digest that decides about a restart. Pure."""

import dataclasses
from collections.abc import Iterable

from charmkit.service import Process, digest

FOLDER = "/etc/systemd/system"
STARTED = "/run/charmkit"
"""Where a unit notes at its start the digest that it starts with; a boot empties it."""

RUNTIME = "/opt/openstack"

_RESTART = 2  # seconds before a process that ended is started again


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A systemd unit as it shall be.

    Attributes:
        process: The process that it runs.
        name: Its name, `nova-compute.service`.
        path: The file that we write: the unit, or a drop-in of a unit of the distribution. ""
            if there is nothing to say about that one.
        text: Content of this file.
        digest: Digest of what the running process depends on; it restarts when that changes. ""
            if nothing of ours is among it.
        note: The file in which the unit notes the digest when it starts.
        stays: Whether it keeps running when our unit is removed.
        files: The files of the process.
    """

    process: str
    name: str
    path: str
    text: str
    digest: str
    note: str
    stays: bool = False
    files: tuple[str, ...] = ()


def define(
    process: Process,
    *,
    service: str,
    files: tuple[str, ...],
    digest_of_files: str,
    runtime: str,
) -> Unit:
    """Define the unit of a process.

    Args:
        process: The process, its templates rendered.
        service: The service: names our drop-ins and notes.
        files: Paths of its files.
        digest_of_files: Digest of those of its files whose change restarts it; "" if it has none.
        runtime: Digest of what stands in `/opt/openstack`; counts for programs from there.
    """
    name = process.unit or f"{process.name}.service"
    path = f"{FOLDER}/{name}.d/charmkit-{service}.conf" if process.unit else f"{FOLDER}/{name}"
    note = f"{STARTED}/{service}/{process.name}"
    uses_runtime = process.command.startswith(f"{RUNTIME}/")
    is_plain = process.unit and not (
        digest_of_files or process.environment or process.settings or process.after
    )
    if is_plain:
        return Unit(
            process=process.name,
            name=name,
            path="",
            text="",
            digest="",
            note=note,
            stays=process.stays,
            files=files,
        )
    if not process.unit:
        made = digest(
            [digest_of_files, runtime if uses_runtime else "", "\n".join(_unit(process, ()))]
        )
    elif digest_of_files or process.environment:
        # What else stands in a drop-in counts from the next start: VMs and their networks hang on
        # such processes, so they do not restart for a word.
        made = digest([digest_of_files, dict(process.environment)])
    else:
        made = ""
    line = f"ExecStartPre=+/bin/sh -c 'mkdir -p {STARTED}/{service} && echo {made} > {note}'"
    render = _drop_in if process.unit else _unit
    remember = (line,) if made else ()
    return Unit(
        process=process.name,
        name=name,
        path=path,
        text="\n".join(render(process, remember)) + "\n",
        digest=made,
        note=note,
        stays=process.stays,
        files=files,
    )


def _unit(process: Process, remember: Iterable[str]) -> list[str]:
    after = " ".join(process.after)
    kind = ("Type=oneshot", "RemainAfterExit=yes") if process.once else ("Type=exec",)
    restart = () if process.once else ("Restart=always", f"RestartSec={_RESTART}")
    return [
        "# Written by a charm; use its options.",
        "[Unit]",
        f"Description={process.summary or process.name}",
        f"Wants=network-online.target {after}".rstrip(),
        f"After=network-online.target {after}".rstrip(),
        *([f"Before={' '.join(process.before)}"] if process.before else ()),
        # A dependency that is away for long must not end in a unit that is never tried again.
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        *kind,
        f"User={process.user}",
        f"Group={process.group}",
        *_environment(process),
        *remember,
        f"ExecStart={process.command.replace('%', '%%').replace('$', '$$')}",
        *restart,
        f"TimeoutStopSec={process.kill_delay}",
        *process.settings,
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _drop_in(process: Process, remember: Iterable[str]) -> list[str]:
    after = " ".join(process.after)
    unit = ["[Unit]", f"Wants={after}", f"After={after}", ""] if after else []
    return [
        "# Written by a charm; use its options.",
        *unit,
        "[Service]",
        *_environment(process),
        *remember,
        *process.settings,
    ]


def _environment(process: Process) -> list[str]:
    return [
        'Environment="{}={}"'.format(
            name, value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        )
        for name, value in process.environment.items()
    ]
