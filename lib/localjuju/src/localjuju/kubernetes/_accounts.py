"""The units' accounts: a token each, and the authority that the server is known by."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localjuju.model import Model, Unit

ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a charm container finds its token, as in Kubernetes."""

_LIFETIME = datetime.timedelta(days=3650)
_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclasses.dataclass(frozen=True)
class Accounts:
    """Makes and checks the tokens of units.

    A token says whose it is and is signed with a key that never leaves the engine's home, so
    none has to be stored. It ends with the pod that it was made for.

    Attributes:
        host: Address of the server as units reach it.
        port: Its port.
        folder: Folder of the keys and certificates.
    """

    host: str
    port: int
    folder: Path
    key: bytes = dataclasses.field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a client finds the server."""
        return {
            "KUBERNETES_SERVICE_HOST": self.host,
            "KUBERNETES_SERVICE_PORT": str(self.port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(self.port),
            "KUBERNETES_PORT": f"tcp://{self.host}:{self.port}",
        }

    def token(self, model: Model, unit: Unit) -> str:
        """Return the token of a unit's present pod."""
        claims = json.dumps(_claims(model, unit), separators=(",", ":")).encode()
        return f"{_encoded(claims)}.{_encoded(self._signature(claims))}"

    def _signature(self, claims: bytes) -> bytes:
        return hmac.digest(self.key, claims, hashlib.sha256)

    def holder(self, token: str, models: Iterable[Model]) -> tuple[Model, Unit] | None:
        """Return whose token it is; None when it is nobody's, or that pod is gone."""
        first, _, second = token.partition(".")
        try:
            claims, signature = _decoded(first), _decoded(second)
        except ValueError:
            return None
        if not hmac.compare_digest(self._signature(claims), signature):
            return None
        said = json.loads(claims)
        for model in models:
            unit = model.units.get(said["unit"])
            if unit is not None and _claims(model, unit) == said:
                return model, unit
        return None

    def write(self, model: Model, unit: Unit, folder: Path) -> None:
        """Write the files of a unit's account, in place: a mount holds on to the folder."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = {
            "token": self.token(model, unit),
            "namespace": model.name,
            "ca.crt": (self.folder / "ca.crt").read_text(),
        }
        for name, text in files.items():
            _write(folder / name, text.encode())

    def tls(self) -> ssl.SSLContext:
        """Return the server's side of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        return context


def _claims(model: Model, unit: Unit) -> dict[str, object]:
    app = model.applications[unit.app]
    return {
        "model": model.uuid,
        "unit": unit.name,
        "since": app.created,
        "generation": unit.pod_generation,
    }


def open_accounts(folder: Path, host: str, port: int) -> Accounts:
    """Return the accounts that are kept in a folder; keys and certificates are made if missing.

    The authority stays for good, so that pods know the server over a restart of the engine. The
    server's certificate follows the address and is made anew when it is about to end.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = folder / "token.key"
    if not key.exists():
        _write(key, secrets.token_bytes(32))
    if not (folder / "ca.crt").exists():
        _make_authority(folder)
    if not _is_good(folder / "server.crt", host):
        _make_server(folder, host)
    return Accounts(host, port, folder, key.read_bytes())


def _is_good(path: Path, host: str) -> bool:
    if not path.exists():
        return False
    found = x509.load_pem_x509_certificate(path.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return ipaddress.ip_address(host) in addresses and left > datetime.timedelta(days=30)


def _make_authority(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localjuju")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder / "ca.key", _pem(key))
    # Last: whoever finds it finds its key as well.
    _write(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _make_server(folder: Path, host: str) -> None:
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{folder}/ca.key is not a key that this program made")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    subjects: list[x509.GeneralName] = [x509.DNSName(text) for text in _NAMES]
    subjects.append(x509.IPAddress(ipaddress.ip_address(host)))
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    certificate = (
        _builder(name, authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(purpose, critical=False)
        .add_extension(issuer, critical=False)
        .sign(signer, hashes.SHA256())
    )
    _write(folder / "server.key", _pem(key))
    _write(folder / "server.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Write a private file in one step."""
    fresh = path.with_name(f".{path.name}.new")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, content)
    finally:
        os.close(file)
    fresh.replace(path)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
