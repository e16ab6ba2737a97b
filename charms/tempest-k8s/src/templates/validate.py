"""Test a cloud with Tempest and say what came of it.

Reads one JSON object from standard input: `account` (`auth_url`, `region`, `username`, `password`,
`domain`, `project`), `ca_file`, `dashboard_url` ("": there is none), `results` (a folder),
`profile`, `select` and `regex` (which tests), `image`, `image_user`, `external_network`,
`flavor_memory`, `concurrency`, `timeout`.
Prints JSON: counts `passed`, `failed`, `skipped`; `seconds`; `folder`; `failures`, names; `skips`,
reason → names. Runs in the workload container, in Tempest's environment.
"""

import configparser
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

KEPT = 10
"""Runs whose results are kept."""

SERVICES = {
    "nova": ("compute",),
    "glance": ("image",),
    "neutron": ("network",),
    "cinder": ("block-storage", "volumev3"),
    "swift": ("object-store",),
}
"""Service by Tempest's name → its types in the catalogue."""


class Cloud:
    """The cloud's APIs, as the account of the tests."""

    def __init__(self, account, ca_file):
        self._tls = ssl.create_default_context(cafile=ca_file)
        direct = urllib.request.ProxyHandler({})
        self._opener = urllib.request.build_opener(
            direct, urllib.request.HTTPSHandler(context=self._tls)
        )
        self._token = None
        self._log_in(account)

    def _log_in(self, account):
        domain = {"name": account["domain"]}
        user = {"name": account["username"], "password": account["password"], "domain": domain}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": account["project"], "domain": domain}},
            }
        }
        answer, headers = self._open(f"{account['auth_url']}/auth/tokens", body)
        self._token = headers["X-Subject-Token"]
        self.domain_id = answer["token"]["user"]["domain"]["id"]
        self._catalogue = {
            service["type"]: endpoint["url"].rstrip("/")
            for service in answer["token"]["catalog"]
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public" and endpoint["region_id"] == account["region"]
        }

    def has(self, types):
        """Tell whether the catalogue has one of these types."""
        return any(each in self._catalogue for each in types)

    def get(self, kind, path):
        """Get a resource of the service of a type."""
        return self._open(self._catalogue[kind] + path)[0]

    def create(self, kind, path, body):
        """Make a resource."""
        return self._open(self._catalogue[kind] + path, body)[0]

    def _open(self, url, body=None):
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["X-Auth-Token"] = self._token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers)  # noqa: S310 - from the catalogue
        with self._opener.open(request, timeout=60) as answer:
            text = answer.read()
            return (json.loads(text) if text else {}), answer.headers


# --- what is in the cloud ----------------------------------------------------------------------


def find_image(cloud, name):
    """Give the id of the image with this name, or of the first public one."""
    listed = cloud.get("image", "/v2/images?status=active&limit=1000")["images"]
    found = sorted(
        (each["name"] or "", each["id"])
        for each in listed
        if (each["name"] == name if name else each["visibility"] == "public")
    )
    if not found:
        what = f"image {name}" if name else "public image"
        raise SystemExit(f"no {what}: run helio configure, or name one by the option image")
    return found[0][1]


def find_network(cloud, name):
    """Give id and name of the external network with this name, or of the first one."""
    listed = cloud.get("network", "/v2.0/networks?router:external=true")["networks"]
    found = sorted((each["name"], each["id"]) for each in listed if name in ("", each["name"]))
    if not found:
        what = f"external network {name}" if name else "external network"
        raise SystemExit(f"no {what}: run helio configure, or name one by external-network")
    return found[0][1], found[0][0]


def ensure_flavor(cloud, name, memory):
    """Give the id of the flavor with this name; make it where it is missing."""
    for each in cloud.get("compute", "/flavors?is_public=None")["flavors"]:
        if each["name"] == name:
            return each["id"]
    flavor = {"name": name, "ram": memory, "vcpus": 1, "disk": 1}
    return cloud.create("compute", "/flavors", {"flavor": flavor})["flavor"]["id"]


def count_hypervisors(cloud):
    """Give the number of hosts that can run servers now."""
    services = cloud.get("compute", "/os-services?binary=nova-compute")["services"]
    return sum(each["state"] == "up" and each["status"] == "enabled" for each in services)


def extensions(cloud):
    """List the aliases of the network API's extensions."""
    return sorted(each["alias"] for each in cloud.get("network", "/v2.0/extensions")["extensions"])


