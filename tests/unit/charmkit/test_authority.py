"""Making roots and signing requests."""

import contextlib
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from charmkit import authority

NOW = time.time()
DAY = 86400


def root(seed="seed", **facts):
    return authority.make_root("Test CA", seed=seed, now=NOW, validity=3650 * DAY, **facts)


def request(key=None, san=True, basic=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if san:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("web.cloud")]), critical=False
        )
    if basic:
        builder = builder.add_extension(basic, critical=True)
    csr = builder.sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def signed(csr, by=None, **facts):
    options = {"seed": "s", "now": NOW, "validity": 90 * DAY} | facts
    text = authority.sign(by or root(), csr, **options)
    return x509.load_pem_x509_certificate(text.encode())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def test_a_root_signs_itself_and_is_an_authority():
    made = root()
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    certificate.verify_directly_issued_by(certificate)
    assert extension(certificate, x509.BasicConstraints).ca
    assert extension(certificate, x509.KeyUsage).key_cert_sign
    assert isinstance(certificate.public_key().curve, ec.SECP384R1)


def test_the_same_seed_gives_the_same_root_and_another_another():
    assert root() == root()
    assert root().private_key != root("other").private_key


def test_a_key_is_not_in_the_representation():
    assert "PRIVATE" not in repr(root())


def test_the_names_of_the_request_are_taken_over():
    certificate = signed(request())
    names = extension(certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["web.cloud"]
    assert certificate.subject.rfc4514_string() == "CN=web"


def test_a_request_without_names_is_signed():
    certificate = signed(request(san=False))
    with pytest.raises(x509.ExtensionNotFound):
        extension(certificate, x509.SubjectAlternativeName)


def test_a_request_cannot_make_itself_an_authority():
    greedy = x509.BasicConstraints(ca=True, path_length=None)
    assert not extension(signed(request(basic=greedy)), x509.BasicConstraints).ca


def test_an_authority_is_made_where_the_client_asks_for_one():
    constraints = extension(signed(request(), is_ca=True), x509.BasicConstraints)
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_a_request_with_an_rsa_key_is_signed():
    key = rsa.generate_private_key(65537, 2048)
    certificate = signed(request(key))
    assert certificate.public_key() == key.public_key()
    assert extension(certificate, x509.KeyUsage).key_encipherment


def test_no_certificate_outlives_its_root():
    certificate = signed(request(), validity=9999 * DAY)
    end = x509.load_pem_x509_certificate(root().certificate.encode()).not_valid_after_utc
    assert certificate.not_valid_after_utc == end


def test_two_requests_get_two_serial_numbers():
    assert signed(request()).serial_number != signed(request()).serial_number


def test_a_new_root_is_trusted_by_those_who_know_the_old_one():
    old = root()
    new = root("next", previous=old)
    leaf = signed(request(), by=new)
    crossing, own, previous = (x509.load_pem_x509_certificate(t.encode()) for t in new.issuers)
    leaf.verify_directly_issued_by(crossing)
    leaf.verify_directly_issued_by(own)
    crossing.verify_directly_issued_by(previous)
    assert new.previous == old.certificate
    assert new.trusted == (new.certificate, old.certificate)


@pytest.mark.parametrize(
    ("signer", "knows"), [("old", "old"), ("new", "new"), ("new", "old"), ("old", "both")]
)
def test_tls_is_trusted_while_the_root_is_replaced(tmp_path, signer, knows):
    old = root()
    new = root("next", previous=old)
    key = ec.generate_private_key(ec.SECP256R1())
    server = {"old": old, "new": new}[signer]
    trusted = {"old": old.certificate, "new": new.certificate, "both": "".join(new.trusted)}
    leaf = authority.sign(server, request(key), seed="s", now=time.time(), validity=DAY)
    (tmp_path / "chain").write_text(leaf + "".join(server.issuers))
    (tmp_path / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    client = ssl.create_default_context(cadata=trusted[knows])
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert shake_hands(context, client)


def shake_hands(server_context, client_context):
    """Let both ends talk in memory until each has verified what it wants to verify."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="web.cloud")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for end in tuple(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
    return not waiting


def test_two_roots_of_one_name_are_told_apart():
    subjects = {
        x509.load_pem_x509_certificate(each.certificate.encode()).subject
        for each in (root(), root("next"))
    }
    assert len(subjects) == 2


@pytest.mark.parametrize(
    "csr",
    [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
    ],
)
def test_what_is_no_request_is_refused(csr):
    with pytest.raises(authority.RequestError, match="cannot read the request"):
        authority.sign(root(), csr, seed="s", now=NOW, validity=DAY)


def test_a_request_that_was_not_signed_by_its_key_is_refused():
    lines = request().splitlines()
    body = list(lines[-2])
    body[0] = "A" if body[0] != "A" else "B"
    lines[-2] = "".join(body)
    with pytest.raises(authority.RequestError):
        authority.sign(root(), "\n".join(lines), seed="s", now=NOW, validity=DAY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("15m", 900), ("2h", 7200), ("90d", 90 * DAY), ("1w", 7 * DAY), ("30", 30 * DAY)],
)
def test_a_validity_is_read(text, expected):
    assert authority.seconds(text) == expected


def test_a_root_comes_back_from_its_secret_as_it_was():
    first = root()
    second = root("other", previous=first)
    for each in (first, second):
        assert authority.load(authority.dump(each)) == each
        bare = {key: text.strip() for key, text in authority.dump(each).items()}
        assert authority.load(bare) == each
    assert all(authority.dump(first).values()), "a secret takes no empty value"
