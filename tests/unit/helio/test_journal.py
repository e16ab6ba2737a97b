from pathlib import Path

import pytest

from helio.journal import Changes, Journal

PATH = Path("/home/journal.json")


@pytest.fixture
def journal(host):
    return Journal(host, PATH)


def test_without_a_file_nothing_was_changed(journal):
    assert journal.read() == Changes()


def test_the_first_former_value_is_kept(journal):
    journal.add_kernel("net/ipv4/ip_forward", "0")
    journal.add_kernel("net/ipv4/ip_forward", "1")
    assert journal.read().kernel == {"net/ipv4/ip_forward": "0"}


def test_the_firewall_is_recorded_once(journal):
    journal.add_firewall([], ["filter INPUT"])
    journal.add_firewall(["ip nat"], ["nat NETAVARK-INPUT"])
    changes = journal.read()
    assert (changes.tables, changes.chains) == ((), ("filter INPUT",))


def test_packages_of_two_runs_add_up(journal):
    journal.add_packages(["podman"])
    journal.add_packages(["buildah", "podman"])
    assert journal.read().packages == ("buildah", "podman")


def test_a_file_that_was_there_is_kept_with_its_text(journal, host):
    host.files[Path("/etc/a")] = "old"
    journal.add_file(Path("/etc/a"))
    journal.add_file(Path("/etc/b"))
    host.files[Path("/etc/a")] = "new"
    journal.add_file(Path("/etc/a"))
    assert journal.read().files == {"/etc/a": "old", "/etc/b": None}


def test_only_the_owner_reads_the_journal(journal, host):
    journal.add_packages(["podman"])
    assert host.modes[PATH] == 0o600


def test_what_was_undone_is_forgotten_but_not_the_packages(journal):
    journal.add_packages(["podman"])
    journal.add_kernel("a", "1")
    journal.keep_only_packages()
    assert journal.read() == Changes(packages=("podman",))
