"""`cinder-ceph-key`: both ends against each other."""

import uuid

from charmkit.interfaces import cinder_ceph_key
from charmkit.spec import RelationData, SecretRef, Snapshot

REQUIRER = cinder_ceph_key.Requirer()
PROVIDER = cinder_ceph_key.Provider()


def hypervisor_sees(bags, secrets):
    relations = tuple(
        RelationData(id=number, endpoint="ceph-access", app=f"cinder-{number}", remote_app=bag)
        for number, bag in enumerate(bags)
    )
    return Snapshot(app="hv", unit="hv/0", relations={"ceph-access": relations}, secrets=secrets)


def storage_sees(*ids):
    relations = tuple(RelationData(id=id, endpoint="ceph-access") for id in ids)
    return Snapshot(app="cinder-volume", unit="cinder-volume/0", relations={
        "ceph-access": relations
    })  # fmt: skip


def test_a_hypervisor_reads_what_a_storage_answers():
    publication = PROVIDER.respond(storage_sees(3), uuid="u-1", key="AQ==")
    [bag], [secret] = publication.bags, publication.secrets
    assert bag.app == {"access-credentials": SecretRef(secret.label)}
    seen = hypervisor_sees([{"access-credentials": "secret:1"}], {"secret:1": secret.content})
    [access] = REQUIRER.read(seen)
    assert (access.app, access.uuid, access.key) == ("cinder-0", "u-1", "AQ==")


def test_one_secret_is_granted_to_every_hypervisor():
    publication = PROVIDER.respond(storage_sees(3, 5), uuid="u-1", key="AQ==")
    [secret] = publication.secrets
    assert secret.grants == (3, 5)
    assert list(PROVIDER.secret_labels(storage_sees(3, 5))) == [secret.label]


def test_nothing_is_owned_without_a_hypervisor():
    publication = PROVIDER.respond(storage_sees(), uuid="u-1", key="AQ==")
    assert (publication.bags, publication.secrets) == ((), ())


def test_a_hypervisor_waits_until_every_storage_has_answered():
    bag = {"access-credentials": "secret:1"}
    content = {"uuid": "u", "key": "k"}
    assert REQUIRER.read(hypervisor_sees([bag, {}], {"secret:1": content})) is None
    assert REQUIRER.read(hypervisor_sees([bag], {})) is None
    assert REQUIRER.read(hypervisor_sees([], {})) is None


def test_the_uuid_is_that_of_the_cluster_and_the_client():
    made = cinder_ceph_key.libvirt_uuid("fsid", "cinder")
    assert uuid.UUID(made).version == 4
    assert made == cinder_ceph_key.libvirt_uuid("fsid", "cinder")
    assert made != cinder_ceph_key.libvirt_uuid("other", "cinder")


def test_test_data_are_complete():
    side = cinder_ceph_key.provider_side({}, {})
    assert REQUIRER.read(hypervisor_sees([side.app_bag], side.secrets)) is not None
