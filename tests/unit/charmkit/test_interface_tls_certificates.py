"""`tls-certificates`: both ends against each other, renewal, and what published charms write."""

import dataclasses
import datetime
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from charmkit.interfaces import tls_certificates
from charmkit.spec import Addresses, RelationData, Snapshot

ADDRESSES = Addresses(
    unit_ip="10.1.0.7",
    service_ips=("10.8.0.7",),
    unit_name="web-0.web-endpoints.cloud.svc.cluster.local",
    service_name="web.cloud.svc.cluster.local",
    hostnames=("web", "web-0"),
)
BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
END = datetime.datetime(2126, 1, 1, tzinfo=datetime.UTC).timestamp()
PROVIDER = tls_certificates.Provider()


def requirer(now=BEGIN):
    return tls_certificates.Requirer(clock=lambda: now)


def client_sees(remote_app=None, own_secrets=None, *, addresses=ADDRESSES, entropy=b"x"):
    relation = RelationData(id=7, endpoint="certificates", app="ca", remote_app=remote_app or {})
    return Snapshot(
        app="web",
        unit="web/0",
        relations={"certificates": (relation,)},
        own_secrets=own_secrets or {},
        addresses=addresses,
        entropy=entropy,
    )


def requested(snapshot, now=BEGIN):
    """Give the unit's bag and its secrets as the next dispatch sees them."""
    publication = requirer(now).request(snapshot)
    [publish] = publication.bags
    return dict(publish.unit), {each.label: each.content for each in publication.secrets}


def csr_of(bag):
    [item] = json.loads(bag["certificate_signing_requests"])
    assert item["ca"] is False
    return item["certificate_signing_request"]


def key_of(pem):
    return serialization.load_pem_private_key(pem.encode(), None).public_key()


# --- requirer ----------------------------------------------------------------------------------


def test_the_request_names_every_name_and_address_of_the_unit():
    bag, _ = requested(client_sees())
    csr = x509.load_pem_x509_csr(csr_of(bag).encode())
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "web",
        "web-0",
        "web.cloud.svc.cluster.local",
        "web-0.web-endpoints.cloud.svc.cluster.local",
    }
    assert {str(each) for each in names.get_values_for_type(x509.IPAddress)} == {
        "10.1.0.7",
        "10.8.0.7",
    }
    assert csr.is_signature_valid


def test_a_name_too_long_for_a_common_name_gives_way_to_a_shorter_one():
    long = "a" * 60
    addresses = dataclasses.replace(
        ADDRESSES, unit_name=f"{long}-0.{long}", service_name=f"{long}.cloud"
    )
    bag, _ = requested(client_sees(addresses=addresses))
    subject = x509.load_pem_x509_csr(csr_of(bag).encode()).subject
    [name] = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert name.value == "web-0"


def test_the_key_is_in_a_secret_of_the_unit_and_nowhere_else():
    publication = requirer().request(client_sees())
    [secret] = publication.secrets
    assert secret.owner == "unit"
    assert "PRIVATE KEY" in secret.content["private-key"]
    assert "PRIVATE KEY" not in repr(publication)
    assert secret.label in requirer().secret_labels(client_sees())


def test_the_same_request_is_made_again_for_the_same_facts():
    assert requirer().request(client_sees()) == requirer().request(client_sees())
    bag, secrets = requested(client_sees())
    assert requested(client_sees({}, secrets, entropy=b"other")) == (bag, secrets)


def test_another_unit_makes_another_key():
    one, other = requested(client_sees()), requested(client_sees(entropy=b"other"))
    assert one[1]["certificates"]["private-key"] != other[1]["certificates"]["private-key"]


def test_nothing_is_requested_before_the_addresses_are_known():
    assert requirer().request(client_sees(addresses=Addresses())).bags == ()


