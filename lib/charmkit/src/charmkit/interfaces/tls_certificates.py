"""`tls-certificates`: signed certificates for a unit or an application.

The wire format is version 1 of the interface: a requirer puts certificate signing requests
(CSRs) as a JSON list into its unit bags or its application bag, the provider answers with a JSON
list in its application bag, an entry for each CSR. Texts are PEM.

A requirer's private key never leaves the unit: it stands in a Juju secret which the unit owns,
together with the CSR that was made with it. So a dispatch with nothing to do parses no key and
needs no cryptography.

Source: interface `tls-certificates` v1 of charm-relation-interfaces.
"""

import base64
import binascii
import dataclasses
import datetime
import ipaddress
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping

from charmkit.interfaces import _base
from charmkit.spec import Bag, OwnedSecret, Publication, Publish, RelationData, Snapshot

_LONGEST_COMMON_NAME = 64  # X.520, ub-common-name


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Bag of a requirer's unit or application: a JSON list of `{certificate_signing_request, ca}`.

    `ca` says whether the certificate shall be one of a certificate authority.
    """

    certificate_signing_requests: str | None = _base.key("certificate_signing_requests")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider: a JSON list whose entries `Issued` reads and writes."""

    certificates: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Issued:
    """An answer to one CSR.

    Attributes:
        csr: The request that is answered.
        certificate: The certificate.
        ca: Certificate of the authority that signed it.
        chain: From the certificate up to the authority. Older providers write the other order.
        revoked: Whether it must not be used any more.
    """

    csr: str
    certificate: str
    ca: str
    chain: tuple[str, ...] = ()
    revoked: bool = False

    @property
    def issuers(self) -> tuple[str, ...]:
        """Give the chain without the certificate itself, nearest issuer first; at least `ca`."""
        leaf = _plain(self.certificate)
        chain = [_plain(pem) for pem in self.chain]
        upwards = chain[::-1] if chain and chain[-1] == leaf else chain
        known = [pem for pem in upwards if pem != leaf]
        ca = _plain(self.ca)
        return tuple(known if ca in known else [*known, ca])


def _plain(pem: str) -> str:
    return pem.strip() + "\n"


