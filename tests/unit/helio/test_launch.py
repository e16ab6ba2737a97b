import contextlib
import fcntl
import functools
import os
import subprocess
import sys

import pytest
from fakecloud import World

from helio.cli.context import in_turn
from helio.host import CommandError, HelioError
from helio.launch import Launcher, Request, as_typed, ssh_command
from helio.settings import Settings
from helio.steps import rehearse
from helio.watching import Watch


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def add_image(world, name, created_at, **values):
    values = {"visibility": "public", "properties": None, "status": "active"} | values
    return world.add("image", name=name, created_at=created_at, **values)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, store=tmp_path / "storage")


@pytest.fixture
def world():
    """A configured cloud, in which an instance is active at the third look."""
    world = World()
    world.add("project", name="demo")
    world.add("network", name="external")
    world.add("network", name="demo-network")
    world.add("flavor", name="m1.tiny")
    for number, name in enumerate(("helio-guest", "bare")):
        add_image(world, name, str(number), os_admin_user="cirros" if name != "bare" else None)
    looks = []

    def look(server):
        looks.append(server)
        if len(looks) == 3:
            server.status, server.task_state = "ACTIVE", None

    world.on_look = look
    world.made.clear()
    return world


@pytest.fixture
def launch(world, settings, host, reporter):
    """Launch with ssh that answers at the third time."""
    clock, refused = Clock(), []

    def ssh(command):
        if len(refused) < 2:
            refused.append(command)
            raise CommandError(command.argv, 255, "", "ssh: connect: Connection refused\n")
        return ""

    host.answer("ssh", with_=ssh)
    host.answer("ssh-keygen", "-q", "-R")

    def run(stall: float = 60, **wanted):
        watch = Watch(reporter, stall, clock, clock.sleep)
        turn = functools.partial(in_turn, settings)
        launcher = Launcher(world.connect("demo"), settings, host, watch, turn)
        return launcher.launch(Request(**wanted))

    return run


def test_an_instance_boots_and_answers(launch, world, reporter):
    instance = launch()
    assert (instance.name, instance.user) == ("vm-1", "cirros")
    assert (instance.address, instance.floating_ip) == ("192.168.222.7", "172.24.4.33")
    (server,) = world.table("server")
    assert server.groups == [{"name": "default"}, {"name": "demo"}]
    assert server.key == "demo"
    assert reporter.of("done") == [
        "Boot vm-1", "Wait until vm-1 is active", "Give it a floating IP", "Wait until ssh answers"
    ]  # fmt: skip
    assert "ssh: connect: Connection refused" in reporter.of("note")


def test_a_name_that_is_taken_is_not_taken_again(launch, world):
    launch(name="vm-1")
    world.on_look = lambda server: server.__dict__.update(status="ACTIVE", task_state=None)
    assert launch().name == "vm-2"


def is_free(settings) -> bool:
    """Return whether another launch would get its turn now."""
    folder = os.open(settings.home, os.O_RDONLY)
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False
    finally:
        os.close(folder)


@pytest.mark.parametrize("name", [None, "web"])
def test_others_wait_until_the_name_is_taken_and_no_longer(launch, world, settings, name):
    turns = []
    cloud = world.connect("demo")
    world.connect = lambda _project: cloud
    look, make = cloud.compute.servers, cloud.compute.create_server
    cloud.compute.servers = lambda **query: turns.append(is_free(settings)) or look(**query)
    cloud.compute.create_server = lambda **values: (
        turns.append(is_free(settings)) or make(**values)
    )
    active = world.on_look
    world.on_look = lambda server: turns.append(is_free(settings)) or active(server)
    launch(name=name)
    made = turns.count(False)
    assert turns[:made] == [False] * (3 if name is None else 2), "looked, looked and made"
    assert len(turns) > made


def test_a_launch_that_fails_ends_its_turn(launch, settings):
    with pytest.raises(HelioError, match="cannot find flavor huge"):
        launch(flavor="huge")
    assert is_free(settings)


