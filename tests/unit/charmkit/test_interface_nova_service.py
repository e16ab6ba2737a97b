"""`nova-service`: both ends against each other."""

import pytest

from charmkit.interfaces import nova_service
from charmkit.spec import RelationData, SecretRef, Snapshot

REQUIRER = nova_service.Requirer()
PROVIDER = nova_service.Provider()
URI = "secret:metadata"
COMPUTE = nova_service.Compute(
    region="north",
    metadata_url="https://10.20.0.9:8775",
    metadata_secret="shared",
    console_url="https://10.20.0.9:6080/vnc_lite.html",
)


def sees(bag=None, secrets=None, ids=(4,)):
    relations = tuple(
        RelationData(id=each, endpoint="nova-service", app="nova", remote_app=bag or {})
        for each in ids
    )
    return Snapshot(
        app="ours",
        unit="ours/0",
        relations={"nova-service": relations},
        secrets=secrets or {},
    )


def answer(compute=COMPUTE):
    """Give the bag and the secret's content as a client gets them."""
    made = PROVIDER.respond(sees(), compute)
    [bag], [secret] = made.bags, made.secrets
    texts = {key: URI if isinstance(value, SecretRef) else value for key, value in bag.app.items()}
    return {key: value for key, value in texts.items() if value}, {URI: secret.content}


def test_a_hypervisor_reads_what_the_compute_service_tells():
    bag, secrets = answer()
    assert URI in REQUIRER.secret_uris(sees(bag))
    assert REQUIRER.read(sees(bag, secrets)) == COMPUTE


def test_the_shared_secret_is_in_no_bag():
    bag, _ = answer()
    assert "shared" not in "".join(bag.values())


def test_all_clients_may_read_the_one_secret():
    [secret] = PROVIDER.respond(sees(ids=(4, 7)), COMPUTE).secrets
    assert secret.grants == (4, 7)


def test_the_url_of_the_metadata_api_comes_apart():
    assert (COMPUTE.metadata_protocol, COMPUTE.metadata_host, COMPUTE.metadata_port) == (
        "https",
        "10.20.0.9",
        8775,
    )


@pytest.mark.parametrize("missing", ["metadata-url", "metadata-proxy-shared-secret-id"])
def test_half_an_answer_is_none(missing):
    bag, secrets = answer()
    del bag[missing]
    assert REQUIRER.read(sees(bag, secrets)) is None


def test_a_secret_that_cannot_be_read_yet_is_waited_for():
    bag, _ = answer()
    assert REQUIRER.read(sees(bag)) is None


def test_without_a_relation_there_is_nothing_to_read_or_tell():
    alone = Snapshot(app="ours", unit="ours/0")
    assert REQUIRER.request(alone) is None
    assert REQUIRER.read(alone) is None
    made = PROVIDER.respond(alone, COMPUTE)
    assert (made.bags, made.secrets) == ((), ())


def test_the_test_data_of_the_compute_service_is_what_a_hypervisor_reads():
    side = nova_service.provider_side({}, {})
    read = REQUIRER.read(sees(side.app_bag, side.secrets))
    assert read
    assert read.metadata_host == "10.20.0.9"
    assert len(PROVIDER.requests(sees())) == 1
    assert nova_service.requirer_side({}, {}).app_bag == {}
