"""Measure the way to the first instance, and what each part of the cloud costs."""

import calendar
import collections
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from cloudtest import proportional_memory, wait_for
from hooktraces import count_hooks

from helio import bundlefile
from helio.tree import find_tree


def application_of(unit: str) -> str:
    """Return the application of a unit's folder or container: `nova` of `nova-0`."""
    return re.sub(r"-\d+$", "", unit)


@pytest.fixture(scope="module")
def prepared(measured):
    measured.cloud.helio("configure")
    return measured.cloud


@pytest.fixture(scope="module")
def milestones(measured, table) -> dict[str, float]:
    """Go on to two instances; return milestone → seconds since the bootstrap was begun."""
    cloud = measured.cloud
    hooks = count_hooks(cloud)
    started = time.monotonic()
    cloud.helio("configure")
    configured = time.monotonic() - started
    table.add("seconds: bootstrap, everything cached", f"{measured.bootstrap_seconds:.0f}")
    table.add("seconds: configure", f"{configured:.0f}")
    reached = {"services": measured.bootstrap_seconds}
    before = measured.bootstrap_seconds + configured
    for name in ("first", "second"):
        began = time.time()
        guest = cloud.launch(name)
        answered = time.time() - began
        server = cloud.sdk("demo").compute.get_server(guest.id)
        created, active = (moment(text) for text in (server.created_at, server.launched_at))
        table.add(f"seconds: {name} instance, asked to ACTIVE", f"{active - created:.0f}")
        table.add(f"seconds: {name} instance, asked to ssh", f"{answered:.0f}")
        reached.setdefault("active", before + active - began)
        reached.setdefault("ssh", before + answered)
        assert guest.answers()
    hooks = count_hooks(cloud) - hooks
    table.add("hooks: configure and two instances", f"{hooks.total()} {by_application(hooks)}")
    return reached


def moment(text: str) -> int:
    """Return a time as Nova writes it in seconds since 1970."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


WAYS = {
    "services": "bootstrap until all is active",
    "active": "bootstrap until the first instance is ACTIVE",
    "ssh": "bootstrap until the first instance answers ssh",
}


@pytest.mark.parametrize("milestone", WAYS)
def test_the_way_is_nearly_as_short_as_by_hand(milestone, milestones, bare_milestones, table):
    ours, by_hand = milestones[milestone], bare_milestones[milestone]
    ratio = ours / by_hand
    table.add(
        f"{WAYS[milestone]}, against the bare script",
        f"{ours:.0f} s / {by_hand:.0f} s = {ratio:.2f}",
        "≤ 2",
    )
    assert ratio <= 4


def by_application(hooks: Mapping[str, int]) -> dict[str, int]:
    """Add up what the units of each application have run; nothing for those with none."""
    counts: collections.Counter[str] = collections.Counter()
    for unit, count in hooks.items():
        counts[application_of(unit)] += count
    return {name: count for name, count in sorted(counts.items()) if count}


def test_hooks_of_each_application_are_told(measured, table):
    counts = by_application(measured.hooks)
    for application, count in counts.items():
        table.add(f"hooks of {application}, bootstrap", str(count))
    manifest = bundlefile.read_manifest(find_tree())
    assert set(counts) == {*manifest.part("pods"), *manifest.part("machines")}


def test_memory_of_each_application_is_told(prepared, table):
    listing = prepared.podman("ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}")
    names = dict(line.split(maxsplit=1) for line in listing.splitlines())
    used: collections.Counter[str] = collections.Counter()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and (part := part_of(process, names)):
            used[part] += proportional_memory(process.name)
    for part, kilobytes in used.most_common():
        table.add(f"MiB proportional: {part}", f"{kilobytes / 1024:.0f}")
    total = sum(used.values()) / 1024**2
    table.add("GiB proportional: the cloud with two instances", f"{total:.1f}", "< 6.5")
    assert 1 < total < 13


def part_of(process: Path, names: dict[str, str]) -> str | None:
    """Return the application or machine in whose container a process runs; None: in none."""
    try:
        groups = (process / "cgroup").read_text()
    except OSError:
        return None
    found = next((name for id_, name in names.items() if id_ in groups), None)
    # helio-test.openstack.nova-0.nova, helio-test.machines.machine-0
    return application_of(found.split(".")[2]) if found else None


def test_one_more_hypervisor_costs_the_others_the_same_each_time(prepared, table):
    costs: list[int] = []
    for _ in range(2):
        before = count_hooks(prepared)
        new = json.loads(prepared.helio("node", "add", "--format", "json"))
        prepared.settle()
        unit = new[0]["unit"].replace("/", "-")
        after = count_hooks(prepared)
        caused = {name: after[name] - before[name] for name in after if name != unit}
        costs.append(sum(caused.values()))
        told = ", ".join(f"{name} {count}" for name, count in sorted(caused.items()) if count)
        table.add(f"hooks that hypervisor {unit} causes elsewhere", f"{costs[-1]} ({told})")
    for node in ("openstack-hypervisor/2", "openstack-hypervisor/1"):
        prepared.helio("node", "remove", node, "--yes")
    wait_for(
        lambda: len(prepared.machines.status().apps["openstack-hypervisor"].units) == 1,
        300,
        "the hypervisors are gone",
    )
    assert costs[1] <= costs[0] + 2, "independent of how many there are"