def test_a_launch_of_the_same_name_goes_on(launch, world):
    first = launch(name="web", volume=1)
    made = list(world.made)
    assert launch(name="web", volume=1) == first
    assert world.made == made


def test_a_volume_is_made_and_attached(launch, world):
    assert launch(name="web", volume=3).volume == "web-volume"
    (volume,) = world.table("volume")
    assert (volume.size, volume.status) == (3, "in-use")


@pytest.mark.parametrize(("image", "user"), [("bare", "root"), ("helio-guest", "cirros")])
def test_who_logs_in_is_the_instances_own_user(launch, world, image, user):
    launch(name="web", image=image)
    add_image(world, "new", "9", os_admin_user="debian")
    assert launch(name="web").user == user
    assert launch(name="web", image="new").user == user


@pytest.mark.parametrize(
    "image",
    [
        {"visibility": "private"},
        {"visibility": "shared"},
        # A snapshot that its owner has given to everybody, of an instance with a disk or a volume.
        {"properties": {"image_type": "snapshot", "base_image_ref": "image-1"}},
        {"properties": {"base_image_ref": ""}},
        {"status": "queued"},
    ],
)
def test_the_newest_image_is_one_that_was_configured(launch, world, image):
    world.on_look = lambda server: server.__dict__.update(status="ACTIVE", task_state=None)
    add_image(world, "newer", "8", os_admin_user="root", **image)
    launch(name="web")
    assert world.table("server")[0].image.name == "helio-guest"
    add_image(world, "debian-12", "9", os_admin_user="debian")
    launch(name="other")
    assert world.table("server")[1].image.name == "debian-12"


def test_a_snapshot_boots_by_its_name(launch, world):
    add_image(world, "kept", "9", os_admin_user="cirros", visibility="private",
              properties={"image_type": "snapshot"})  # fmt: skip
    assert launch(name="web", image="kept").user == "cirros"
    assert world.table("server")[0].image.name == "kept"


def test_an_instance_without_an_image_has_no_user_of_its_own(launch, world):
    launch(name="web")
    world.table("image").clear()
    assert launch(name="web").user == "root"
    world.table("server")[0].image = None
    assert launch(name="web").user == "root"


def test_a_volume_of_another_size_is_not_attached(launch, world):
    volume = world.add("volume", name="web-volume", size=1, status="available")
    with pytest.raises(HelioError, match=r"there is one of 1 GiB already.*give --volume 1"):
        launch(name="web", volume=3)
    assert volume.status == "available"


def test_a_volume_that_another_instance_has_is_not_taken_for_ours(launch, world):
    world.add("volume", name="web-volume", size=3, status="in-use",
              attachments=[{"server_id": "other"}])  # fmt: skip
    with pytest.raises(HelioError, match="cannot attach web-volume: another instance has it"):
        launch(name="web", volume=3)


def test_a_volume_that_cannot_be_made_is_told(launch, world):
    world.add("volume", name="web-volume", size=1, status="error")
    with pytest.raises(HelioError, match="cannot attach web-volume: it is in status error"):
        launch(name="web", volume=1)


def test_a_failed_instance_is_told_with_novas_reason(launch, world, reporter):
    def fail(server):
        server.status, server.fault = "ERROR", {"message": "No valid host was found."}

    world.on_look = fail
    with pytest.raises(HelioError, match=r"cannot boot vm-1: No valid host .*helio node list"):
        launch()
    assert reporter.of("failed") == ["Wait until vm-1 is active"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, HelioError])
def test_whatever_ends_a_launch_the_chosen_name_is_told(launch, world, error):
    def fail(_server):
        raise error

    world.on_look = fail
    with pytest.raises(error) as ended:
        launch(volume=2, network="external")
    hint = "go on with: helio launch vm-1 --network external --volume 2"
    assert ended.value.__notes__ == [hint]
    with pytest.raises(error) as ended:
        launch(name="web")
    assert not hasattr(ended.value, "__notes__"), "the same command goes on"


def test_an_instance_that_stays_as_it_is_ends_the_wait(launch, world):
    world.on_look = lambda server: None
    with pytest.raises(HelioError, match="has been at “spawning” for 60 s"):
        launch()


