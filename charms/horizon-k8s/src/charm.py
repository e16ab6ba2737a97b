#!/usr/bin/env python3
"""Horizon: the cloud's dashboard."""

import pathlib

import ops

import horizon
from charmkit import api
from charmkit.interfaces import certificate_transfer, keystone_credentials, memcache
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, LoadBalancer, Option, OwnSecret, Process, Service

HORIZON = Service(
    name="horizon",
    processes=(
        Process(
            name="horizon",
            summary="dashboard",
            # It binds to its port as root, and then goes on as another user.
            command=f"{api.BIN}/uwsgi --ini /etc/horizon/uwsgi.ini",
            files=(
                File(path=horizon.SETTINGS, template="local_settings.py.j2", group="horizon"),
                File(path="/etc/horizon/sealing.py", template="sealing.py", group="horizon"),
                File(path="/etc/horizon/wsgi.py", template="wsgi.py", group="horizon"),
                File(
                    path="/etc/horizon/uwsgi.ini",
                    template="uwsgi.ini.j2",
                    values={"workers": api.workers},
                ),
                File(
                    path=horizon.CERTIFICATE,
                    text="{{ certificates.certificate }}",
                    group="horizon",
                ),
                File(path=horizon.KEY, text="{{ certificates.private_key }}", group="horizon"),
                File(path=horizon.TRUSTED, text=api.TRUST, group="horizon"),
                File(path=api.PROBE, template="online.sh", mode=0o755, restarts=False),
            ),
            check=Check(
                command=f"sh {api.PROBE} {{{{ addresses.unit_ip }}}} {horizon.PORT}"
                f" {{{{ addresses.service_name }}}} /auth/login/ {horizon.TRUSTED}"
            ),
        ),
    ),
    needs=(
        horizon.CERTIFICATES,
        keystone_credentials.Requirer(),
        certificate_transfer.Requirer(),
        memcache.Requirer(),
    ),
    own_secrets=(
        OwnSecret(
            label="secret-key",
            initial=lambda snapshot: {"key": snapshot.random_text("secret-key")},
            rotated=lambda snapshot, old: {"key": snapshot.random_text("secret-key")},
            action="rotate-secret-key",
            description="what sessions are signed with",
        ),
    ),
    values=horizon.values,
    options=(
        *api.OPTIONS,
        Option(
            name="external-hostname",
            pattern=r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.|$))*",
            hint="write a host name in lower case, without https://",
        ),
        Option(name="session-timeout", minimum=60, maximum=7 * 86400),
    ),
    ports=(horizon.PORT,),
    load_balancer=LoadBalancer(ports={"https": horizon.PORT}, wanted=lambda snapshot: True),
)


class HorizonCharm(ops.CharmBase):
    """Run Horizon."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, HORIZON, templates)
        framework.observe(self.on.get_dashboard_url_action, self._get_dashboard_url)

    def _get_dashboard_url(self, event: ops.ActionEvent) -> None:
        event.set_results({"url": horizon.url(self.reconciler.observe(refresh=False))})


if __name__ == "__main__":
    ops.main(HorizonCharm)
