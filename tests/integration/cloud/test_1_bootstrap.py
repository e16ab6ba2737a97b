"""The client from PyPI, with the file that helio wrote, talks to the cloud over verified TLS."""

import json
import re
import socket
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

import jubilant
import requests
from cloudtest import run, wait_for

from helio import bundlefile
from helio.tree import find_tree


def test_every_application_is_active_after_bootstrap(cloud):
    manifest = bundlefile.read_manifest(find_tree())
    for part, juju in (("pods", cloud.juju), ("machines", cloud.machines)):
        status = juju.status()
        assert set(status.apps) == set(manifest.part(part))
        assert jubilant.all_active(status)


def test_a_token_is_issued(cloud):
    assert cloud.openstack("token", "issue")["id"]


def test_the_catalogue_names_every_service_with_tls_endpoints(cloud):
    catalogue = {entry["Type"]: entry["Endpoints"] for entry in cloud.openstack("catalog", "list")}
    types = {kind for kind in catalogue if not kind.startswith(("volume", "block"))}
    assert types == {"identity", "placement", "image", "compute", "network"}
    assert len(catalogue) > len(types), "and volumes, by whichever name"
    for endpoints in catalogue.values():
        urls = {entry["interface"]: entry["url"] for entry in endpoints}
        assert {"public", "internal"} <= set(urls)
        assert all(url.startswith("https://") for url in urls.values())


def test_the_world_comes_by_the_entry_point_and_links_lead_back_to_it(cloud):
    public = {
        entry["Type"]: each["url"]
        for entry in cloud.openstack("catalog", "list")
        for each in entry["Endpoints"]
        if each["interface"] == "public"
    }
    host = cloud.juju.status().apps["ingress"].address
    prefixes = {url.split("/")[3] for url in public.values()}
    assert {url.split("/")[2] for url in public.values()} == {host}
    applications = ("cinder", "glance", "keystone", "neutron", "nova", "placement")
    assert prefixes == {f"openstack-{each}" for each in applications}
    for prefix in prefixes:
        root = f"https://{host}/{prefix}/"
        answer = requests.get(root, verify=cloud.clouds["cacert"], timeout=60)
        assert answer.status_code in (200, 300)
        links = re.findall(r'https?://[^"]+', answer.text)
        ours = [each for each in links if "docs.openstack.org" not in each]
        # Placement's links are relative.
        assert ours or "placement" in prefix
        assert [each for each in ours if not each.startswith(root)] == []


def test_placement_knows_every_hypervisor(cloud):
    units = cloud.machines.status().apps["openstack-hypervisor"].units

    def providers() -> list[str]:
        return [each["name"] for each in cloud.openstack("resource", "provider", "list")]

    # An agent tells what its machine has a moment after it has begun.
    wait_for(lambda: len(providers()) == len(units), 120, "each hypervisor has told what it has")
    hypervisors = cloud.openstack("hypervisor", "list")
    assert set(providers()) == {each["Hypervisor Hostname"] for each in hypervisors}


def test_every_part_of_the_compute_and_network_services_is_alive(cloud):
    assert {each["State"] for each in cloud.openstack("compute", "service", "list")} == {"up"}
    assert {each["State"] for each in cloud.openstack("volume", "service", "list")} == {"up"}
    agents = cloud.openstack("network", "agent", "list")
    assert agents
    assert all(agent["Alive"] for agent in agents)


def test_the_ca_is_really_verified(cloud):
    address = urlsplit(cloud.clouds["auth"]["auth_url"])
    strangers = ssl.create_default_context()
    with socket.create_connection((address.hostname, address.port or 443), timeout=10) as plain:
        try:
            strangers.wrap_socket(plain, server_hostname=address.hostname)
        except ssl.SSLCertVerificationError:
            return
    raise AssertionError("a client without the cloud's CA trusted Keystone")


def test_bootstrap_again_changes_nothing(cloud):
    before = {
        (unit, name): cloud.started(unit, name)
        for unit, name in (("keystone/0", "keystone"), ("mariadb/0", "mariadb"))
    }
    cloud.helio("bootstrap", "--yes")
    after = {(unit, name): cloud.started(unit, name) for unit, name in before}
    assert after == before


def test_status_prints_json(cloud):
    status = json.loads(cloud.helio("status", "--format", "json"))
    assert status["settled"] is True
    manifest = bundlefile.read_manifest(find_tree())
    deployed = [*manifest.part("pods"), *manifest.part("machines")]
    states = {name: app["status"] for name, app in status["applications"].items()}
    assert states == dict.fromkeys(deployed, "active")


def test_the_shell_file_works_with_the_client(cloud):
    client = Path(sys.executable).parent / "openstack"
    shell = f". {cloud.home / 'openrc'} && {client} token issue -f value -c user_id"
    assert len(run(["bash", "-c", shell]).strip()) == 32


def test_juju_works_on_the_cloud_at_once(cloud):
    assert "keystone/0" in cloud.helio("juju", "status")
    assert "region" in cloud.helio("juju", "config", "keystone")