def configuration(order, cloud):
    """Give Tempest's configuration, section → option → value."""
    account, timeout = order["account"], order["timeout"]
    image = find_image(cloud, order["image"])
    network, network_name = find_network(cloud, order["external_network"])
    memory = order["flavor_memory"]
    small = ensure_flavor(cloud, f"tempest-{memory}", memory)
    large = ensure_flavor(cloud, f"tempest-{memory + 64}", memory + 64)
    hypervisors = count_hypervisors(cloud)
    dashboard = order["dashboard_url"]
    return {
        "auth": {
            "admin_username": account["username"],
            "admin_password": account["password"],
            "admin_project_name": account["project"],
            "admin_domain_name": account["domain"],
            "default_credentials_domain_name": account["domain"],
            "use_dynamic_credentials": True,
            "tempest_roles": "member",
        },
        "identity": {
            "auth_version": "v3",
            "uri_v3": account["auth_url"],
            "v3_endpoint_type": "public",
            "region": account["region"],
            # Users of the tests are in the account's domain, and may see no other one.
            "default_domain_id": cloud.domain_id,
            "ca_certificates_file": order["ca_file"],
        },
        "identity-feature-enabled": {"project_tags": True, "application_credentials": True},
        "compute": {
            "image_ref": image,
            "image_ref_alt": image,
            "flavor_ref": small,
            "flavor_ref_alt": large,
            "build_timeout": timeout,
            "ready_wait": 5,
            "max_microversion": "latest",
            "min_compute_nodes": max(hypervisors, 1),
        },
        "compute-feature-enabled": {
            "console_output": True,
            "vnc_console": False,
            "live_migration": hypervisors > 1,
            # Nova would copy the disk by ssh, for which hypervisors have no keys.
            "cold_migration": False,
            "resize": False,
            "config_drive": True,
        },
        "network": {
            "public_network_id": network,
            "floating_network_name": network_name,
            "project_network_cidr": "10.100.0.0/16",
        },
        "network-feature-enabled": {
            "ipv6": True,
            "api_extensions": ",".join(extensions(cloud)),
        },
        "validation": {
            "run_validation": True,
            "connect_method": "floating",
            "auth_method": "keypair",
            "image_ssh_user": order["image_user"],
            "image_alt_ssh_user": order["image_user"],
            "ssh_key_type": "ecdsa",
            "ping_timeout": timeout,
            "ssh_timeout": timeout,
        },
        "volume": {"volume_size": 1, "build_timeout": timeout, "max_microversion": "latest"},
        "volume-feature-enabled": {"backup": False},
        # It stands in no catalogue.
        "dashboard": {"dashboard_url": dashboard} if dashboard else {},
        "service_available": {
            **{name: cloud.has(types) for name, types in SERVICES.items()},
            "horizon": bool(dashboard),
        },
    }


def write_configuration(path, sections):
    """Write the configuration; only its owner can read it."""
    parser = configparser.ConfigParser(interpolation=None)
    for section, options in sections.items():
        parser[section] = {name: str(value) for name, value in options.items()}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        parser.write(file)


# --- the run -----------------------------------------------------------------------------------


def expression(order):
    """Give the regular expression of the tests that are of the profile and asked for.

    An include list would not do: Tempest runs what either of the two finds.
    """
    return f"^(?=.*(?:{order['select']}))(?=.*(?:{order['regex']}))"


def environment(order, work):
    """Give the variables of the tests."""
    return {
        **os.environ,
        "HOME": str(work),
        "OS_TEST_TIMEOUT": "1800",
        # The dashboard's test asks with Python's own means, which no option of Tempest tells whom
        # to trust.
        "SSL_CERT_FILE": order["ca_file"],
    }


def run(order, folder, work):
    """Run the tests in a working folder; leave their stream of results in `folder`."""
    package = pathlib.Path(__import__("tempest").__file__).parent
    (work / ".stestr.conf").write_text(
        f"[DEFAULT]\ntest_path={package}/test_discover\ntop_dir={package}\n"
        "group_regex=([^\\.]*\\.)*\n"
    )
    arguments = ["--config-file", str(work / "tempest.conf"), "--subunit"]
    arguments += ["--concurrency", str(order["concurrency"]), "--regex", expression(order)]
    with (
        (folder / "results.subunit").open("wb") as results,
        (folder / "run.log").open("wb") as log,
    ):
        # Its status says that a test failed; so do the results.
        subprocess.run(
            [str(pathlib.Path(sys.executable).parent / "tempest"), "run", *arguments],
            cwd=work,
            env=environment(order, work),
            stdout=results,
            stderr=log,
            check=False,
        )


def summarise(stream):
    """Count what a stream of results says.

    Returns:
        `passed`, names of tests; `failed`, name → what it said; and `skips`, reason → names.
    """
    import subunit
    import testtools

    passed, failed, skips = [], {}, {}

    def note(test):
        name, status = test["id"], test["status"]
        if status == "skip":
            reason = test["details"].get("reason")
            text = reason.as_text().strip() if reason else "no reason given"
            skips.setdefault(text, []).append(name)
        elif status in ("success", "xfail"):
            # Set-up of a class is reported only when it fails; it is no test.
            passed.append(name)
        elif status != "exists":
            texts = (each for key, each in test["details"].items() if "traceback" in key)
            failed[name] = "\n".join(each.as_text() for each in texts)

    result = testtools.StreamToDict(note)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name="output").run(result)
    result.stopTestRun()
    return (
        sorted(passed),
        dict(sorted(failed.items())),
        {reason: sorted(skips[reason]) for reason in skips},
    )


def prune(results):
    """Remove the results of all but the latest runs."""
    runs = sorted(each for each in results.iterdir() if each.name[0].isdigit())
    for each in runs[:-KEPT]:
        shutil.rmtree(each)


def main():
    """Do what standard input says."""
    order = json.load(sys.stdin)
    results = pathlib.Path(order["results"])
    began = time.time()
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(began))}-{order['profile']}"
    try:
        sections = configuration(order, Cloud(order["account"], order["ca_file"]))
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{error.url}: {error}") from error
    except OSError as error:
        raise SystemExit(f"cannot reach the cloud: {error}") from error
    folder = results / name
    folder.mkdir()
    with tempfile.TemporaryDirectory() as work:
        write_configuration(pathlib.Path(work, "tempest.conf"), sections)
        run(order, folder, pathlib.Path(work))
    with (folder / "results.subunit").open("rb") as stream:
        passed, failed, skips = summarise(stream)
    summary = {
        "passed": len(passed),
        "failed": len(failed),
        "skipped": sum(map(len, skips.values())),
        "seconds": round(time.time() - began),
        "folder": str(folder),
        "failures": list(failed),
        "skips": skips,
    }
    told = "\n".join(f"=== {name}\n{text}" for name, text in failed.items())
    (folder / "failures.txt").write_text(told)
    (folder / "results.json").write_text(json.dumps({**summary, "tests": passed}, indent=1))
    prune(results)
    json.dump(summary, sys.stdout)


if __name__ == "__main__":
    main()
