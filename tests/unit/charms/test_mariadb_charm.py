"""The charm mariadb-k8s: state in, event, state out. The server behind the client is a fake."""

import dataclasses
import importlib.util
import json
import pathlib
import sys

import pytest
from ops import testing

from charmkit import kubernetes
from charmkit.interfaces import mysql_client, tls_certificates

CHARM = pathlib.Path(__file__).parents[3] / "charms/mariadb-k8s"
SQL = ("mariadb", "--defaults-file=/etc/mysql/helio/server.cnf")
PLACEMENT = mysql_client.requirer_side({}, {})


@pytest.fixture(scope="module")
def charm():
    source = CHARM / "src"
    sys.path.insert(0, str(source))
    spec = importlib.util.spec_from_file_location("mariadb_charm", source / "charm.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mariadb_charm"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(source))


@pytest.fixture
def ctx(charm):
    return testing.Context(charm.MariadbCharm, charm_root=CHARM)


def says(*accounts, code=0, version="10.11.13-MariaDB"):
    """Give a server whose client answers the SQL that makes accounts."""
    output = json.dumps({"version": version, "accounts": list(accounts) or None})
    return {
        testing.Exec(SQL, stdout=output, return_code=code),
        testing.Exec(["/bin/sh", "/etc/mysql/helio/online"]),
    }


@pytest.fixture
def container(tmp_path):
    disk = testing.Mount(location="/var/lib/charmkit", source=tmp_path)
    return testing.Container("mariadb", can_connect=True, mounts={"d": disk}, execs=says())


@pytest.fixture
def peers():
    return testing.PeerRelation("peers", id=1)


@pytest.fixture
def client():
    return testing.Relation(
        "database", id=4, remote_app_name="placement", remote_app_data=dict(PLACEMENT.app_bag)
    )


@pytest.fixture
def lone(container, peers):
    """One unit whose container has just come up."""
    return testing.State(
        leader=True,
        containers={container},
        relations={peers},
        storages={testing.Storage("database")},
        model=testing.Model("cloud"),
    )


@pytest.fixture
def started(ctx, lone):
    return ctx.run(ctx.on.pebble_ready(lone.get_container("mariadb")), lone)


def with_client(state, client, *accounts):
    container = dataclasses.replace(
        state.get_container("mariadb"), execs=says(*accounts), _base_plan={}
    )
    return dataclasses.replace(state, containers={container}, relations={*state.relations, client})


def statements(ctx):
    return [each for each in ctx.exec_history["mariadb"] if each.command[0] == "mariadb"]


def file(state, ctx, path):
    return (state.get_container("mariadb").get_filesystem(ctx) / path.lstrip("/")).read_text()


def test_a_lone_unit_starts_and_is_active(ctx, started):
    assert started.unit_status == testing.ActiveStatus()
    service = started.get_container("mariadb").plan.services["mariadb"]
    assert service.command == "/bin/bash /etc/mysql/helio/start"
    assert {port.port for port in started.opened_ports} == {3306}


def test_the_check_online_asks_the_server(started):
    check = started.get_container("mariadb").plan.checks["online"]
    assert check.exec == {"command": "/bin/sh /etc/mysql/helio/online"}
    assert check.level.value == "ready"


def test_without_certificates_the_server_offers_no_tls(ctx, started):
    assert "ssl-cert" not in file(started, ctx, "/etc/mysql/helio/server.cnf")


def test_a_client_gets_its_account_as_a_secret(ctx, started, client):
    state = with_client(started, client, "relation-4")
    out = ctx.run(ctx.on.relation_changed(client), state)
    bag = out.get_relation(4).local_app_data
    secret = next(each for each in out.secrets if each.id == bag["secret-user"])
    assert secret.latest_content["username"] == "relation-4"
    assert secret.remote_grants == {4: {"placement"}}
    assert bag["endpoints"] == "mariadb-k8s.cloud.svc.cluster.local:3306"
    assert bag["database"] == "placement"
    assert bag["version"] == "10.11.13-MariaDB"


def test_what_the_client_reads_is_what_the_server_was_told(ctx, started, client):
    out = ctx.run(ctx.on.relation_changed(client), with_client(started, client, "relation-4"))
    told = statements(ctx)[-1].stdin
    bag = out.get_relation(4).local_app_data
    [secret] = [each for each in out.secrets if each.id == bag["secret-user"]]
    password = secret.latest_content["password"]
    assert f"CREATE USER IF NOT EXISTS 'relation-4'@'%' IDENTIFIED BY '{password}';" in told
    assert "CREATE DATABASE IF NOT EXISTS `placement`" in told


def test_no_password_is_in_a_bag_a_file_or_an_argument(ctx, started, client):
    out = ctx.run(ctx.on.relation_changed(client), with_client(started, client, "relation-4"))
    passwords = [
        each.latest_content["password"]
        for each in out.secrets
        if "password" in each.latest_content
    ]
    assert passwords
    shown = [json.dumps(relation.local_app_data) for relation in out.relations]
    shown += [" ".join(each.command) for each in ctx.exec_history["mariadb"]]
    root = out.get_container("mariadb").get_filesystem(ctx)
    shown += [path.read_text() for path in root.rglob("*") if path.is_file()]
    assert not any(password in text for password in passwords for text in shown)


