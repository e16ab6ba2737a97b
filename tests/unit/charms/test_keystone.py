"""The charm keystone-k8s: mostly plans, from a snapshot."""

import configparser
import dataclasses
import json
import pathlib
import types

import pytest
import yaml
from ops import testing

from charmkit import ownership, plan, records
from charmkit.interfaces import keystone as identity
from charmkit.interfaces import keystone_resources
from charmkit.spec import PEERS, Addresses, ContainerState, RelationData, SecretRef, Snapshot
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/keystone-k8s"
ADMIN_PASSWORD = "admin-password-of-the-test"


@pytest.fixture(scope="module")
def templates():
    return Templates(FOLDER / "src/templates")


@pytest.fixture
def charm(load_charm):
    return load_charm("keystone-k8s")


@pytest.fixture
def database():
    return types.SimpleNamespace(
        address="mariadb:3306",
        name="keystone",
        username="relation-1",
        tls_ca="database ca",
        url=lambda ca: f"mysql+pymysql://u:pa$$w@mariadb:3306/keystone?ssl_ca={ca}",
    )


@pytest.fixture
def certificates():
    return types.SimpleNamespace(certificate="cert\n", private_key="key\n", ca="ca\n")


@pytest.fixture
def service(charm, with_needs, database, certificates):
    return with_needs(
        charm.KEYSTONE, database=database, certificates=certificates, receive_ca_cert=None
    )


def client(number, app="placement", url="https://placement:8778", **changes):
    entry = identity.CatalogueEntry(
        service_name=app,
        type=app,
        description=app,
        internal_url=url,
        public_url=url,
        admin_url=url,
    )
    bag = {
        "region": "RegionOne",
        "service-endpoints": json.dumps([dataclasses.asdict(entry)]),
    }
    return RelationData(id=number, endpoint="identity-service", app=app, remote_app=bag, **changes)


@pytest.fixture
def ready():
    peers = RelationData(id=0, endpoint=PEERS, app="keystone")
    relations = {
        PEERS: (peers,),
        "database": (RelationData(id=1, endpoint="database"),),
        "certificates": (RelationData(id=2, endpoint="certificates"),),
        "identity-service": (client(5),),
    }
    return Snapshot(
        app="keystone",
        unit="keystone/0",
        model="cloud",
        is_leader=True,
        optional=frozenset({"receive-ca-cert"}),
        config={
            "debug": False,
            "region": "RegionOne",
            "token-expiration": 3600,
            "workers": 0,
            "admin-applications": "tempest",
        },
        relations=relations,
        addresses=Addresses(
            unit_ip="10.0.0.5",
            service_ips=("10.8.0.5",),
            service_name="keystone.cloud.svc.cluster.local",
        ),
        own_secrets={"admin-password": {"username": "admin", "password": ADMIN_PASSWORD}},
        containers={"keystone": ContainerState(can_connect=True)},
        cpus=2,
        entropy=b"k" * 32,
    )


@pytest.fixture
def make(service, templates):
    return lambda snapshot: plan.make(service, snapshot, templates)


def configured(snapshot, **config):
    new = {name.replace("_", "-"): value for name, value in config.items()}
    return dataclasses.replace(snapshot, config={**snapshot.config, **new})


def related(snapshot, *clients):
    relations = {**snapshot.relations, "identity-service": clients}
    return dataclasses.replace(snapshot, relations=relations)


def conf(made):
    (content,) = [
        each for each in made.workload.files if each.path == "/etc/keystone/keystone.conf"
    ]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(content.text)
    return parser


def tasks(made):
    return {task.name: task for task in made.workload.tasks}


def wish(made):
    return json.loads(tasks(made)["accounts"].stdin)


def bags(made):
    return {bag.relation_id: bag.app for each in made.publications for bag in each.bags}


def after_accounts(make, service, snapshot):
    """Give the snapshot in which the accounts that the plan wishes are made."""
    wanted = wish(make(snapshot))
    known = {
        name: {"id": f"id of {name}", "fingerprint": account["fingerprint"]}
        for name, account in wanted["accounts"].items()
    }
    known |= {name: {"id": f"id of {name}", "fingerprint": ""} for name in wanted["disabled"]}
    facts = {
        "domain": "service-domain-id",
        "project": "services-id",
        "admin_user": "admin-id",
        "admin_project": "admin-project-id",
        "users": known,
    }
    record = {"accounts": {"digest": "d", "inputs": [], "facts": facts}}
    return records.reached(service, snapshot, record, online=True)


