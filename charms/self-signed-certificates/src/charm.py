#!/usr/bin/env python3
"""A certificate authority of the cloud's own."""

import logging
import pathlib
import time
from collections.abc import Iterator

import ops

import root
from charmkit import authority
from charmkit.interfaces import certificate_transfer, tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import Service
from charmkit.spec import Publication, Snapshot, Values

logger = logging.getLogger(__name__)

CERTIFICATES = tls_certificates.Provider()
TRUST = certificate_transfer.Provider(endpoint="send-ca-cert")


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell whom to trust and, on the leader, answer requests."""
    present = authority.load(seen["secrets"]["root_ca"])
    yield TRUST.respond(snapshot, present.trusted)
    if snapshot.is_leader:  # only the leader can read what was answered before
        yield CERTIFICATES.respond(snapshot, answers(snapshot, present))


def answers(
    snapshot: Snapshot, present: authority.Root
) -> Iterator[tuple[tls_certificates.Request, tls_certificates.Issued]]:
    """Keep the answers that the present root gave, sign what has none."""
    known = CERTIFICATES.issued(snapshot)
    for request in CERTIFICATES.requests(snapshot):
        answer = known.get((request.relation_id, request.csr))
        if answer is None or answer.ca != present.certificate.strip():
            try:
                certificate = authority.sign(
                    present,
                    request.csr,
                    seed=snapshot.random_text(f"{request.relation_id}:{request.unit}", 43),
                    now=time.time(),
                    validity=root.validity(snapshot, "certificate-validity"),
                    is_ca=request.ca,
                )
            except authority.RequestError as error:
                # One client's mistake: it waits for an answer, everybody else gets theirs.
                logger.warning("%s: %s", request.unit or request.app, error)
                continue
            answer = tls_certificates.Issued(
                csr=request.csr,
                certificate=certificate,
                ca=present.certificate,
                chain=(certificate, *present.issuers),
            )
        yield request, answer


SERVICE = Service(
    name="self-signed-certificates",
    provides=(CERTIFICATES, TRUST),
    offers=offers,
    own_secrets=(root.SECRET,),
    options=root.OPTIONS,
)


class SelfSignedCertificatesCharm(ops.CharmBase):
    """Run the authority."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"  # none: there is no workload
        self.reconciler = Reconciler(self, SERVICE, templates)
        framework.observe(self.on.get_ca_certificate_action, self._get_ca_certificate)

    def _get_ca_certificate(self, event: ops.ActionEvent) -> None:
        try:
            content = self.model.get_secret(label=root.LABEL).peek_content()
        except ops.SecretNotFoundError:
            event.fail("cannot show the root certificate: it has not been made yet; try again")
            return
        event.set_results({authority.CERTIFICATE: content[authority.CERTIFICATE]})


if __name__ == "__main__":
    ops.main(SelfSignedCertificatesCharm)
