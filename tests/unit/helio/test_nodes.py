import jubilant
import pytest
from fakecloud import World
from jubilant.statustypes import (
    AppStatus,
    MachineStatus,
    ModelStatus,
    Status,
    StatusInfo,
    UnitStatus,
)
from openstack.exceptions import ConflictException

from helio.host import HelioError, LocalHost
from helio.nodes import APPLICATION, Node, Nodes
from helio.steps import rehearse, run
from helio.watching import Watch


class Juju:
    """A model of machines with hypervisors, and nothing else but what is added."""

    def __init__(self, world: World):
        self.world = world
        self.machines: dict[str, str] = {}  # machine → host name
        self.units: dict[str, str] = {}  # unit → machine
        self.did: list[tuple] = []
        self.dead: set[str] = set()  # units whose machine does not answer

    def add_unit(self, app, *, num_units=1):
        assert app == APPLICATION
        for _ in range(num_units):
            number = str(len(self.machines))
            self.machines[number] = f"node-{int(number) + 1}"
            self.units[f"{app}/{number}"] = number
            host = f"{self.machines[number]}.cloud.example"
            self.world.add("service", binary="nova-compute", host=host, state="up",
                           status="enabled", disabled_reason=None)  # fmt: skip
            self.world.add("hypervisor", name=host)
            self.world.add("provider", name=host, is_used=False)
            self.world.add("agent", host=host, is_alive=True)

    def remove_unit(self, *units, force=False):
        self.did.append(("remove-unit", *units, force))
        for unit in units:
            host = self.machines[self.units.pop(unit)]
            for agent in self.world.table("agent"):
                agent.is_alive = agent.is_alive and not agent.host.startswith(host)
            for service in self.world.table("service"):
                if service.host.startswith(host):
                    service.state = "down"

    def cli(self, *args, include_model=True):
        self.did.append(args)
        if args[1] not in self.machines:
            raise jubilant.CLIError(1, ["juju"], "", f"ERROR machine {args[1]} not found")
        del self.machines[args[1]]
        return ""

    def status(self):
        units = {
            name: UnitStatus(
                *map(StatusInfo, ("unknown", "lost") if name in self.dead else ("active", "idle")),
                machine=machine,
            )
            for name, machine in self.units.items()
        }
        app = AppStatus(
            charm="x", charm_origin="local", charm_name=APPLICATION, charm_rev=0, exposed=False,
            app_status=StatusInfo("unknown" if self.dead else "active"), units=units,
        )  # fmt: skip
        machines = {
            number: MachineStatus(juju_status=StatusInfo("started"), hostname=host)
            for number, host in self.machines.items()
        }
        return Status(
            ModelStatus("machines", "iaas", "c", "localhost", "3.6.24"), machines,
            {APPLICATION: app},
        )  # fmt: skip


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def world():
    return World()


@pytest.fixture
def juju(world):
    juju = Juju(world)
    juju.add_unit(APPLICATION, num_units=2)
    return juju


@pytest.fixture
def nodes(world, juju, reporter):
    clock = Clock()
    return Nodes(juju, world.connect("admin"), Watch(reporter, 300, clock, clock.sleep))


def add(nodes, count):
    """Add hypervisors, and return the new ones."""
    old = nodes.settled()
    run(nodes.adding(count, old), LocalHost(), nodes._watch.reporter)
    return nodes.beside(old)


def remove(nodes, name, force=False):
    run(nodes.removal(name, force), LocalHost(), nodes._watch.reporter)


def boot(world, name, host="node-1.cloud.example", status="ACTIVE"):
    return world.add(
        "server", name=name, compute_host=host, status=status, task_state=None, project="demo"
    )


def busy(world, server, task, status, /, looks=3, **after):
    """Let an instance be at a task for some looks."""
    server.task_state, server.status = task, status
    seen = []

    def look(each):
        seen.append(each)
        if len(seen) == looks:
            each.__dict__.update({"task_state": None, "status": "ACTIVE", **after})

    world.on_look = look


def migrate_to(host):
    """Return what moves an instance there at once."""
    return lambda server: server.__dict__.update(compute_host=host)


def test_nodes_are_listed_with_what_juju_and_nova_know(nodes, world):
    boot(world, "b")
    boot(world, "a")
    first, second = nodes.known()
    assert first == Node(
        name="node-1", unit="openstack-hypervisor/0", machine="0", status="active",
        state="up", scheduling="enabled", instances=("a", "b"),
    )  # fmt: skip
    assert second.instances == ()


def test_a_node_that_only_nova_knows_is_listed(nodes, juju):
    juju.units.clear()
    assert [(node.name, node.unit) for node in nodes.known()] == [("node-1", ""), ("node-2", "")]