# --- configuration -----------------------------------------------------------------------------


def test_the_plan_is_active(make, ready):
    assert make(ready).status == plan.Status("active")


def test_options_reach_the_configuration(make, ready):
    found = conf(make(configured(ready, debug=True, token_expiration=7200)))
    assert found["DEFAULT"]["debug"] == "True"
    assert found["token"]["expiration"] == "7200"


def test_a_dollar_in_a_password_is_written_for_oslo_config(make, ready):
    assert "pa$$$$w@" in conf(make(ready))["database"]["connection"]


@pytest.mark.parametrize(("expiration", "active"), [(3600, 7), (604800, 7)])
def test_as_many_token_keys_are_kept_as_tokens_live(make, ready, expiration, active):
    found = conf(make(configured(ready, token_expiration=expiration)))
    assert found["fernet_tokens"]["max_active_keys"] == str(active)


def test_a_token_may_not_outlive_a_period_of_its_keys(make, ready):
    made = make(configured(ready, token_expiration=604801))
    assert made.status == plan.Status(
        "blocked", "token-expiration: must be at most 604800, is 604801"
    )


def test_operators_override_any_option(make, ready):
    text = "[token]\nexpiration = 60\n[identity]\npassword_hash_rounds = 4\n"
    found = conf(make(configured(ready, config_overrides=text)))
    assert found["token"]["expiration"] == "60"
    assert found["identity"]["password_hash_rounds"] == "4"


@pytest.mark.parametrize(("workers", "cpus", "processes"), [(0, 1, 2), (0, 16, 7), (9, 2, 9)])
def test_workers_are_by_the_machine_unless_told(make, ready, workers, cpus, processes):
    seen = dataclasses.replace(configured(ready, workers=workers), cpus=cpus, memory=65536)
    (content,) = [
        each for each in make(seen).workload.files if each.path == "/etc/keystone/uwsgi.ini"
    ]
    assert f"\nprocesses = {processes}\n" in content.text


def test_received_authorities_are_trusted_too(charm, with_needs, database, certificates, ready,
                                              templates):  # fmt: skip
    received = types.SimpleNamespace(bundle="other ca\n", certificates=("other ca\n",))
    service = with_needs(
        charm.KEYSTONE, database=database, certificates=certificates, receive_ca_cert=received
    )
    files = {each.path: each for each in plan.make(service, ready, templates).workload.files}
    assert files["/etc/keystone/tls/ca.pem"].text == "ca\nother ca\n"


def test_key_and_configuration_are_for_keystone_only(make, ready):
    files = {each.path: each for each in make(ready).workload.files}
    for path in ("/etc/keystone/keystone.conf", "/etc/keystone/tls/key.pem"):
        assert (files[path].mode, files[path].user, files[path].group) == (
            0o640,
            "root",
            "keystone",
        )


def test_keys_belong_to_keystone_alone(make, ready):
    for directory in make(ready).workload.directories:
        assert (directory.mode, directory.user) == (0o700, "keystone")
        assert {(each.mode, each.user) for each in directory.files} == {(0o600, "keystone")}


# --- tasks -------------------------------------------------------------------------------------


def test_schema_and_administrator_come_before_the_start(make, ready):
    assert [(task.name, task.when) for task in make(ready).workload.tasks] == [
        ("schema", "before-start"),
        ("bootstrap", "before-start"),
        ("accounts", "online"),
    ]


def test_a_database_integrated_anew_may_be_empty_so_everything_is_made_again(
    make, database, ready, service, templates
):
    again = types.SimpleNamespace(**{**vars(database), "username": "relation-9"})
    needs = tuple(
        dataclasses.replace(need, value=again) if need.endpoint == "database" else need
        for need in service.needs
    )
    before = tasks(make(ready))
    after = tasks(plan.make(dataclasses.replace(service, needs=needs), ready, templates))
    assert [name for name in before if before[name].digest == after[name].digest] == []


