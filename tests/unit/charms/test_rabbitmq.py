"""rabbitmq-k8s: members, accounts, and what clients are told."""

import base64
import dataclasses
import hashlib
import json
import pathlib

import pytest

from charmkit import plan
from charmkit.interfaces import rabbitmq, tls_certificates
from charmkit.spec import Addresses, ContainerState, RelationData, Snapshot
from charmkit.templates import Templates

CLIENT = rabbitmq.requirer_side({}, {}).app_bag
MACHINE = {**CLIENT, "external_connectivity": "true"}
PUBLISHED = {"username": "nova", "vhost": "openstack"}
CONFIG = {"memory-limit": 0, "allow-plain-credentials": False}
MIB = 1 << 20


@pytest.fixture
def charm(load_charm):
    return load_charm("rabbitmq-k8s")


@pytest.fixture
def service(charm, with_needs):
    certificate = tls_certificates.Certificate(certificate="cert", private_key="key", ca="CA")
    return with_needs(charm.SERVICE, certificates=certificate)


def sees(*clients, unit=0, planned=1, peers=None, made=(), **changes):
    """Give what a unit sees.

    Args:
        clients: Bags of clients; the first has relation 10.
        unit: Its number.
        planned: Number of units.
        peers: Number of another unit → its bag.
        made: Accounts that the leader has recorded.
        changes: Further facts.
    """
    record = {"accounts": {"digest": "d", "inputs": [], "facts": {"accounts": list(made)}}}
    peer = RelationData(
        id=1,
        endpoint="peers",
        app="rabbitmq",
        local_app={"tasks": json.dumps(record)} if made else {},
        remote_units={f"rabbitmq/{number}": bag for number, bag in (peers or {}).items()},
    )
    related = tuple(
        RelationData(id=10 + number, endpoint="amqp", app=f"client-{number}", remote_app=bag)
        for number, bag in enumerate(clients)
    )
    snapshot = Snapshot(
        app="rabbitmq",
        unit=f"rabbitmq/{unit}",
        model="cloud",
        is_leader=True,
        planned_units=planned,
        config=CONFIG,
        relations={"peers": (peer,), "amqp": related},
        optional=frozenset({"certificates"}),
        own_secrets={"erlang-cookie": {"cookie": "c" * 32}},
        addresses=Addresses(
            unit_ip="10.1.0.5",
            unit_name=f"rabbitmq-{unit}.rabbitmq-endpoints.cloud.svc.cluster.local",
            service_name="rabbitmq.cloud.svc.cluster.local",
        ),
        containers={"rabbitmq": ContainerState(can_connect=True, checks={"online": True})},
        entropy=b"e" * 32,
    )
    return dataclasses.replace(snapshot, **changes)


def node(number):
    return f"rabbit@rabbitmq-{number}.rabbitmq-endpoints.cloud.svc.cluster.local"


def templates(charm):
    return Templates(pathlib.Path(charm.__file__).parent / "templates")


def answers(made):
    return {
        bag.relation_id: bag.app
        for publication in made.publications
        for bag in publication.bags
        if bag.relation_id >= 10
    }


# --- size --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "memory", "wanted"),
    [(0, 8192 * MIB, 512), (0, 1024 * MIB, 256), (0, 1 << 40, 4096), (700, 8192 * MIB, 700)],
)
def test_memory_is_a_share_of_the_machine_unless_it_is_said(charm, option, memory, wanted):
    assert charm.rabbit.memory_limit(option, memory) == wanted


# --- members -----------------------------------------------------------------------------------


def test_the_first_unit_founds_the_cluster(charm):
    assert charm.rabbit.membership(sees()).may_found
    assert not charm.rabbit.membership(sees(unit=1, planned=2)).may_found


def test_the_first_unit_joins_when_others_are_members_already(charm):
    known = {1: {charm.rabbit.MEMBER: "yes"}, 2: {}}
    assert not charm.rabbit.membership(sees(planned=3, peers=known)).may_found
    assert charm.rabbit.membership(sees(planned=3, peers={1: {}})).may_found


def test_units_that_are_planned_or_still_there_are_known_by_name(charm):
    found = charm.rabbit.membership(sees(unit=1, planned=2, peers={0: {}, 2: {}}))
    assert found.me == node(1)
    assert [f"rabbit@{host}" for host in found.others] == [node(0), node(2)]


def test_only_planned_units_are_kept(charm, service):
    made = plan.make(service, sees(planned=2, peers={1: {}, 2: {}}), templates(charm))
    [keep] = [task for task in made.workload.tasks if task.name == "members"]
    assert keep.argv[-2:] == (node(0), node(1))


def test_a_unit_tells_whether_it_is_a_member(charm, service):
    for online, text in ((True, "yes"), (False, None)):
        state = ContainerState(can_connect=True, checks={"online": online})
        made = plan.make(service, sees(containers={"rabbitmq": state}), templates(charm))
        told = [
            bag.unit[charm.rabbit.MEMBER]
            for publication in made.publications
            for bag in publication.bags
            if charm.rabbit.MEMBER in bag.unit
        ]
        assert told == [text]