def test_what_is_not_there_is_named_with_the_next_step(launch, world):
    for wanted in ({"flavor": "huge"}, {"network": "none"}, {"image": "none"}):
        (name,) = wanted.values()
        with pytest.raises(HelioError, match=f"cannot find .*{name}: .*helio configure"):
            launch(**wanted)
    assert world.table("server") == []


def test_an_image_by_name_needs_no_user(launch):
    assert launch(image="bare").user == "root"


def test_an_error_inside_the_instance_is_told(launch, host):
    host.fail("ssh", status=1, stderr="true: not found")
    with pytest.raises(CommandError, match="true: not found"):
        launch()


def test_the_host_key_of_an_earlier_instance_is_forgotten(launch, host, settings):
    host.files[settings.known_hosts] = "172.24.4.33 ssh-ed25519 OLD\n"
    launch()
    assert host.changes == [f"ssh-keygen -q -R 172.24.4.33 -f {settings.known_hosts}"]


def test_a_rehearsal_says_from_what_and_makes_nothing(world, settings, host, reporter):
    watch = Watch(reporter, 60)
    launcher = Launcher(world.connect("demo"), settings, host, watch, contextlib.nullcontext)
    rehearse(launcher.steps(Request(volume=2)), host, reporter)
    assert reporter.of("note") == [
        "would boot vm-1: image helio-guest, flavor m1.tiny, network demo-network",
        "would wait until Nova has started it",
        "would attach the volume vm-1-volume, made where it is not there",
        "would give it an address of the network external",
        "would wait until ssh lets the user of its image in",
    ]
    assert (world.made, host.ran) == ([], [])
    with pytest.raises(HelioError, match="cannot find flavor huge"):
        rehearse(launcher.steps(Request(flavor="huge")), host, reporter)


def test_a_rehearsal_of_a_launch_that_goes_on_skips_what_is_done(
    launch, world, settings, host, reporter
):
    launch(name="web")
    reporter.events.clear()
    watch = Watch(reporter, 60)
    launcher = Launcher(world.connect("demo"), settings, host, watch, contextlib.nullcontext)
    rehearse(launcher.steps(Request(name="web")), host, reporter)
    assert reporter.of("skipped") == [
        "Boot web", "Wait until web is active", "Give it a floating IP"
    ]  # fmt: skip


def test_the_command_to_log_in_names_key_and_host_keys(launch, settings):
    command = ssh_command(settings, launch())
    assert command[-1] == "cirros@172.24.4.33"
    assert ["-i", str(settings.key)] == list(command[1:3])
    assert f"UserKnownHostsFile={settings.known_hosts}" in command
    assert as_typed(command, is_sudo=True).startswith("sudo ssh -i ")


# What `helio launch first --ssh` does when the instance answers; its first argument is the home.
LOG_IN = """
import pathlib, sys
from helio.cli import launch
from helio.launch import Instance
from helio.settings import Settings

class Ready:
    def launch(self, request):
        return Instance(request.name, "id", "192.168.222.7", "172.24.4.33", "cirros")

launch.require_cloud = lambda _what: Settings(home=pathlib.Path(sys.argv[1]))
launch._launcher = lambda *_: Ready()
launch.launch(["first", "--ssh", "--format", sys.argv[2]])
"""
SSH = """\
#!/bin/sh
printf '%s\n' "$@"
cat
exit 3
"""


@pytest.mark.parametrize("style", ["table", "json"])
def test_launch_becomes_ssh_with_the_terminal_of_its_own(tmp_path, style):
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", LOG_IN, str(home), style],
        env={"PATH": f"{program.parent}:/usr/bin:/bin"},
        input="hostname\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 3), "ssh's own exit status"
    assert done.stdout.splitlines() == [
        "-i", str(home / "demo-key"),
        "-o", f"UserKnownHostsFile={home / 'known-hosts'}",
        "-o", "StrictHostKeyChecking=accept-new",
        "cirros@172.24.4.33",
        "hostname",
    ]  # fmt: skip