def test_no_password_is_on_a_command_line_or_in_a_file(make, ready):
    made = make(ready)
    password = wish(made)["accounts"]["svc_placement"]["password"]
    for secret in (ADMIN_PASSWORD, password):
        assert secret not in json.dumps([task.argv for task in made.workload.tasks])
        assert secret not in json.dumps(dict(made.workload.services))
        assert secret not in "".join(each.text for each in made.workload.files)
    assert tasks(made)["bootstrap"].environment == {"OS_BOOTSTRAP_PASSWORD": ADMIN_PASSWORD}


def test_another_admin_password_is_told_to_keystone(make, ready, service):
    one, other = make(ready), make(ownership.rotate(service, ready, "admin-password"))
    for name in ("bootstrap", "accounts"):
        assert tasks(one)[name].digest != tasks(other)[name].digest
    assert tasks(one)["schema"].digest == tasks(other)["schema"].digest


def test_another_admin_password_restarts_nothing(make, ready, service):
    one, other = make(ready), make(ownership.rotate(service, ready, "admin-password"))
    assert one.workload.services == other.workload.services


def test_stored_credentials_are_encrypted_anew_after_a_rotation(make, ready, service):
    made = make(ready)
    assert "credentials" not in tasks(made)
    (content,) = [
        secret.content
        for each in made.publications
        for secret in each.secrets
        if secret.label == "credential-keys"
    ]
    keyed = {**ready.own_secrets, "credential-keys": content}
    seen = ownership.rotate(
        service, dataclasses.replace(ready, own_secrets=keyed), "credential-keys"
    )
    task = tasks(make(seen))["credentials"]
    assert task.argv[-1] == "credential_migrate"
    # After the start of the hook's own keys: they stand in the repository by then.
    assert task.when == "online"


def test_the_catalogue_has_names_inside_and_the_service_address_outside(make, ready):
    argv = tasks(make(ready))["bootstrap"].argv
    options = dict(zip(argv[4::2], argv[5::2], strict=True))
    assert options["--bootstrap-internal-url"] == (
        "https://keystone.cloud.svc.cluster.local:5000/v3"
    )
    assert options["--bootstrap-public-url"] == "https://10.8.0.5:5000/v3"


def test_an_ipv6_address_stands_in_brackets(make, ready):
    where = dataclasses.replace(ready.addresses, service_ips=("fd00::5",), unit_ip="fd00::6")
    made = make(dataclasses.replace(ready, addresses=where))
    assert "https://[fd00::5]:5000/v3" in tasks(made)["bootstrap"].argv
    assert wish(made)["address"] == "fd00::6"


def test_the_own_api_is_verified_by_a_name_that_a_new_pod_keeps(make, ready):
    # The certificate does not name a new pod's address yet. Were it verified by that, the hook
    # would fail before it could ask for one that does.
    moved = dataclasses.replace(ready.addresses, unit_ip="10.0.0.99")
    found = wish(make(dataclasses.replace(ready, addresses=moved)))
    assert found["url"] == "https://keystone.cloud.svc.cluster.local:5000/v3"
    assert found["address"] == "10.0.0.99"


# --- clients -----------------------------------------------------------------------------------


def test_a_client_gets_an_account_that_may_be_trusted_and_nothing_more(make, ready):
    account = wish(make(ready))["accounts"]["svc_placement"]
    assert account["roles"] == ["service"]


def test_a_client_is_told_nothing_before_its_account_exists(make, ready):
    assert 5 not in bags(make(ready))


def test_a_client_is_told_where_its_account_is(make, service, ready):
    bag = bags(make(after_accounts(make, service, ready)))[5]
    assert bag["service-credentials"] == SecretRef("identity-service:5")
    assert bag["service-user-id"] == "id of svc_placement"
    assert bag["service-domain-id"] == "service-domain-id"
    assert bag["internal-auth-url"] == "https://keystone.cloud.svc.cluster.local:5000/v3"
    assert bag["public-auth-url"] == "https://10.8.0.5:5000/v3"