def test_a_new_node_is_one_to_which_instances_can_go(nodes, juju):
    assert [node.name for node in add(nodes, 2)] == ["node-3", "node-4"]


@pytest.mark.parametrize(("count", "machines"), [(1, 4), (2, 4), (3, 5)])
def test_nodes_that_an_interrupted_run_began_are_not_added_again(
    nodes, juju, world, reporter, count, machines
):
    juju.add_unit(APPLICATION, num_units=2)
    late = [world.table("hypervisor").pop(), world.table("hypervisor").pop()]

    def start(_seconds):
        world.table("hypervisor").extend(late)
        late.clear()

    nodes._watch = Watch(reporter, 300, Clock(), start)
    assert [node.name for node in add(nodes, count)] == [
        "node-3", "node-4", "node-5"
    ][: machines - 2]  # fmt: skip
    assert len(juju.machines) == machines
    begun = "begun by an earlier run: openstack-hypervisor/2, openstack-hypervisor/3"
    assert reporter.of("note")[0] == begun


def test_a_dead_hypervisor_is_not_waited_for(nodes, juju, world):
    juju.dead.add("openstack-hypervisor/1")
    world.table("service")[1].state = "down"
    assert [node.name for node in add(nodes, 1)] == ["node-3"]


def test_a_node_that_nova_never_hears_of_ends_the_wait(nodes, juju, world):
    add_unit = juju.add_unit

    def add_silently(app, *, num_units):
        add_unit(app, num_units=num_units)
        world.table("service").pop()

    juju.add_unit = add_silently
    with pytest.raises(HelioError, match="the compute service has been at “0 of 1 can be used”"):
        add(nodes, 1)


def test_a_removed_node_leaves_nothing_behind(nodes, juju, world):
    server = boot(world, "web")
    world.on_migrate = migrate_to("node-2.cloud.example")
    remove(nodes, "node-1")
    assert server.compute_host == "node-2.cloud.example"
    assert juju.did == [
        ("remove-unit", "openstack-hypervisor/0", False),
        ("remove-machine", "0", "--no-prompt"),
    ]
    for kind in ("service", "agent", "provider"):
        left = [getattr(each, "host", getattr(each, "name", "")) for each in world.table(kind)]
        assert left == ["node-2.cloud.example"], kind


@pytest.mark.parametrize("name", ["node-1", "openstack-hypervisor/0", "0"])
def test_a_node_has_three_names(nodes, name):
    remove(nodes, name)
    assert [node.name for node in nodes.known()] == ["node-2"]


def test_an_unknown_node_is_named_with_the_known_ones(nodes):
    with pytest.raises(HelioError, match="cannot find the node x: there is node-1, node-2"):
        remove(nodes, "x")


def test_no_new_instance_comes_to_a_node_that_is_drained(nodes, juju, world):
    order = []
    remove_unit = juju.remove_unit
    juju.remove_unit = lambda *units, force: (
        order.append("removed") or remove_unit(*units, force=force)
    )
    boot(world, "web")

    def move(server):
        order.append(f"{server.name} moves, {world.table('service')[0].status}")
        server.compute_host = "node-2.cloud.example"

    world.on_migrate = move
    remove(nodes, "node-1")
    assert order == ["web moves, disabled", "removed"]


def test_the_last_node_is_kept_while_it_has_instances(nodes, world, juju):
    boot(world, "web")
    world.table("service")[1].status = "disabled"
    with pytest.raises(HelioError, match=r"it is the last hypervisor .*web; run: helio node add"):
        remove(nodes, "node-1")
    assert juju.did == []


def test_an_instance_that_does_not_run_is_named_before_anything_is_done(nodes, world, juju):
    boot(world, "web")
    boot(world, "off", status="SHUTOFF")
    with pytest.raises(HelioError, match=r"cannot drain node-1: off do not run"):
        remove(nodes, "node-1")
    assert world.table("service")[0].status == "enabled"
    assert juju.did == []


@pytest.mark.parametrize("status", ["MIGRATING", "REBOOT", "BUILD"])
def test_an_instance_at_a_task_is_waited_for_and_moves(nodes, world, status):
    server = boot(world, "web")
    busy(world, server, "at-something", status)
    moves = []

    def move(each):
        moves.append(each.task_state)
        each.compute_host = "node-2.cloud.example"

    world.on_migrate = move
    remove(nodes, "node-1")
    assert moves == [None], "asked once, when it is at nothing"