def test_the_answer_is_read_with_the_key_that_fits():
    bag, secrets = requested(client_sees())
    answer = tls_certificates.provider_side({}, bag)
    found = requirer().read(client_sees(answer.app_bag, secrets))
    leaf, root = x509.load_pem_x509_certificates(found.certificate.encode())
    assert leaf.public_key() == key_of(found.private_key)
    leaf.verify_directly_issued_by(root)
    assert found.ca == root.public_bytes(serialization.Encoding.PEM).decode()
    assert "PRIVATE" not in repr(found)


def test_an_answer_to_somebody_else_is_not_read():
    _, secrets = requested(client_sees())
    others, _ = requested(client_sees(entropy=b"other"))
    answer = tls_certificates.provider_side({}, others)
    assert requirer().read(client_sees(answer.app_bag, secrets)) is None


def test_new_names_make_a_new_request_and_the_old_certificate_serves_meanwhile():
    bag, secrets = requested(client_sees())
    answer = tls_certificates.provider_side({}, bag)
    before = requirer().read(client_sees(answer.app_bag, secrets))
    moved = dataclasses.replace(ADDRESSES, unit_ip="10.1.0.9")
    seen = client_sees(answer.app_bag, secrets, addresses=moved, entropy=b"later")
    new_bag, new_secrets = requested(seen)
    assert csr_of(new_bag) != csr_of(bag)
    assert requirer().read(dataclasses.replace(seen, own_secrets=new_secrets)) == before
    new_answer = tls_certificates.provider_side({}, new_bag)
    after = requirer().read(client_sees(new_answer.app_bag, new_secrets, addresses=moved))
    assert after.private_key != before.private_key


def test_a_certificate_is_renewed_when_two_thirds_of_its_life_are_over():
    bag, secrets = requested(client_sees())
    answer = tls_certificates.provider_side({}, bag)
    seen = client_sees(answer.app_bag, secrets, entropy=b"later")
    limit = BEGIN + (END - BEGIN) * 2 / 3
    assert requested(seen, now=limit - 1) == (bag, secrets)
    renewed, kept = requested(seen, now=limit)
    assert csr_of(renewed) != csr_of(bag)
    assert kept["certificates"]["old-private-key"] == secrets["certificates"]["private-key"]


def test_a_renewal_that_is_not_answered_is_not_repeated():
    bag, secrets = requested(client_sees())
    answer = tls_certificates.provider_side({}, bag)
    late = END - 1
    renewed, kept = requested(client_sees(answer.app_bag, secrets, entropy=b"1"), now=late)
    again = requested(client_sees(answer.app_bag, kept, entropy=b"2"), now=late)
    assert again == (renewed, kept)


def test_a_revoked_certificate_is_not_used_and_replaced():
    bag, secrets = requested(client_sees())
    [item] = json.loads(tls_certificates.provider_side({}, bag).app_bag["certificates"])
    revoked = {"certificates": json.dumps([item | {"revoked": True}])}
    seen = client_sees(revoked, secrets, entropy=b"later")
    assert requirer().read(seen) is None
    assert csr_of(requested(seen)[0]) != csr_of(bag)


@pytest.mark.parametrize("order", [1, -1])
def test_a_chain_is_read_in_either_order(order):
    bag, secrets = requested(client_sees())
    [item] = json.loads(tls_certificates.provider_side({}, bag).app_bag["certificates"])
    item["chain"] = item["chain"][::order]
    found = requirer().read(client_sees({"certificates": json.dumps([item])}, secrets))
    leaf, root = x509.load_pem_x509_certificates(found.certificate.encode())
    leaf.verify_directly_issued_by(root)


def test_an_answer_without_chain_is_completed_by_its_authority():
    bag, secrets = requested(client_sees())
    [item] = json.loads(tls_certificates.provider_side({}, bag).app_bag["certificates"])
    del item["chain"]
    found = requirer().read(client_sees({"certificates": json.dumps([item])}, secrets))
    assert found.certificate == f"{item['certificate']}\n{item['ca']}\n"


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[1]", '[{"certificate": "x"}]'])
def test_nonsense_of_a_provider_counts_as_no_answer(text):
    _, secrets = requested(client_sees())
    assert requirer().read(client_sees({"certificates": text}, secrets)) is None