def test_a_client_that_comes_later_waits_for_its_own_account(make, service, ready):
    seen = related(after_accounts(make, service, ready), client(5), client(6, "glance"))
    assert {5, 6} & bags(make(seen)).keys() == {5}


def test_a_client_is_not_told_a_password_that_keystone_does_not_have_yet(make, service, ready):
    # The relation went and came back: the account is there, its password is another one.
    seen = related(after_accounts(make, service, ready), client(9))
    assert not {5, 9} & bags(make(seen)).keys()


def test_an_account_whose_client_is_gone_is_disabled(make, service, ready):
    seen = related(after_accounts(make, service, ready))
    assert wish(make(seen))["disabled"] == ["svc_placement"]
    assert wish(make(after_accounts(make, service, seen)))["disabled"] == ["svc_placement"]


def test_a_url_that_changes_is_told_to_keystone(make, service, ready):
    seen = after_accounts(make, service, ready)
    moved = make(related(seen, client(5, url="https://elsewhere:8778")))
    assert wish(moved)["catalogue"][0]["urls"]["public"] == "https://elsewhere:8778"
    assert tasks(moved)["accounts"].digest != tasks(make(seen))["accounts"].digest


@pytest.mark.parametrize(("codes", "again"), [([0, 0], False), ([0, 1], False), ([0, 2], True)])
def test_what_cannot_be_done_yet_for_a_client_is_tried_again(make, service, ready, codes, again):
    seen = after_accounts(make, service, ready)
    record = records.records(seen)["accounts"]
    ops = [{"name": "show_domain", "return-code": code, "value": {}} for code in codes]
    facts = {**record["facts"], "resources": {"9": {"id": "r1", "ops": ops}}}
    told = records.reached(service, seen, {"accounts": {**record, "facts": facts}}, online=True)
    assert tasks(make(told))["accounts"].again is again
    assert not tasks(make(seen))["accounts"].again, "nobody has asked for anything"


def test_a_follower_starts_without_making_accounts(make, service, ready):
    done = {
        name: {"digest": "of the leader", "inputs": ["mariadb:3306", "keystone", "relation-1"]}
        for name in ("schema", "bootstrap")
    }
    secrets = {
        "fernet-keys": {"key-0": "a", "key-1": "b"},
        "credential-keys": {"key-0": "c", "key-1": "d"},
    }
    seen = dataclasses.replace(
        records.reached(service, ready, done, online=False),
        is_leader=False,
        own_secrets={**ready.own_secrets, **secrets},
    )
    made = make(seen)
    assert made.status == plan.Status("active")
    assert made.workload.tasks == ()


# --- domains of clients ------------------------------------------------------------------------


def with_domain(snapshot, app):
    """Give the snapshot in which an application asks for a domain of its own."""
    side = keystone_resources.requirer_side({}, {})
    relation = RelationData(id=8, endpoint="identity-ops", app=app, remote_app=side.app_bag)
    return dataclasses.replace(
        snapshot,
        relations={**snapshot.relations, "identity-ops": (relation,)},
        secrets={**snapshot.secrets, **side.secrets},
    )


@pytest.mark.parametrize(
    ("named", "app", "is_admin"),
    [
        ("tempest", "tempest", True),
        ("tempest", "heat", False),
        ("tempest", "temp", False),
        ("magnum,heat", "heat", True),
        ("", "tempest", False),
    ],
)
def test_who_is_named_may_have_an_administrator_and_nobody_else(make, ready, named, app, is_admin):
    snapshot = configured(with_domain(ready, app), admin_applications=named)
    (request,) = wish(make(snapshot))["resources"]
    assert (request["app"], request["is_admin"]) == (app, is_admin)


@pytest.mark.parametrize("text", ["Tempest", "a, b", "a,,b", "a,"])
def test_what_is_no_list_of_applications_is_refused(make, ready, text):
    assert make(configured(ready, admin_applications=text)).status == plan.Status(
        "blocked",
        f"admin-applications: cannot be {text!r}; write names of applications, with commas",
    )


