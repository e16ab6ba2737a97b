"""A root certificate authority: makes roots, keeps them in secrets, signs requests. Pure.

Every function depends on its arguments only: keys come from a seed, signatures are deterministic,
the time is an argument. `cryptography` is imported where it is used, because loading it costs as
much as a whole dispatch and most dispatches sign nothing.
"""

import dataclasses
import datetime
import hashlib
import re
import typing

from charmkit.spec import SecretContent

if typing.TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

VALIDITY = "[1-9][0-9]*[mhdw]?"
"""What an option for a validity looks like."""

CERTIFICATE = "ca-certificate"
"""Key of a root's secret under which its certificate stands."""

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "": 86400}

# Number of points of the curve P-384. Source: SP 800-186, section 3.2.1.4.
_P384_ORDER = int(
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
    "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
    16,
)

# Clocks differ between machines; a certificate is valid from a little before it was made.
_CLOCK_SKEW = 300


class RequestError(Exception):
    """A request that cannot be signed; the text says why."""


def seconds(text: str) -> int:
    """Read a validity such as `90d`, in seconds; it matches `VALIDITY`."""
    number, unit = typing.cast(
        "tuple[str, str]",
        typing.cast("re.Match[str]", re.fullmatch("([0-9]+)(.?)", text)).groups(),
    )
    return int(number) * _UNITS[unit]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Root:
    """A root certificate with its key, and what it takes to follow from the one before.

    Attributes:
        private_key: The key, PKCS #8 PEM.
        certificate: The self-signed root certificate, PEM.
        previous: The root before this one, PEM, "" for the first.
        crossing: This root's name and key, signed by the previous root, PEM. A server that sends
            it is trusted by those who know the previous root only.
    """

    private_key: str = dataclasses.field(repr=False)
    certificate: str
    previous: str = ""
    crossing: str = ""

    @property
    def issuers(self) -> tuple[str, ...]:
        """Give what a client gets beside its certificate, nearest issuer first."""
        return tuple(filter(None, (self.crossing, self.certificate, self.previous)))

    @property
    def trusted(self) -> tuple[str, ...]:
        """Give the roots to trust, the present one first."""
        return tuple(filter(None, (self.certificate, self.previous)))


def dump(root: Root) -> SecretContent:
    """Give the content of a secret that holds a root."""
    content = {
        "private-key": root.private_key,
        CERTIFICATE: root.certificate,
        "previous-ca-certificate": root.previous,
        "crossing-certificate": root.crossing,
    }
    return {key: text for key, text in content.items() if text}


def load(content: SecretContent) -> Root:
    """Give the root that a secret holds.

    Each text ends with one newline, however it went through whoever keeps the secret: certificates
    are put together into one file.
    """
    texts = {key: f"{text.strip()}\n" for key, text in content.items()}
    return Root(
        private_key=texts["private-key"],
        certificate=texts[CERTIFICATE],
        previous=texts.get("previous-ca-certificate", ""),
        crossing=texts.get("crossing-certificate", ""),
    )


def make_root(
    common_name: str, *, seed: str, now: float, validity: float, previous: Root | None = None
) -> Root:
    """Make a root.

    Args:
        common_name: Its name for people.
        seed: At least 256 random bits as text.
        now: The time, seconds since 1970.
        validity: Seconds from now that it is valid.
        previous: The root that it replaces; it signs the new one too.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    digest = hashlib.sha512(f"root:{seed}".encode()).digest()
    number = int.from_bytes(digest, "big") % (_P384_ORDER - 1) + 1
    key = ec.derive_private_key(number, ec.SECP384R1())
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
            # Two roots must not have one name: clients choose the issuer by it.
            x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, _serial(seed).to_bytes(20).hex()),
        ]
    )
    end = now + validity
    text = _root_certificate(subject, subject, key, key, seed=seed, now=now, end=end)
    crossing = ""
    if previous is not None:
        old_key, old = _load(previous)
        limit = min(end, old.not_valid_after_utc.timestamp())
        crossing = _root_certificate(
            subject, old.subject, key, old_key, seed=f"{seed}:crossing", now=now, end=limit
        )
    return Root(
        private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        certificate=text,
        previous=previous.certificate if previous else "",
        crossing=crossing,
    )


def sign(
    root: Root, csr: str, *, seed: str, now: float, validity: float, is_ca: bool = False
) -> str:
    """Sign a request: its subject, key and alternative names are taken over, nothing else.

    Args:
        root: Who signs.
        csr: The request, PEM.
        seed: Random text for the serial number.
        now: The time, seconds since 1970.
        validity: Seconds from now that the certificate is valid, at most as long as the root.
        is_ca: Whether the certificate shall be one of an authority (that signs no further ones).

    Returns:
        The certificate, PEM.

    Raises:
        RequestError: The request is no CSR, or was not signed by its own key.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import oid

    try:
        request = x509.load_pem_x509_csr(csr.encode())
        valid = request.is_signature_valid
        public_key = request.public_key()
        names = request.extensions
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestError(f"cannot read the request: {error}") from error
    if not valid:
        raise RequestError("cannot sign the request: its signature is not of its own key")
    key, issuer = _load(root)
    end = min(now + validity, issuer.not_valid_after_utc.timestamp())
    builder = _builder(
        request.subject, issuer.subject, public_key, seed=seed + csr, now=now, end=end
    )
    builder = builder.add_extension(
        x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True
    ).add_extension(_key_usage(is_ca=is_ca), critical=True)
    if not is_ca:
        usages = [oid.ExtendedKeyUsageOID.SERVER_AUTH, oid.ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    for name in names:
        if isinstance(name.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(name.value, critical=name.critical)
    return _signed(builder, key, issuer.public_key())


def _load(root: Root) -> "tuple[ec.EllipticCurvePrivateKey, x509.Certificate]":
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(root.private_key.encode(), None)
    return (
        typing.cast("ec.EllipticCurvePrivateKey", key),
        x509.load_pem_x509_certificate(root.certificate.encode()),
    )


def _root_certificate(
    subject: "x509.Name",
    issuer: "x509.Name",
    key: "ec.EllipticCurvePrivateKey",
    signing_key: "ec.EllipticCurvePrivateKey",
    *,
    seed: str,
    now: float,
    end: float,
) -> str:
    from cryptography import x509

    builder = _builder(subject, issuer, key.public_key(), seed=seed, now=now, end=end)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    ).add_extension(_key_usage(is_ca=True), critical=True)
    return _signed(builder, signing_key, signing_key.public_key())


def _builder(
    subject: "x509.Name",
    issuer: "x509.Name",
    public_key: typing.Any,
    *,
    seed: str,
    now: float,
    end: float,
) -> "x509.CertificateBuilder":
    from cryptography import x509

    begin = now - _CLOCK_SKEW
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(_serial(seed))
        .not_valid_before(datetime.datetime.fromtimestamp(begin, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(end, datetime.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed(
    builder: "x509.CertificateBuilder",
    key: "ec.EllipticCurvePrivateKey",
    issuer_key: typing.Any,
) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    certificate = builder.add_extension(identifier, critical=False).sign(
        key, hashes.SHA384(), ecdsa_deterministic=True
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_usage(*, is_ca: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        # TLS 1.2 with an RSA key may encipher the session key.
        key_encipherment=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _serial(seed: str) -> int:
    """Give a serial number of 159 bits, not zero. Source: RFC 5280, section 4.1.2.2."""
    number = int.from_bytes(hashlib.sha256(f"serial:{seed}".encode()).digest()[:20], "big")
    return (number >> 1) | 1