def _objects(text: str | None) -> Iterator[Mapping[str, object]]:
    value = _base.from_json(text)
    for item in typing.cast("list[object]", value) if isinstance(value, list) else []:
        if isinstance(item, dict):
            yield typing.cast("Mapping[str, object]", item)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _issued(bag: Bag) -> Iterator[Issued]:
    """Give the complete answers in a provider's bag."""
    for item in _objects(_base.parse(ProviderBag, bag).certificates):
        chain = item.get("chain")
        links = typing.cast("list[object]", chain) if isinstance(chain, list) else []
        answer = Issued(
            csr=_text(item.get("certificate_signing_request")),
            certificate=_text(item.get("certificate")),
            ca=_text(item.get("ca")),
            chain=tuple(filter(None, map(_text, links))),
            revoked=item.get("revoked") is True,
        )
        if answer.csr and answer.certificate and answer.ca:
            yield answer


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """Whom a certificate names.

    Attributes:
        common_name: The name that people see.
        hostnames: Names under which the server is called.
        addresses: Addresses under which the server is called.
    """

    common_name: str
    hostnames: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def unit_subject(snapshot: Snapshot) -> Subject | None:
    """Give every name and address of this unit and its service; None while they are not known."""
    where = snapshot.addresses
    if not (where.unit_ip and where.unit_name):
        return None
    names = (where.unit_name, where.service_name, snapshot.unit.replace("/", "-"))
    outside = snapshot.load_balancer
    is_ip = _is_ip(outside)
    return Subject(
        common_name=next(name for name in names if 0 < len(name) <= _LONGEST_COMMON_NAME),
        hostnames=tuple(
            sorted(
                {
                    *where.hostnames,
                    where.unit_name,
                    where.service_name,
                    "" if is_ip else outside,
                }
                - {""}
            )
        ),
        addresses=tuple(sorted({*where.ips, outside if is_ip else ""} - {""})),
    )


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate as a server needs it. All texts are PEM.

    Attributes:
        certificate: The server's certificate and those of its issuers, in the order in which a
            server sends them.
        private_key: The key, PKCS #8.
        ca: The certificates that a client of this server, or of any other that the same authority
            signs, has to trust.
    """

    certificate: str
    private_key: str = dataclasses.field(repr=False)
    ca: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """A private key and the CSR that was made with it."""

    key: str = dataclasses.field(repr=False)
    csr: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for a certificate of this unit.

    When the unit's names change, or two thirds of a certificate's life are over, a fresh key and
    CSR are made. Until they are answered, the certificate that is there stays in use.

    Attributes:
        endpoint: Our endpoint.
        subject: Whom the certificate shall name; None while that is not known.
        clock: Gives the time, in seconds since 1970; certificates are renewed by it.
    """

    endpoint: str = "certificates"
    subject: Callable[[Snapshot], Subject | None] = unit_subject
    clock: Callable[[], float] = time.time

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a provider sends no secrets."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret with this unit's key. It outlives the relation, as the unit does."""
        return () if snapshot.relation(self.endpoint) is None else (self.endpoint,)

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for the certificate, with the CSR that we have or, if it will not do, a new one."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        subject = self.subject(snapshot)
        if subject is None:
            return Publication()
        known = snapshot.own_secrets.get(self.endpoint, {})
        wanted = _base.to_json(dataclasses.asdict(subject))
        content = dict(known)
        if known.get("subject") != wanted or self._is_worn_out(relation, known.get("csr", "")):
            pair = make_pair(subject, snapshot.random_text(self.endpoint, 43))
            content = {"private-key": pair.key, "csr": pair.csr, "subject": wanted}
            if known:
                content |= {"old-private-key": known["private-key"], "old-csr": known["csr"]}
        csrs = [{"certificate_signing_request": content["csr"].strip(), "ca": False}]
        bag = _base.dump(RequirerBag(certificate_signing_requests=_base.to_json(csrs)))
        return Publication(
            bags=(Publish(relation_id=relation.id, unit=bag),),
            secrets=(
                OwnedSecret(
                    label=self.endpoint,
                    content=content,
                    owner="unit",
                    description="private key of this unit",
                ),
            ),
        )

    def read(self, snapshot: Snapshot) -> Certificate | None:
        """Give the certificate for our newest CSR, or else for the one before."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        known = snapshot.own_secrets.get(self.endpoint, {})
        answers = {answer.csr: answer for answer in _issued(relation.remote_app)}
        for prefix in ("", "old-"):
            answer = answers.get(known.get(f"{prefix}csr", "").strip())
            if answer is not None and not answer.revoked:
                return Certificate(
                    certificate=_plain(answer.certificate) + "".join(answer.issuers),
                    private_key=known[f"{prefix}private-key"],
                    ca="".join(answer.issuers),
                )
        return None

    def _is_worn_out(self, relation: RelationData, csr: str) -> bool:
        """Tell whether the certificate for this CSR has to be replaced by one for another CSR."""
        for answer in _issued(relation.remote_app):
            if answer.csr == csr.strip():
                return answer.revoked or self.clock() >= renewal(answer.certificate)
        return False


def make_pair(subject: Subject, seed: str) -> Pair:
    """Make a P-256 key and a CSR; both depend on the arguments only, so planning stays pure.

    Args:
        subject: Whom the CSR names.
        seed: 256 random bits as text.
    """
    # Imported here because loading it costs more than the rest of a dispatch.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    digest = hashes.Hash(hashes.SHA512())
    digest.update(seed.encode())
    # 512 bits reduced to 256: no value is likelier than another by anything measurable.
    number = int.from_bytes(digest.finalize(), "big") % (_P256_ORDER - 1) + 1
    key = ec.derive_private_key(number, ec.SECP256R1())
    names = [x509.DNSName(name) for name in subject.hostnames]
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in subject.addresses]
    common_name = x509.NameAttribute(x509.NameOID.COMMON_NAME, subject.common_name)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([common_name]))
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    pem = serialization.Encoding.PEM
    return Pair(
        key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        request.public_bytes(pem).decode(),
    )


# Number of points of the curve P-256. Source: FIPS 186-5, SP 800-186, section 3.2.1.3.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def renewal(pem: str) -> float:
    """Give the time at which two thirds of a certificate's life are over.

    Returns:
        Seconds since 1970; infinity for what cannot be read, because asking again for what the
        provider cannot make would never end.
    """
    try:
        begin, end = _validity(pem)
    except (ValueError, IndexError):
        return float("inf")
    return begin + (end - begin) * 2 / 3


def _validity(pem: str) -> tuple[float, float]:
    """Read from when to when a certificate is valid, without loading a cryptography library.

    Source: RFC 5280, section 4.1: Certificate = SEQUENCE { tbsCertificate SEQUENCE { [0] version,
    serialNumber, signature, issuer, validity SEQUENCE { notBefore, notAfter }, … } … }.

    Raises:
        ValueError: The text is not a certificate.
        IndexError: The certificate ends too early.
    """
    body = "".join(line for line in pem.strip().splitlines() if not line.startswith("-----"))
    try:
        der = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ValueError(f"cannot decode the certificate: {error}") from error
    fields = _elements(_elements(_elements(der)[0][1])[0][1])
    after_version = fields[1:] if fields[0][0] == 0xA0 else fields
    begin, end = _elements(after_version[3][1])[:2]
    return _moment(*begin), _moment(*end)


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Split DER into its elements: tag and content."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        found.append((tag, der[at : at + length]))
        at += length
    return found


def _moment(tag: int, text: bytes) -> float:
    """Read a UTCTime (two digits for the year, 50 to 49) or a GeneralizedTime, both in UTC."""
    digits = text.decode("ascii").rstrip("Z")
    if tag == 0x17:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    moment = datetime.datetime.strptime(digits, "%Y%m%d%H%M%S")
    return moment.replace(tzinfo=datetime.UTC).timestamp()


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One CSR of a client.

    Attributes:
        relation_id: The client's relation.
        app: The client's application.
        unit: The client's unit, or "" if the application asks.
        csr: The CSR.
        ca: Whether a certificate authority is wanted.
    """

    relation_id: int
    app: str
    unit: str
    csr: str
    ca: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Sign CSRs.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "certificates"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: clients send no secrets."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: certificates are public."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[Request, ...]:
        """Give the CSRs of all clients, sorted by relation, application before units."""
        return tuple(
            Request(
                relation_id=relation.id,
                app=relation.app,
                unit=unit,
                csr=csr,
                ca=item.get("ca") is True,
            )
            for relation in snapshot.related(self.endpoint)
            for unit, bag in [("", relation.remote_app), *sorted(relation.remote_units.items())]
            for item in _objects(_base.parse(RequirerBag, bag).certificate_signing_requests)
            if (csr := _text(item.get("certificate_signing_request")))
        )

    def issued(self, snapshot: Snapshot) -> Mapping[tuple[int, str], Issued]:
        """Give what was answered before, by relation and CSR. Empty on a follower."""
        return {
            (relation.id, answer.csr): answer
            for relation in snapshot.related(self.endpoint)
            for answer in _issued(relation.local_app)
        }

    def respond(
        self, snapshot: Snapshot, answers: Iterable[tuple[Request, Issued]]
    ) -> Publication:
        """Publish answers; what is not answered any more is taken back.

        Args:
            snapshot: What was seen.
            answers: Requests with their answers, in the order of `requests`.
        """
        given = tuple(answers)
        return Publication(
            bags=tuple(
                Publish(
                    relation_id=relation.id,
                    app=_base.dump(
                        ProviderBag(
                            certificates=_base.to_json(
                                [
                                    _wire(answer)
                                    for request, answer in given
                                    if request.relation_id == relation.id
                                ]
                            )
                        )
                    ),
                )
                for relation in snapshot.related(self.endpoint)
            )
        )