def test_a_domain_s_manager_gives_no_role_but_those_below_and_that_of_stacks(make, ready):
    made = make(ready)
    (file,) = [
        each
        for each in made.workload.files
        if each.path == conf(made)["oslo_policy"]["policy_file"]
    ]
    ((name, rule),) = yaml.safe_load(file.text).items()
    assert name == "domain_managed_target_role"
    roles = ("manager", "member", "reader", "heat_stack_user")
    assert rule == " or ".join(f"'{each}':%(target.role.name)s" for each in roles)
    assert (file.group, file.mode) == ("keystone", 0o640)


# --- the charm ---------------------------------------------------------------------------------


@pytest.fixture
def ctx(charm):
    return testing.Context(charm.KeystoneCharm)


@pytest.fixture
def deployed():
    container = testing.Container("keystone", can_connect=False)
    return testing.State(
        leader=True,
        relations={testing.PeerRelation("peers", id=1)},
        containers={container},
        model=testing.Model("cloud"),
    )


def test_the_admin_account_is_told_without_its_password(ctx, deployed):
    state = ctx.run(ctx.on.config_changed(), deployed)
    secret = state.get_secret(label="admin-password")
    ctx.run(ctx.on.action("get-admin-account"), state)
    assert ctx.action_results["secret"] == secret.id
    assert ctx.action_results["username"] == "admin"
    assert secret.latest_content["password"] not in json.dumps(ctx.action_results)


def test_any_unit_tells_the_admin_account(ctx, deployed):
    state = ctx.run(ctx.on.config_changed(), deployed)
    ctx.run(ctx.on.action("get-admin-account"), dataclasses.replace(state, leader=False))
    assert ctx.action_results["secret"].startswith("secret:")


def test_an_admin_account_that_is_not_there_says_so(ctx, deployed):
    with pytest.raises(testing.ActionFailed, match="has not been made yet"):
        ctx.run(ctx.on.action("get-admin-account"), deployed)


def test_keys_and_password_are_made_before_anything_else_is_there(ctx, deployed):
    state = ctx.run(ctx.on.config_changed(), deployed)
    assert {each.label: each.rotate.value for each in state.secrets} == {
        "admin-password": "never",
        "fernet-keys": "weekly",
        "credential-keys": "monthly",
    }


def test_charm_py_stays_short():
    assert len((FOLDER / "src/charm.py").read_text().splitlines()) < 120


# --- behind an ingress -------------------------------------------------------------------------


def behind(snapshot, **told):
    """Give the snapshot with these URLs told, by endpoint; "" is a relation without an answer."""
    relations = dict(snapshot.relations)
    for number, (name, url) in enumerate(told.items()):
        endpoint = f"ingress-{name}"
        bag = {"ingress": json.dumps({"url": url})} if url else {}
        relations[endpoint] = (RelationData(id=30 + number, endpoint=endpoint, remote_app=bag),)
    return dataclasses.replace(snapshot, relations=relations)


def bootstrap_urls(made):
    argv = tasks(made)["bootstrap"].argv
    return {
        name: argv[argv.index(f"--bootstrap-{name}-url") + 1]
        for name in ("public", "internal", "admin")
    }


def test_the_urls_of_an_ingress_stand_in_keystone_s_own_entry(make, ready):
    public, internal = "https://10.8.0.80/cloud-keystone", "https://10.8.0.81/cloud-keystone"
    made = make(behind(ready, public=public, internal=internal))
    assert bootstrap_urls(made) == {
        "public": f"{public}/v3",
        "internal": f"{internal}/v3",
        "admin": f"{internal}/v3",
    }


def test_a_client_is_told_the_public_url_of_the_ingress(make, service, ready):
    snapshot = behind(ready, public="https://10.8.0.80/cloud-keystone")
    bag = bags(make(after_accounts(make, service, snapshot)))[5]
    assert bag["public-auth-url"] == "https://10.8.0.80/cloud-keystone/v3"
    assert bag["internal-auth-url"] == "https://keystone.cloud.svc.cluster.local:5000/v3"
    assert (bag["auth-host"], bag["auth-port"]) == ("10.8.0.80", "443")


def test_the_script_of_accounts_asks_its_own_unit_by_the_service_s_name(make, ready):
    url = "https://10.8.0.80/cloud-keystone"
    assert wish(make(behind(ready, public=url, internal=url))) == wish(make(ready))