def test_a_migration_of_an_earlier_run_is_waited_for(nodes, world):
    server = boot(world, "web")
    busy(world, server, "migrating", "MIGRATING", compute_host="node-2.cloud.example")
    world.on_migrate = lambda server: pytest.fail("it moves already")
    remove(nodes, "node-1")
    assert server.compute_host == "node-2.cloud.example"


def test_an_instance_whose_task_ends_in_a_stop_is_named(nodes, world, juju):
    server = boot(world, "web")
    busy(world, server, "powering-off", "ACTIVE", status="SHUTOFF")
    with pytest.raises(HelioError, match=r"cannot drain node-1: web do not run"):
        remove(nodes, "node-1")
    assert juju.did == []


def test_an_instance_that_stays_is_told(nodes, world, juju):
    boot(world, "web")
    with pytest.raises(HelioError, match="cannot migrate web: it stayed on node-1"):
        remove(nodes, "node-1")
    assert juju.did == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, HelioError, ConflictException])
def test_a_drain_that_fails_lets_instances_come_again(nodes, world, reporter, error):
    boot(world, "web")
    services = world.table("service")

    def fail(_server):
        assert services[0].status == "disabled"
        raise error

    world.on_migrate = fail
    with pytest.raises(error):
        remove(nodes, "node-1")
    assert (services[0].status, services[0].disabled_reason) == ("enabled", None)
    assert reporter.of("warn") == ["node-1 was not drained and takes new instances again"]


def test_a_hypervisor_that_an_operator_disabled_stays_so(nodes, world, reporter):
    boot(world, "web")
    service = world.table("service")[0]
    service.status, service.disabled_reason = "disabled", "a new disk"
    with pytest.raises(HelioError, match="it stayed on node-1"):
        remove(nodes, "node-1")
    assert (service.status, service.disabled_reason) == ("disabled", "a new disk")
    assert reporter.of("warn") == []


def test_what_failed_is_told_even_if_instances_cannot_come_again(
    nodes, world, reporter, monkeypatch
):
    def refuse(*_):
        raise ConflictException("not now")

    monkeypatch.setattr("fakecloud.Compute.enable_service", refuse)
    boot(world, "web")
    with pytest.raises(HelioError, match="it stayed on node-1"):
        remove(nodes, "node-1")
    (warning,) = reporter.of("warn")
    assert warning.startswith("cannot enable scheduling to node-1 again: not now")


def test_an_instance_that_fails_on_the_way_is_told(nodes, world):
    boot(world, "web")
    world.on_migrate = lambda server: server.__dict__.update(status="ERROR")
    with pytest.raises(HelioError, match="cannot migrate web: it is in status ERROR"):
        remove(nodes, "node-1")


def test_the_instances_of_a_lost_node_are_built_anew(nodes, world, juju):
    server = boot(world, "web", status="SHUTOFF")
    world.table("service")[0].state = "down"
    world.on_migrate = migrate_to("node-2.cloud.example")
    remove(nodes, "node-1", force=True)
    assert server.compute_host == "node-2.cloud.example"
    assert juju.did[0] == ("remove-unit", "openstack-hypervisor/0", True)
    assert juju.did[1] == ("remove-machine", "0", "--no-prompt", "--force")
    assert [node.name for node in nodes.known()] == ["node-2"]


def test_a_node_that_is_up_is_not_removed_by_force(nodes, world, juju):
    boot(world, "web")
    with pytest.raises(HelioError, match=r"by force: it is up, .* would lose their disks"):
        remove(nodes, "node-1", force=True)
    assert world.table("service")[0].status == "enabled"
    assert juju.did == []


def test_an_instance_that_an_earlier_run_builds_anew_is_waited_for(nodes, world):
    server = boot(world, "web")
    world.table("service")[0].state = "down"
    busy(world, server, "rebuilding", "REBUILD", compute_host="node-2.cloud.example")
    world.on_migrate = lambda server: pytest.fail("it is built anew already")
    remove(nodes, "node-1", force=True)
    assert server.compute_host == "node-2.cloud.example"


def test_a_task_that_the_lost_machine_never_ends_does_not_keep_an_instance(nodes, world):
    boot(world, "web", status="REBOOT").task_state = "rebooting"
    world.table("service")[0].state = "down"

    def rebuild(server):
        server.compute_host, server.task_state = "node-2.cloud.example", None

    world.on_migrate = rebuild
    remove(nodes, "node-1", force=True)
    assert [node.name for node in nodes.known()] == ["node-2"]


