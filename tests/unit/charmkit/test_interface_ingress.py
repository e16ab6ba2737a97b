"""The two ends of `ingress`, held against each other and against the published format."""

import dataclasses
import json

import pytest

from charmkit.interfaces import ingress
from charmkit.spec import Addresses, RelationData, Snapshot

CLIENT = ingress.Requirer(endpoint="ingress-public", port=8778, path="/healthcheck")
PROVIDER = ingress.Provider()
WHERE = Addresses(
    unit_ip="10.1.0.7", unit_name="placement-0.placement-endpoints.cloud.svc.cluster.local"
)


def client_sees(bag=None, endpoint="ingress-public"):
    relation = RelationData(id=4, endpoint=endpoint, app="ingress", remote_app=bag or {})
    return Snapshot(
        app="placement",
        unit="placement/0",
        model="cloud",
        is_leader=True,
        addresses=WHERE,
        relations={endpoint: (relation,)},
    )


def server_sees(app, units):
    relation = RelationData(
        id=9, endpoint="ingress", app="placement", remote_app=app, remote_units=units
    )
    return Snapshot(app="ingress", unit="ingress/0", relations={"ingress": (relation,)})


@pytest.fixture
def asked():
    (bag,) = CLIENT.request(client_sees()).bags
    return bag


def test_a_client_is_understood(asked):
    (request,) = PROVIDER.requests(server_sees(asked.app, {"placement/0": asked.unit}))
    assert request == ingress.Request(
        relation_id=9,
        model="cloud",
        name="placement",
        port=8778,
        scheme="https",
        strip_prefix=True,
        path="/healthcheck",
        servers=(ingress.Server(unit="placement/0", host=WHERE.unit_name, address=WHERE.unit_ip),),
    )
    assert request.prefix == "cloud-placement"


def test_every_value_on_the_wire_is_json(asked):
    values = {key: json.loads(text) for key, text in {**asked.app, **asked.unit}.items()}
    assert (values["port"], values["strip-prefix"]) == (8778, True)
    assert values["ip"] == "10.1.0.7"


def test_the_url_is_read_without_a_slash_at_its_end(asked):
    snapshot = server_sees(asked.app, {"placement/0": asked.unit})
    (told,) = PROVIDER.respond(snapshot, {9: "https://10.8.0.80/cloud-placement/"}).bags
    assert CLIENT.read(client_sees(told.app)) == ingress.Ingress(
        "https://10.8.0.80/cloud-placement"
    )


def test_a_url_is_taken_back(asked):
    snapshot = server_sees(asked.app, {"placement/0": asked.unit})
    (told,) = PROVIDER.respond(snapshot, {}).bags
    assert told.app == {"ingress": None}


@pytest.mark.parametrize("text", ["", "[]", '{"url": 3}', '{"url": ""}', "nonsense"])
def test_nonsense_is_no_url(text):
    assert CLIENT.read(client_sees({"ingress": text})) == ingress.Ingress("")


def test_a_service_without_the_relation_has_no_ingress():
    alone = dataclasses.replace(client_sees(), relations={})
    assert (CLIENT.read(alone), CLIENT.url(alone)) == (None, "")


@pytest.mark.parametrize(
    "change",
    [
        {"port": '"x"'},
        {"name": '"two\\nlines"'},
        {"name": '"a b"'},
        {"model": "3"},
        {"scheme": '"ftp"'},
        {"name": ""},
    ],
)
def test_a_request_that_does_not_fit_is_ignored(asked, change):
    assert PROVIDER.requests(server_sees({**asked.app, **change}, {})) == ()


def test_a_unit_with_a_strange_host_is_left_out(asked):
    (request,) = PROVIDER.requests(
        server_sees(asked.app, {"p/0": {"host": '"a b"'}, "p/1": asked.unit, "p/2": {}})
    )
    assert [each.unit for each in request.servers] == ["p/1"]


def test_a_unit_without_an_address_is_reached_by_its_name(asked):
    unit = {**asked.unit, "ip": "null"}
    (request,) = PROVIDER.requests(server_sees(asked.app, {"p/0": unit}))
    assert request.servers[0].address == WHERE.unit_name


def test_the_builders_fit_both_ends(asked):
    assert CLIENT.url(client_sees(ingress.provider_side(asked.app, asked.unit).app_bag))
    wanted = ingress.requirer_side({}, {})
    (request,) = PROVIDER.requests(server_sees(wanted.app_bag, {"p/0": wanted.unit_bag}))
    assert len(request.servers) == 1