@pytest.mark.parametrize(
    ("address", "told"), [("10.0.0.9", "10.0.0.9:3306"), ("fd00::9", "[fd00::9]:3306")]
)
def test_a_machine_gets_the_address_of_the_load_balancer(
    ctx, started, client, monkeypatch, address, told
):
    asked = []

    def ensure(app, model, ports):
        asked.append(ports)
        return kubernetes.Balancer(address)

    monkeypatch.setattr(kubernetes, "ensure_load_balancer", ensure)
    bag = {**PLACEMENT.app_bag, "external-node-connectivity": "true"}
    machine = dataclasses.replace(client, remote_app_data=bag)
    out = ctx.run(ctx.on.relation_changed(machine), with_client(started, machine, "relation-4"))
    assert out.get_relation(4).local_app_data["endpoints"] == told
    assert asked == [{"mysql": 3306}]


def test_a_client_is_told_nothing_before_its_account_exists(ctx, started, client):
    out = ctx.run(ctx.on.relation_changed(client), with_client(started, client))
    assert "secret-user" not in out.get_relation(4).local_app_data


def test_a_server_that_refuses_the_account_fails_the_hook(ctx, started, client):
    container = dataclasses.replace(
        started.get_container("mariadb"),
        execs={
            testing.Exec(SQL, return_code=1, stderr="ERROR 1045 (28000) at line 2: no"),
            testing.Exec(["/bin/sh", "/etc/mysql/helio/online"]),
        },
    )
    state = dataclasses.replace(
        started, containers={container}, relations={*started.relations, client}
    )
    with pytest.raises(
        testing.errors.UncaughtCharmError, match="accounts: mariadb exited 1: ERROR 1045"
    ):
        ctx.run(ctx.on.relation_changed(client), state)


def test_a_second_run_tells_the_server_nothing(ctx, started, client):
    first = ctx.run(ctx.on.relation_changed(client), with_client(started, client, "relation-4"))
    count = len(statements(ctx))
    again = ctx.run(ctx.on.update_status(), first)
    assert len(statements(ctx)) == count
    assert again.get_relation(4).local_app_data == first.get_relation(4).local_app_data


def test_the_account_goes_with_the_relation_and_the_schema_stays(ctx, started, client):
    first = ctx.run(ctx.on.relation_changed(client), with_client(started, client, "relation-4"))
    ctx.run(ctx.on.relation_broken(first.get_relation(4)), first)
    told = statements(ctx)[-1].stdin
    assert "user NOT IN ('')" in told
    assert "DROP DATABASE" not in told


def test_a_client_that_asks_for_a_schema_of_the_server_gets_nothing(ctx, started, client):
    bad = dataclasses.replace(client, remote_app_data={"database": "mysql"})
    out = ctx.run(ctx.on.relation_changed(bad), with_client(started, bad, "relation-4"))
    assert "secret-user" not in out.get_relation(4).local_app_data
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert out.unit_status.message == "cannot serve placement: mysql belongs to the server itself"


def test_a_client_that_asks_for_no_secrets_is_told_about_tls_in_its_bag(ctx, started, client):
    plain = dataclasses.replace(client, remote_app_data={"database": "placement"})
    out = ctx.run(ctx.on.relation_changed(plain), with_client(started, plain, "relation-4"))
    assert out.get_relation(4).local_app_data["tls"] == "False"


def test_a_unit_with_certificates_waits_for_its_own(ctx, lone):
    relation = testing.Relation("certificates", id=7, remote_app_name="ca")
    state = dataclasses.replace(lone, relations={*lone.relations, relation})
    out = ctx.run(ctx.on.relation_created(relation), state)
    assert out.unit_status == testing.WaitingStatus("waiting for data from: certificates")
    assert not out.get_container("mariadb").plan.services
    assert "certificate_signing_requests" in out.get_relation(7).local_unit_data


def test_a_signed_certificate_makes_the_server_offer_tls(ctx, lone, client):
    relation = testing.Relation("certificates", id=7, remote_app_name="ca")
    state = dataclasses.replace(lone, relations={*lone.relations, relation})
    asked = ctx.run(ctx.on.relation_created(relation), state)
    side = tls_certificates.provider_side({}, asked.get_relation(7).local_unit_data)
    answered = dataclasses.replace(asked.get_relation(7), remote_app_data=dict(side.app_bag))
    peer = asked.get_relation(1)
    state = with_client(
        dataclasses.replace(asked, relations={peer, answered}), client, "relation-4"
    )
    out = ctx.run(ctx.on.relation_changed(answered), state)
    assert "ssl-cert = /etc/mysql/helio/certificate.pem" in file(
        out, ctx, "/etc/mysql/helio/server.cnf"
    )
    assert "BEGIN CERTIFICATE" in file(out, ctx, "/etc/mysql/helio/certificate.pem")
    assert "PRIVATE KEY" in file(out, ctx, "/etc/mysql/helio/key.pem")
    bag = out.get_relation(4).local_app_data
    tls = next(each for each in out.secrets if each.id == bag["secret-tls"])
    assert tls.latest_content["tls"] == "True"
    assert "BEGIN CERTIFICATE" in tls.latest_content["tls-ca"]