def test_a_machine_with_other_units_stays(nodes, juju):
    juju.units["ceph/0"] = "0"
    status = juju.status

    def with_ceph():
        found = status()
        unit = found.apps[APPLICATION].units.pop("ceph/0")
        other = AppStatus(
            charm="x", charm_origin="local", charm_name="ceph", charm_rev=0, exposed=False,
            units={"ceph/0": unit},
        )  # fmt: skip
        found.apps["ceph"] = other
        return found

    juju.status = with_ceph
    remove(nodes, "node-1")
    assert juju.did == [("remove-unit", "openstack-hypervisor/0", False)]


# What changes something, in the order in which a removal does it.
CHANGES = (
    ("compute", "disable_service"), ("compute", "live_migrate_server"),
    ("compute", "evacuate_server"), ("network", "delete_agent"), ("compute", "delete_service"),
    ("placement", "delete_resource_provider"),
)  # fmt: skip


def cut_after(count, juju, cloud):
    """Interrupt what is done after so many changes, once."""
    left = [None] * count

    def wrap(target, name):
        inner = getattr(target, name)

        def call(*arguments, **options):
            inner(*arguments, **options)
            if left:
                left.pop()
                if not left:
                    raise KeyboardInterrupt

        setattr(target, name, call)

    for service, name in CHANGES:
        wrap(getattr(cloud, service), name)
    wrap(juju, "remove_unit")
    wrap(juju, "cli")


@pytest.mark.parametrize("name", ["node-1", "openstack-hypervisor/0", "0"])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("count", range(1, 7))
def test_a_removal_goes_on_wherever_it_was_cut_off(world, juju, reporter, count, force, name):
    boot(world, "web")
    if force:
        world.table("service")[0].state = "down"
    world.on_migrate = migrate_to("node-2.cloud.example")
    clock, cloud = Clock(), world.connect("admin")
    nodes = Nodes(juju, cloud, Watch(reporter, 300, clock, clock.sleep))
    cut_after(count, juju, cloud)
    with pytest.raises(KeyboardInterrupt):
        remove(nodes, name, force)
    if world.find("service", host="node-1.cloud.example"):
        remove(nodes, name, force)
    assert list(juju.machines) == ["1"]
    assert list(juju.units) == ["openstack-hypervisor/1"]
    for kind in ("service", "agent", "provider"):
        left = [getattr(each, "host", getattr(each, "name", "")) for each in world.table(kind)]
        assert left == ["node-2.cloud.example"], kind


def test_what_placement_could_not_forget_is_forgotten_by_another_run(nodes, world):
    provider = world.table("provider")[0]
    provider.is_used = True
    with pytest.raises(ConflictException):
        remove(nodes, "node-1")
    provider.is_used = False
    remove(nodes, "node-1")
    assert [each.name for each in world.table("provider")] == ["node-2.cloud.example"]


def test_a_removal_that_was_cut_off_is_finished(nodes, juju, world):
    juju.remove_unit("openstack-hypervisor/0")
    del juju.machines["0"]
    juju.did.clear()
    remove(nodes, "node-1")
    assert juju.did == []
    assert [node.name for node in nodes.known()] == ["node-2"]


def test_a_rehearsal_of_adding_says_how_many_and_adds_none(nodes, juju, world, reporter):
    juju.add_unit(APPLICATION)
    world.table("hypervisor").pop()
    rehearse(nodes.adding(3, nodes.settled()), LocalHost(), reporter)
    assert reporter.of("note") == [
        "would add 2, each on a machine of its own",
        "would wait until 3 are active; begun by an earlier run: openstack-hypervisor/2",
        "would wait until instances can go to 3 more",
    ]
    assert len(juju.machines) == 3


@pytest.mark.parametrize(
    ("force", "state", "said"),
    [
        (False, "up", ["would let no new instance come to node-1, and move web to others"]),
        (True, "down", ["would let no new instance come to node-1",
                        "would build web anew on others"]),
    ],
)  # fmt: skip
def test_a_rehearsal_of_a_removal_names_the_instances_and_touches_nothing(
    nodes, juju, world, reporter, force, state, said
):
    server = boot(world, "web")
    service = world.table("service")[0]
    service.state = state
    made = list(world.made)
    rehearse(nodes.removal("node-1", force), LocalHost(), reporter)
    notes = reporter.of("note")
    assert [note for note in notes if note in said] == said
    assert "would remove openstack-hypervisor/0, and machine 0 if nothing else" in notes[1]
    assert (juju.did, world.made, service.status) == ([], made, "enabled")
    assert server.compute_host == "node-1.cloud.example"


def test_a_rehearsal_of_a_removal_refuses_what_a_removal_refuses(nodes, world):
    boot(world, "off", status="SHUTOFF")
    with pytest.raises(HelioError, match="cannot drain node-1: off do not run"):
        nodes.removal("node-1")