def test_without_a_relation_there_is_no_request_and_no_value():
    alone = Snapshot(app="web", unit="web/0", addresses=ADDRESSES)
    assert requirer().request(alone) is None
    assert requirer().read(alone) is None
    assert tuple(requirer().secret_labels(alone)) == ()


# --- reading a certificate's life --------------------------------------------------------------


def certificate(begin, end):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 60)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1 << 150, begin, end)
    text = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return text.decode()


@given(
    begin=st.datetimes(datetime.datetime(1951, 1, 1), datetime.datetime(2100, 1, 1)),
    life=st.timedeltas(datetime.timedelta(seconds=1), datetime.timedelta(days=30000)),
)
def test_the_life_of_a_certificate_is_read_as_cryptography_reads_it(begin, life):
    begin = begin.replace(microsecond=0)
    end = (begin + life).replace(microsecond=0)
    pem = certificate(begin, end + datetime.timedelta(seconds=1))
    loaded = x509.load_pem_x509_certificate(pem.encode())
    assert tls_certificates._validity(pem) == (
        loaded.not_valid_before_utc.timestamp(),
        loaded.not_valid_after_utc.timestamp(),
    )


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nMAA=\n"])
def test_what_is_no_certificate_is_never_renewed(pem):
    assert tls_certificates.renewal(pem) == float("inf")


# --- provider ----------------------------------------------------------------------------------


def authority_sees(*, remote_app=None, units=None, local_app=None):
    relation = RelationData(
        id=7,
        endpoint="certificates",
        app="web",
        remote_app=remote_app or {},
        remote_units=units or {},
        local_app=local_app or {},
    )
    return Snapshot(app="ca", unit="ca/0", is_leader=True, relations={"certificates": (relation,)})


def test_requests_of_application_and_units_are_all_seen():
    one, _ = requested(client_sees())
    other, _ = requested(client_sees(entropy=b"other"))
    seen = authority_sees(remote_app=other, units={"web/1": one, "web/0": one})
    found = PROVIDER.requests(seen)
    assert [each.unit for each in found] == ["", "web/0", "web/1"]
    assert found[0].csr == csr_of(other)


def test_an_answer_is_recognised_in_the_next_dispatch():
    bag, _ = requested(client_sees())
    seen = authority_sees(units={"web/0": bag})
    [request] = PROVIDER.requests(seen)
    answer = tls_certificates.Issued(
        csr=request.csr, certificate="leaf", ca="root", chain=("leaf", "root")
    )
    [publish] = PROVIDER.respond(seen, [(request, answer)]).bags
    later = authority_sees(units={"web/0": bag}, local_app=publish.app)
    assert PROVIDER.issued(later) == {(7, request.csr): answer}


def test_a_client_of_the_published_library_is_understood():
    csr = csr_of(requested(client_sees())[0])
    bag = {
        "ingress-address": "10.1.0.3",
        "certificate_signing_requests": json.dumps(
            [{"certificate_signing_request": csr + "\n"}, {"ca": True}],
        ),
    }
    [found] = PROVIDER.requests(authority_sees(units={"web/0": bag}))
    assert (found.csr, found.ca) == (csr, False)


def test_the_answer_has_the_keys_that_the_published_schema_requires():
    bag, _ = requested(client_sees())
    seen = authority_sees(units={"web/0": bag})
    [request] = PROVIDER.requests(seen)
    answer = tls_certificates.Issued(csr=request.csr, certificate="l", ca="r", chain=("l", "r"))
    [publish] = PROVIDER.respond(seen, [(request, answer)]).bags
    assert json.loads(publish.app["certificates"]) == [
        {
            "ca": "r",
            "certificate": "l",
            "certificate_signing_request": request.csr,
            "chain": ["l", "r"],
        }
    ]


def test_the_builders_fit_both_ends():
    asked = tls_certificates.requirer_side({}, {})
    assert len(PROVIDER.requests(authority_sees(units={"web/0": asked.unit_bag}))) == 1
    assert tls_certificates.provider_side({}, {}).app_bag == {}
