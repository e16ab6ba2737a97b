from pathlib import Path

import pytest

from helio import destroy
from helio.embedded import program
from helio.host import DryRunHost, LocalHost
from helio.journal import Changes, Journal
from helio.settings import Settings
from helio.tree import Tree

JOURNAL = Path("/home/journal.json")
MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
/dev/vda1 /var/lib/helio/storage/overlay ext4 rw 0 0
overlay /var/lib/helio/storage/overlay/abc/merged overlay rw 0 0
shm /var/lib/helio/storage/overlay-containers/abc/userdata/shm tmpfs rw 0 0
tmpfs /var/lib/helio-other/storage tmpfs rw 0 0
"""


@pytest.fixture
def firewall(host):
    """A machine on which Podman made chains; the commands change it as iptables does."""
    rules = {
        "filter": ["-P INPUT ACCEPT", "-P FORWARD ACCEPT", "-N MINE", "-N NETAVARK_FORWARD",
                   "-A FORWARD -j NETAVARK_FORWARD", "-A FORWARD -j MINE"],
        "nat": ["-P POSTROUTING ACCEPT", "-N NETAVARK-HOSTPORT-MASQ",
                "-A POSTROUTING -j NETAVARK-HOSTPORT-MASQ",
                '-A NETAVARK-HOSTPORT-MASQ -m comment --comment "two words" -j MASQUERADE'],
    }  # fmt: skip
    tables = ["ip filter", "ip nat"]

    def iptables(command):
        table, verb, *rest = command.argv[3:]
        found = rules[table]
        if verb == "-S":
            return "\n".join(found) + "\n"
        text = " ".join(f'"{word}"' if " " in word else word for word in rest)
        found.remove({"-D": f"-A {text}", "-X": f"-N {text}"}[verb])
        return ""

    def nft(command):
        if command.argv[1:3] == ("delete", "table"):
            tables.remove(" ".join(command.argv[3:]))
        return "".join(f"table {table}\n" for table in tables)

    host.answer("iptables", with_=iptables)
    host.answer("nft", with_=nft)
    return rules, tables


@pytest.fixture
def engine(host):
    """A machine with an engine; its program says what it removes."""
    settings = Settings(home=Path("/home"))
    host.files[settings.engine_home / "settings.json"] = "{}"
    command = (str(program("localjuju")), "destroy", "--home", "/home/engine")
    host.answer(*command, with_="removed pod keystone-0\n")
    host.answer(*command, "--dry-run", with_="would remove pod of keystone/0\n")
    return destroy.RemoveEngine(settings)


def test_the_engine_is_removed_with_all_that_it_names(host, engine, reporter):
    assert not engine.is_done(host)
    engine.apply(host, reporter)
    assert reporter.of("tell") == ["removed pod keystone-0"]


def test_a_rehearsal_names_the_pods_that_would_go(host, engine, reporter):
    record = []
    engine.apply(DryRunHost(host, record.append), reporter)
    assert reporter.of("progress") == [{"would remove pod of keystone/0": ""}]
    assert len(record) == 1
    assert host.changes == []


def test_mounts_of_the_store_are_found_innermost_first():
    found = destroy.mounts_below(
        MOUNTS, [Path("/var/lib/helio/storage"), Path("/run/helio/storage")]
    )
    assert found == [
        "/var/lib/helio/storage/overlay-containers/abc/userdata/shm",
        "/var/lib/helio/storage/overlay/abc/merged",
        "/var/lib/helio/storage/overlay",
    ]


def test_a_store_with_containers_in_it_stays_mounted(host):
    host.files[Path("/proc/mounts")] = MOUNTS
    host.answer("podman", with_="0a1b2c\n")
    assert destroy.UnmountStore(Settings()).is_done(host)


def test_an_empty_store_is_unmounted(host, reporter):
    host.files[Path("/proc/mounts")] = MOUNTS
    host.answer("podman")
    host.answer("umount")
    step = destroy.UnmountStore(Settings())
    assert not step.is_done(host)
    step.apply(host, reporter)
    assert host.changes[-1] == "umount /var/lib/helio/storage/overlay"


def test_chains_that_were_there_before_stay(host, firewall):
    Journal(host, JOURNAL).add_firewall(
        ["ip filter", "ip nat"], ["filter NETAVARK_FORWARD", "nat NETAVARK-HOSTPORT-MASQ"]
    )
    assert destroy.RestoreFirewall(JOURNAL).is_done(host)


def test_new_chains_go_with_their_jumps_and_empty_tables(host, firewall, reporter):
    rules, tables = firewall
    Journal(host, JOURNAL).add_firewall(["ip filter"], ["filter INPUT", "filter MINE"])
    step = destroy.RestoreFirewall(JOURNAL)
    step.apply(host, reporter)
    assert rules["filter"] == [
        "-P INPUT ACCEPT", "-P FORWARD ACCEPT", "-N MINE", "-A FORWARD -j MINE",
    ]  # fmt: skip
    assert rules["nat"] == ["-P POSTROUTING ACCEPT"]
    assert tables == ["ip filter"]
    assert step.is_done(host)


def test_without_a_journal_the_firewall_is_left_alone(host, firewall):
    assert destroy.RestoreFirewall(JOURNAL).is_done(host)


@pytest.mark.parametrize(
    ("now", "left"),
    [
        (["filter NETAVARK_FORWARD"], ["filter NETAVARK_FORWARD"]),
        (["filter DOCKER"], []),
        # Somebody else's network still uses the common chains.
        (["filter NETAVARK_FORWARD", "nat NETAVARK-1D8721804F16F"], []),
        (["nat NETAVARK-HOSTPORT-DNAT"], ["nat NETAVARK-HOSTPORT-DNAT"]),
    ],
)
def test_podmans_chains_go_unless_a_network_uses_them(now, left):
    assert destroy.leftover_chains([], now) == left


def test_kernel_settings_and_files_get_their_former_values(host, reporter):
    setting = Path("/proc/sys/net/ipv4/ip_forward")
    journal = Journal(host, JOURNAL)
    journal.add_kernel("net/ipv4/ip_forward", "0")
    journal.add_file(Path("/etc/sysctl.d/60-helio.conf"))
    journal.add_packages(["podman"])
    host.files |= {setting: "1\n", Path("/etc/sysctl.d/60-helio.conf"): "x"}
    host.answer("tee", with_=lambda c: host.files.update({Path(c.argv[1]): c.input}) or "")
    host.answer("iptables", with_="-P FORWARD ACCEPT\n")
    step = destroy.RestoreKernel(JOURNAL)
    assert not step.is_done(host)
    step.apply(host, reporter)
    assert host.files[setting] == "0"
    assert Path("/etc/sysctl.d/60-helio.conf") not in host.files
    assert journal.read() == Changes(packages=("podman",))
    assert step.is_done(host)


def test_kernel_settings_stay_while_another_network_is_up(host, reporter):
    setting = Path("/proc/sys/net/ipv4/ip_forward")
    Journal(host, JOURNAL).add_kernel("net/ipv4/ip_forward", "0")
    host.files[setting] = "1\n"
    host.answer("iptables", with_="-P FORWARD ACCEPT\n-N NETAVARK-1D8721804F16F\n")
    destroy.RestoreKernel(JOURNAL).apply(host, reporter)
    assert host.files[setting] == "1\n"
    assert "other containers" in str(reporter.of("tell"))


@pytest.fixture
def packages(host):
    Journal(host, JOURNAL).add_packages(["podman", "conmon"])
    host.answer("dpkg-query", with_="ii  podman\nii  conmon\nii  bash\n")
    host.answer("apt-get", "--yes", "purge")
    return destroy.RemovePackages(JOURNAL)


def test_packages_that_helio_installed_are_purged(host, packages, reporter):
    host.answer("apt-get", "--simulate", with_="Purg podman [4.3]\nPurg conmon [2.1]\n")
    packages.apply(host, reporter)
    assert host.changes == ["apt-get --yes purge conmon podman"]


def test_packages_that_others_need_by_now_are_kept(host, packages, reporter):
    plan = "Remv toolbox [0.1]\nPurg podman [4.3]\nPurg conmon [2.1]\n"
    host.answer("apt-get", "--simulate", with_=plan)
    packages.apply(host, reporter)
    assert host.changes == []
    assert "toolbox needs them" in str(reporter.of("tell"))


def test_only_a_purge_takes_images_packages_and_the_home(tmp_path):
    from helio.tree import Tree

    def titles(purge: bool) -> list[str]:
        return [step.title for step in destroy.steps(Settings(), Tree(tmp_path), purge)]

    assert "Remove installed packages" not in titles(purge=False)
    assert titles(purge=True)[: len(titles(purge=False))] == titles(purge=False)
    assert titles(purge=True)[-1] == "Remove the home"


def test_a_store_of_another_cloud_is_kept_with_its_caches(host, tmp_path):
    settings = Settings(home=Path("/var/lib/helio-b"), store=Path("/var/lib/helio/storage"))
    host.files |= {settings.store / "db.sql": "", settings.cache / "sbom": "", settings.pebble: ""}
    host.files[Path("/proc/mounts")] = f"/dev/vda {settings.store}/overlay ext4 rw 0 0\n"
    kept = ("Remove the images", "Remove caches", "Unmount the image store")
    purge = destroy.steps(settings, Tree(tmp_path), purge=True)
    assert [step.is_done(host) for step in purge if step.title in kept] == [True, True, True]


def test_a_store_of_its_own_goes_with_the_cloud(host, reporter):
    settings = Settings()
    host.files |= {settings.store / "db.sql": "", settings.store_run / "lock": ""}
    destroy.RemoveStore(settings).apply(host, reporter)
    assert destroy.RemoveStore(settings).is_done(host)
    assert reporter.of("tell") == ["removed /var/lib/helio/storage", "removed /run/helio/storage"]


def test_files_that_are_not_ours_stay_in_the_home(tmp_path, reporter):
    home = tmp_path / "helio"
    (home / "cache").mkdir(parents=True)
    (home / "helio.log").write_text("")
    (home / ".journal.json.ab12cd_3").write_text("half of it")
    (home / "diary.txt").write_text("")
    settings = Settings(home=home, store=home / "storage")
    destroy.RemoveHome(settings).apply(LocalHost(), reporter)
    assert [path.name for path in home.iterdir()] == ["diary.txt"]
    assert reporter.of("tell") == [f"{home}: kept, since other files are in it"]


def test_a_home_with_nothing_else_in_it_is_removed(tmp_path, reporter):
    home = tmp_path / "clouds" / "helio"
    home.mkdir(parents=True)
    (home / "helio.yaml").write_text("")
    step = destroy.RemoveHome(Settings(home=home, store=home / "storage"))
    assert not step.is_done(LocalHost())
    step.apply(LocalHost(), reporter)
    assert [path.name for path in tmp_path.iterdir()] == ["clouds"]
    assert step.is_done(LocalHost())