# --- accounts ----------------------------------------------------------------------------------


def test_the_broker_knows_passwords_by_their_salted_hash(charm):
    hashed = base64.b64decode(charm.clients.password_hash("nova-10", "secret"))
    salt, digest = hashed[:4], hashed[4:]
    assert digest == hashlib.sha256(salt + b"secret").digest()
    assert charm.clients.password_hash("nova-10", "secret") == base64.b64encode(hashed).decode()
    assert charm.clients.password_hash("nova-11", "secret") != base64.b64encode(hashed).decode()


def test_an_account_may_use_its_own_virtual_host_only(charm):
    other = {**CLIENT, "username": "neutron", "vhost": "neutron"}
    wanted = json.loads(
        charm.clients.definitions(charm.clients.accounts(sees(CLIENT, other)).values())
    )
    allowed = [(each["user"], each["vhost"]) for each in wanted["permissions"]]
    assert allowed == [("nova-10", "nova"), ("neutron-11", "neutron")]
    assert [each["name"] for each in wanted["vhosts"]] == ["neutron", "nova"]
    assert {each["metadata"]["default_queue_type"] for each in wanted["vhosts"]} == {"quorum"}


def test_no_password_leaves_the_charm_but_as_a_secret(charm, service):
    snapshot = sees(CLIENT, made=["nova-10"])
    made = plan.make(service, snapshot, templates(charm))
    passwords = [
        secret.content["password"]
        for publication in made.publications
        for secret in publication.secrets
        if "password" in secret.content
    ]
    [password] = passwords
    shown = [str(answers(made))]
    shown += [content.text for content in made.workload.files]
    shown += [f"{task.argv} {task.environment} {task.stdin}" for task in made.workload.tasks]
    assert not [text for text in shown if password in text]


def test_a_client_is_answered_once_its_account_exists(charm, service):
    assert answers(plan.make(service, sees(CLIENT), templates(charm))) == {}
    made = plan.make(service, sees(CLIENT, made=["nova-10"]), templates(charm))
    assert answers(made)[10]["hostname"] == "rabbitmq.cloud.svc.cluster.local"
    assert answers(made)[10]["ssl_port"] == "5671"


def test_a_machine_is_answered_once_there_is_an_address_that_it_reaches(charm, service):
    snapshot = sees(MACHINE, made=["nova-10"])
    made = plan.make(service, snapshot, templates(charm))
    assert answers(made) == {}
    assert made.status == plan.Status("waiting", "waiting for the address of the load balancer")
    reached = dataclasses.replace(snapshot, load_balancer="10.0.0.9")
    made = plan.make(service, reached, templates(charm))
    assert answers(made)[10]["hostname"] == "10.0.0.9"
    assert made.status == plan.Status("active")


def test_a_client_without_secrets_is_named_and_not_served(charm, service):
    made = plan.make(service, sees(PUBLISHED, CLIENT, made=["nova-11"]), templates(charm))
    assert list(answers(made)) == [11]
    assert made.status.name == "blocked"
    assert "client-0 reads no secrets" in made.status.message


def test_a_client_without_secrets_is_served_where_that_is_allowed(charm, service):
    config = {**CONFIG, "allow-plain-credentials": True}
    snapshot = sees(PUBLISHED, made=["nova"], config=config)
    made = plan.make(service, snapshot, templates(charm))
    assert answers(made)[10]["password"]
    assert made.status == plan.Status("active")


def test_two_clients_cannot_have_one_account(charm, service):
    config = {**CONFIG, "allow-plain-credentials": True}
    snapshot = sees(PUBLISHED, PUBLISHED, made=["nova"], config=config)
    made = plan.make(service, snapshot, templates(charm))
    assert list(answers(made)) == [10]
    assert "client-1 asks for the account nova of client-0" in made.status.message


# --- files -------------------------------------------------------------------------------------


def file(made, name):
    [found] = [each for each in made.workload.files if each.path == f"/etc/rabbitmq/{name}"]
    return found


def test_secrets_are_for_the_broker_alone(charm, service):
    made = plan.make(service, sees(), templates(charm))
    for name in (".erlang.cookie", "tls.pem"):
        content = file(made, name)
        assert (content.mode, content.user) == (0o400, "rabbitmq")
    assert file(made, ".erlang.cookie").text == "c" * 32
    assert file(made, "tls.pem").text == "keycert"


def test_nobody_is_served_without_tls(charm, service):
    settings = file(plan.make(service, sees(), templates(charm)), "conf.d/10-server.conf").text
    assert "listeners.tcp = none\n" in settings
    assert (
        "inet_tls" in file(plan.make(service, sees(), templates(charm)), "rabbitmq-env.conf").text
    )


def test_neither_members_nor_certificates_restart_the_broker(charm, service, with_needs):
    before = plan.make(service, sees(), templates(charm)).workload
    renewed = tls_certificates.Certificate(certificate="new", private_key="new", ca="new")
    after = plan.make(
        with_needs(service, certificates=renewed), sees(planned=3, peers={1: {}}), templates(charm)
    ).workload
    assert before.files != after.files
    assert before.services == after.services