CLIENT = {"identity-service": 5, "identity-credentials": 8, "identity-ops": 9}
SILENT = {"public": "", "internal": ""}


def with_every_client(snapshot, told=""):
    """Give the snapshot with a client of each kind, of which the one on `told` has an answer."""
    operation = {"name": "create_domain", "params": {"name": "heat"}}
    request = json.dumps({"id": "r1", "tag": "t", "ops": [operation]})
    asked = {
        "identity-service": client(5).remote_app,
        "identity-credentials": {"username": "horizon"},
        "identity-ops": {"request": request},
    }
    relations = {
        endpoint: (
            RelationData(
                id=number,
                endpoint=endpoint,
                app=f"client-{number}",
                remote_app=asked[endpoint],
                local_app={"said": "before"} if endpoint == told else {},
            ),
        )
        for endpoint, number in CLIENT.items()
    }
    return dataclasses.replace(snapshot, relations={**snapshot.relations, **relations})


def told_clients(made):
    return sorted(set(CLIENT.values()) & bags(made).keys())


@pytest.mark.parametrize("silent", ["public", "internal"])
def test_no_client_is_told_an_address_that_an_ingress_will_change(make, service, ready, silent):
    seen = after_accounts(make, service, behind(with_every_client(ready), **{silent: ""}))
    made = make(seen)
    assert told_clients(made) == []
    assert made.status == plan.Status("waiting", f"waiting for data from: ingress-{silent}")
    assert made.workload == make(with_every_client(seen, told="identity-service")).workload


def test_every_client_is_told_once_the_ingress_has_told_its_url(make, service, ready):
    url = "https://10.8.0.80/cloud-keystone"
    seen = after_accounts(make, service, behind(with_every_client(ready), public=url))
    assert told_clients(make(seen)) == sorted(CLIENT.values())
    assert make(seen).status == plan.Status("active")


def test_without_an_ingress_every_client_is_told_the_own_address(make, service, ready):
    seen = after_accounts(make, service, with_every_client(ready))
    assert told_clients(make(seen)) == sorted(CLIENT.values())


@pytest.mark.parametrize("told", CLIENT)
def test_a_lost_ingress_takes_nothing_away_once_a_client_was_told(make, service, ready, told):
    seen = after_accounts(make, service, behind(with_every_client(ready, told), **SILENT))
    made = make(seen)
    assert told_clients(made) == sorted(CLIENT.values())
    assert bags(made)[5]["public-auth-url"] == "https://10.8.0.5:5000/v3"
    assert made.status == plan.Status("active")


def test_a_follower_does_not_wait_for_what_only_the_leader_tells(make, service, ready):
    seen = after_accounts(make, service, behind(ready, **SILENT))
    keys = {"fernet-keys": {"key-0": "a"}, "credential-keys": {"key-0": "c"}}
    known = json.dumps({
        name: {"digest": "d", "inputs": list(task.inputs)}
        for name, task in tasks(make(seen)).items()
    })  # fmt: skip
    peers = dataclasses.replace(seen.peers, local_app={records.TASKS: known})
    follower = dataclasses.replace(
        seen,
        is_leader=False,
        own_secrets={**seen.own_secrets, **keys},
        relations={**seen.relations, PEERS: (peers,)},
    )
    assert make(follower).status == plan.Status("active")


def test_who_is_trusted_is_told_without_an_address(make, service, ready):
    relations = {**ready.relations, "send-ca-cert": (RelationData(id=7, endpoint="send-ca-cert"),)}
    seen = behind(dataclasses.replace(ready, relations=relations), **SILENT)
    assert 7 in bags(make(after_accounts(make, service, seen)))


def test_a_url_of_our_own_that_changes_answers_requests_for_it_anew(make, ready):
    url = "https://10.8.0.80/cloud-keystone"
    one, other = (tasks(make(each))["accounts"] for each in (ready, behind(ready, public=url)))
    assert one.digest != other.digest


def test_the_administrator_is_told_the_url_of_the_ingress(charm, ready):
    snapshot = behind(ready, public="https://10.8.0.80/cloud-keystone")
    account = charm.keystone.admin_account(snapshot)
    assert account["auth-url"] == "https://10.8.0.80/cloud-keystone/v3"