def _wire(answer: Issued) -> Mapping[str, object]:
    item = {
        "ca": answer.ca.strip(),
        "certificate": answer.certificate.strip(),
        "certificate_signing_request": answer.csr,
        "chain": [pem.strip() for pem in answer.chain],
    }
    return item | {"revoked": True} if answer.revoked else item


# --- test data ---------------------------------------------------------------------------------

_TEST_SEED = "a seed for tests only"


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what an authority publishes once it has seen our bags: real certificates."""
    csrs = [
        _text(item.get("certificate_signing_request"))
        for bag in (local_app, local_unit)
        for item in _objects(_base.parse(RequirerBag, bag).certificate_signing_requests)
    ]
    if not csrs:
        return _base.RemoteSide()
    answers = [_wire(_sign_for_tests(csr)) for csr in csrs]
    return _base.RemoteSide(app_bag={"certificates": _base.to_json(answers)})


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client's unit publishes, whatever our bags hold: a real CSR."""
    pair = make_pair(Subject(common_name="web-0", hostnames=("web",)), _TEST_SEED)
    csrs = [{"certificate_signing_request": pair.csr.strip(), "ca": False}]
    return _base.RemoteSide(unit_bag={"certificate_signing_requests": _base.to_json(csrs)})


def _sign_for_tests(csr: str) -> Issued:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    authority = make_pair(Subject(common_name="test authority"), _TEST_SEED)
    key = serialization.load_pem_private_key(authority.key.encode(), None)
    name = x509.load_pem_x509_csr(authority.csr.encode()).subject
    request = x509.load_pem_x509_csr(csr.encode())

    def sign(subject: x509.Name, public_key: typing.Any, is_ca: bool) -> str:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public_key)
            .serial_number(1 + (not is_ca))
            .not_valid_before(datetime.datetime(2026, 1, 1))
            .not_valid_after(datetime.datetime(2126, 1, 1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        signed = builder.sign(typing.cast("typing.Any", key), hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    ca = sign(name, key.public_key(), True)
    leaf = sign(request.subject, request.public_key(), False)
    return Issued(csr=csr, certificate=leaf, ca=ca, chain=(leaf, ca))