def test_a_renewed_certificate_restarts_nothing(ctx, lone):
    relation = testing.Relation("certificates", id=7, remote_app_name="ca")
    state = dataclasses.replace(lone, relations={*lone.relations, relation})
    asked = ctx.run(ctx.on.relation_created(relation), state)
    side = tls_certificates.provider_side({}, asked.get_relation(7).local_unit_data)
    [item] = json.loads(side.app_bag["certificates"])

    def run(state, chain):
        bag = {"certificates": json.dumps([item | {"chain": chain}])}
        answered = dataclasses.replace(state.get_relation(7), remote_app_data=bag)
        changed = dataclasses.replace(state, relations={state.get_relation(1), answered})
        return ctx.run(ctx.on.relation_changed(answered), changed)

    first = run(asked, item["chain"])
    second = run(first, [item["certificate"]])
    plans = [each.get_container("mariadb").plan.services["mariadb"] for each in (first, second)]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(("option", "value"), [("profile", "huge"), ("max-connections", 5)])
def test_a_bad_option_blocks_and_leaves_the_server_alone(ctx, started, option, value):
    out = ctx.run(ctx.on.config_changed(), dataclasses.replace(started, config={option: value}))
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert out.unit_status.message.startswith(f"{option}: ")
    assert out.get_container("mariadb").plan == started.get_container("mariadb").plan


def test_dropping_needs_confirmation(ctx, started):
    with pytest.raises(testing.ActionFailed, match="confirm=true"):
        ctx.run(ctx.on.action("drop-database", params={"name": "old"}), started)


def test_a_schema_in_use_is_not_dropped(ctx, started, client):
    state = with_client(started, client, "relation-4")
    params = {"name": "placement", "confirm": True}
    with pytest.raises(testing.ActionFailed, match="placement uses it"):
        ctx.run(ctx.on.action("drop-database", params=params), state)


def test_an_unused_schema_is_dropped(ctx, started):
    ctx.run(ctx.on.action("drop-database", params={"name": "old", "confirm": True}), started)
    assert statements(ctx)[-1].stdin == "DROP DATABASE `old`;\n"


def test_listing_names_size_and_clients(ctx, started, client):
    state = with_client(started, client)
    container = dataclasses.replace(
        state.get_container("mariadb"), execs={testing.Exec(SQL, stdout="old\t10\nplacement\t5\n")}
    )
    ctx.run(ctx.on.action("list-databases"), dataclasses.replace(state, containers={container}))
    assert json.loads(ctx.action_results["databases"]) == {
        "old": {"bytes": 10, "clients": []},
        "placement": {"bytes": 5, "clients": ["placement"]},
    }


def test_a_lone_unit_is_no_cluster(ctx, started):
    assert "wsrep" not in file(started, ctx, "/etc/mysql/helio/server.cnf")
    assert "clustered=no" in file(started, ctx, "/etc/mysql/helio/cluster")


def test_three_units_are_a_cluster_that_unit_0_founds(ctx, lone):
    out = ctx.run(ctx.on.config_changed(), dataclasses.replace(lone, planned_units=3))
    assert "wsrep-on = ON" in file(out, ctx, "/etc/mysql/helio/server.cnf")
    told = file(out, ctx, "/etc/mysql/helio/cluster")
    assert "may_found=yes" in told
    assert "mariadb-k8s-2.mariadb-k8s-endpoints.cloud.svc.cluster.local" in told


def test_a_growing_cluster_restarts_no_member(ctx, lone):
    plans = [
        ctx.run(ctx.on.config_changed(), dataclasses.replace(lone, planned_units=units))
        .get_container("mariadb")
        .plan.services["mariadb"]
        for units in (3, 5)
    ]
    assert plans[0] == plans[1]


def test_units_tell_each_other_where_they_stopped(ctx, charm, lone):
    storage = testing.Storage("database")
    folder = storage.get_filesystem(ctx) / "data"
    folder.mkdir()
    (folder / "grastate.dat").write_text("uuid:    41fb5dd6-e55e-11f1-a085\nseqno:   18\n")
    state = dataclasses.replace(lone, storages={storage}, planned_units=3)
    with ctx(ctx.on.update_status(), state) as manager:
        seen = manager.charm.reconciler.observe()
    stopped = charm.values(seen, {"online": False})["position"]
    assert (stopped.history, stopped.seqno) == ("41fb5dd6-e55e-11f1-a085", 18)
    # A server that runs has not stopped anywhere, whatever its record says.
    out = ctx.run(ctx.on.config_changed(), state)
    assert json.loads(out.get_relation(1).local_unit_data["galera"]) == {
        "history": "41fb5dd6-e55e-11f1-a085",
        "seqno": -1,
    }
