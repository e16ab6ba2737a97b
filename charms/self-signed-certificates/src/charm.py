#!/usr/bin/env python3
"""A certificate authority of the cloud's own."""

import dataclasses
import logging
import pathlib
import time
from collections.abc import Iterator

import ops

import authority
from charmkit.interfaces import certificate_transfer, tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import Option, OwnSecret, Service
from charmkit.spec import Publication, Rotation, SecretContent, Snapshot, Values

logger = logging.getLogger(__name__)

CA = "root-ca"
CERTIFICATES = tls_certificates.Provider()
TRUST = certificate_transfer.Provider(endpoint="send-ca-cert")

# The longest period between two roots that fits is taken.
PERIODS: tuple[tuple[Rotation, int], ...] = (
    ("yearly", 366), ("quarterly", 93), ("monthly", 31), ("weekly", 7), ("daily", 1),
)  # fmt: skip


def validity(snapshot: Snapshot, option: str) -> int:
    """Give the value of an option for a validity, in seconds."""
    return authority.seconds(str(snapshot.config[option]))


def period(snapshot: Snapshot) -> Rotation:
    """Give how often the root is replaced: early enough for certificates to run their time."""
    spare = validity(snapshot, "root-ca-validity") - validity(snapshot, "certificate-validity")
    return next((name for name, days in PERIODS if days * 86400 <= spare / 2), "hourly")


def stored(root: authority.Root) -> SecretContent:
    """Give the secret's content for a root."""
    content = {
        "private-key": root.private_key,
        "ca-certificate": root.certificate,
        "previous-ca-certificate": root.previous,
        "crossing-certificate": root.crossing,
    }
    return {key: text for key, text in content.items() if text}


def loaded(content: SecretContent) -> authority.Root:
    """Give the root that a secret holds."""
    return authority.Root(
        private_key=content["private-key"],
        certificate=content["ca-certificate"],
        previous=content.get("previous-ca-certificate", ""),
        crossing=content.get("crossing-certificate", ""),
    )


def new_root(snapshot: Snapshot, previous: authority.Root | None = None) -> SecretContent:
    """Make a root by the options."""
    root = authority.make_root(
        str(snapshot.config["ca-common-name"]),
        seed=snapshot.random_text(CA, 43),
        now=time.time(),
        validity=validity(snapshot, "root-ca-validity"),
        previous=previous,
    )
    return stored(root)


def offers(snapshot: Snapshot, values: Values) -> Iterator[Publication]:
    """Tell whom to trust and, on the leader, answer requests."""
    root = loaded(values["secrets"]["root_ca"])
    yield TRUST.respond(snapshot, root.trusted)
    if snapshot.is_leader:  # only the leader can read what was answered before
        yield CERTIFICATES.respond(snapshot, answers(snapshot, root))


def answers(
    snapshot: Snapshot, root: authority.Root
) -> Iterator[tuple[tls_certificates.Request, tls_certificates.Issued]]:
    """Keep the answers that the present root gave, sign what has none."""
    known = CERTIFICATES.issued(snapshot)
    for request in CERTIFICATES.requests(snapshot):
        answer = known.get((request.relation_id, request.csr))
        if answer is None or answer.ca != root.certificate.strip():
            try:
                certificate = authority.sign(
                    root,
                    request.csr,
                    seed=snapshot.random_text(f"{request.relation_id}:{request.unit}", 43),
                    now=time.time(),
                    validity=validity(snapshot, "certificate-validity"),
                    is_ca=request.ca,
                )
            except authority.RequestError as error:
                logger.warning("%s: %s", request.unit or request.app, error)
                continue
            answer = tls_certificates.Issued(
                csr=request.csr,
                certificate=certificate,
                ca=root.certificate,
                chain=(certificate, *root.issuers),
            )
        yield request, answer


SERVICE = Service(
    name="self-signed-certificates",
    provides=(CERTIFICATES, TRUST),
    offers=offers,
    own_secrets=(
        OwnSecret(
            label=CA,
            initial=new_root,
            rotated=lambda snapshot, content: new_root(snapshot, loaded(content)),
            rotate=period,
            action="rotate-private-key",
            description="key and certificate of the root authority",
        ),
    ),
    options=(
        Option(name="ca-common-name", pattern=".{1,64}", hint="write 1 to 64 characters"),
        Option(name="certificate-validity", pattern=authority.VALIDITY, hint="write 90d"),
        Option(name="root-ca-validity", pattern=authority.VALIDITY, hint="write 3650d"),
    ),
)


def service(charm: ops.CharmBase) -> Service:
    """Give the service; without its root while an option is wrong, for none can be made then."""
    if any(option.problem(charm.config) for option in SERVICE.options):
        return dataclasses.replace(SERVICE, own_secrets=())
    return SERVICE


class SelfSignedCertificatesCharm(ops.CharmBase):
    """Run the authority."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self.reconciler = Reconciler(
            self, service(self), pathlib.Path(__file__).parent / "templates"
        )
        framework.observe(self.on.get_ca_certificate_action, self._get_ca_certificate)

    def _get_ca_certificate(self, event: ops.ActionEvent) -> None:
        try:
            content = self.model.get_secret(label=CA).peek_content()
        except ops.SecretNotFoundError:
            event.fail("cannot show the root certificate: it has not been made yet; try again")
            return
        event.set_results({"ca-certificate": content["ca-certificate"]})


if __name__ == "__main__":
    ops.main(SelfSignedCertificatesCharm)
