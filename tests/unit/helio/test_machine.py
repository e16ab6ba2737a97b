from pathlib import Path

import pytest

from helio import machine
from helio.host import DryRunHost
from helio.journal import Journal

JOURNAL = Path("/home/journal.json")
ALL = machine.read_packages(machine.PACKAGE_LIST.read_text())


def installed(*names: str) -> str:
    return "".join(f"ii  {name}\n" for name in names) + "rc  old\n"


@pytest.fixture
def install():
    return machine.InstallPackages(JOURNAL)


@pytest.fixture
def limits(host):
    for name, least in machine.KERNEL_MINIMUM.items():
        host.files[machine.kernel_path(name)] = f"{least - 1}\n"
    host.files[machine.kernel_path("net/ipv4/ip_forward")] = "0\n"
    host.answer(
        "iptables", "-w", "-t", "filter", with_="-P INPUT ACCEPT\n-N MINE\n-A INPUT -j MINE\n"
    )
    host.answer("iptables", "-w", "-t", "nat", with_="-P OUTPUT ACCEPT\n")
    host.answer("nft", with_="table ip filter\n")

    def tee(command):
        host.files[Path(command.argv[1])] = command.input
        return command.input

    host.answer("tee", with_=tee)
    return machine.SetKernel(JOURNAL)


def test_a_package_list_has_a_name_and_a_reason_on_each_line():
    text = machine.PACKAGE_LIST.read_text()
    lines = [line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("#")]
    assert all(len(words) == 2 for words in lines)


def test_removed_packages_whose_configuration_stays_are_not_installed(host):
    host.answer("dpkg-query", with_=installed("podman"))
    assert machine.installed_packages(host) == {"podman"}


def test_nothing_is_installed_when_all_is_there(host, install):
    host.answer("dpkg-query", with_=installed(*ALL))
    assert install.is_done(host)


def test_what_will_be_new_is_journalled_before_it_is_installed(host, install, reporter):
    host.answer("dpkg-query", with_=installed(*(set(ALL) - {"podman"})))
    host.answer("dpkg")
    host.answer("apt-get", "update")
    plan = "Inst conmon (2.1 Debian)\nInst libc6 [2.35] (2.36 Debian)\nInst podman (4.3 Debian)\n"
    host.answer("apt-get", "--simulate", with_=plan)
    seen = []

    def apt(command):
        seen.append(Journal(host, JOURNAL).read().packages)
        return ""

    host.answer("apt-get", "install", with_=apt)
    install.apply(host, reporter)
    assert seen == [("conmon", "podman")]
    assert host.changes[-1] == "apt-get install --yes --no-install-recommends podman"


def test_a_dry_run_names_packages_that_apt_does_not_know_yet(host, install, reporter):
    record = []
    host.answer("dpkg-query", with_=installed())
    host.fail("apt-get", "--simulate", status=100)
    install.apply(DryRunHost(host, record.append), reporter)
    assert any(line.startswith("run apt-get install") and "podman" in line for line in record)


def test_low_limits_are_raised_and_the_former_values_journalled(host, limits, reporter):
    assert not limits.is_done(host)
    limits.apply(host, reporter)
    assert limits.is_done(host)
    changes = Journal(host, JOURNAL).read()
    assert changes.kernel["fs/inotify/max_user_instances"] == "1023"
    assert changes.kernel["net/ipv4/ip_forward"] == "0"
    assert changes.chains == ("filter INPUT", "filter MINE", "nat OUTPUT")
    assert "fs.inotify.max_user_instances = 1024" in host.files[machine.KERNEL_FILE]


def test_limits_that_an_interrupted_run_raised_stay_in_the_file(host, limits, reporter):
    name, other = machine.KERNEL_MINIMUM
    host.files[machine.kernel_path(other)] = "1\n"
    limits.apply(host, reporter)
    host.files[machine.kernel_path(name)] = f"{machine.KERNEL_MINIMUM[name]}\n"
    host.files[machine.kernel_path(other)] = "1\n"  # the power went before the second was set
    limits.apply(host, reporter)
    assert host.files[machine.KERNEL_FILE].count(" = ") == 2


def test_high_limits_stay(host, limits, reporter):
    for name in machine.KERNEL_MINIMUM:
        host.files[machine.kernel_path(name)] = "9999999\n"
    limits.apply(host, reporter)
    assert host.changes == []
    assert machine.KERNEL_FILE not in host.files


def test_without_iptables_a_dry_run_finds_no_chains(host):
    host.fail("iptables", status=127)
    assert machine.firewall_chains(host) == ()
