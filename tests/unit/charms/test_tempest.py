"""Tempest: what is ordered, what the script finds in a cloud, and what came of a run."""

import dataclasses
import io
import json
import pathlib
import re
import stat
import subprocess
import sys
import types

import pytest
import subunit

from charmkit.interfaces import keystone_resources
from charmkit.spec import PEERS, RelationData, Snapshot

SCRIPT = pathlib.Path(__file__).parents[3] / "charms/tempest-k8s/src/templates/validate.py"
CONFIG = {
    "image": "",
    "image-user": "cirros",
    "external-network": "",
    "flavor-memory": 192,
    "concurrency": 0,
    "timeout": 300,
}

PARAMS = {"profile": "smoke", "regex": "", "dashboard-url": ""}


@pytest.fixture
def tempest(load_charm):
    return load_charm("tempest-k8s").tempest


@pytest.fixture
def validate(load_script):
    return load_script(SCRIPT)


@pytest.fixture
def snapshot(tempest):
    asked = json.dumps({"id": tempest.DOMAIN._id, "tag": "", "ops": tempest.DOMAIN._operations()},
                       default=str)  # fmt: skip
    told = keystone_resources.provider_side({"request": asked}, {})
    relation = RelationData(id=3, endpoint="identity-ops", app="keystone", remote_app=told.app_bag)
    return Snapshot(
        app="tempest",
        unit="tempest/0",
        is_leader=True,
        config=CONFIG,
        cpus=8,
        relations={PEERS: (RelationData(id=1, endpoint=PEERS),), "identity-ops": (relation,)},
        own_secrets={"identity-ops:tempest": {"password": "s3cret"}},
    )


class Cloud:
    """A cloud with a small catalogue; `made` are the bodies of what was created."""

    domain_id = "0123"

    def __init__(self, types=("compute", "image", "network", "volumev3")):
        self.types = types
        self.made = []
        self.answers = {
            ("image", "/v2/images"): {
                "images": [
                    {"name": "zeta", "id": "i-zeta", "visibility": "public"},
                    {"name": "guest", "id": "i-guest", "visibility": "public"},
                    {"name": "a", "id": "i-private", "visibility": "private"},
                ]
            },
            ("network", "/v2.0/networks"): {
                "networks": [{"name": "outside", "id": "n-2"}, {"name": "external", "id": "n-1"}]
            },
            ("network", "/v2.0/extensions"): {
                "extensions": [{"alias": "router"}, {"alias": "agent"}]
            },
            ("compute", "/flavors"): {"flavors": [{"name": "tempest-192", "id": "f-1"}]},
            ("compute", "/os-services"): {
                "services": [
                    {"state": "up", "status": "enabled"},
                    {"state": "up", "status": "enabled"},
                    {"state": "down", "status": "enabled"},
                    {"state": "up", "status": "disabled"},
                ]
            },
        }

    def has(self, types):
        return any(each in self.types for each in types)

    def get(self, kind, path):
        return self.answers[kind, path.partition("?")[0]]

    def create(self, kind, path, body):
        self.made.append((kind, path, body))
        return {"flavor": {"id": f"f-{len(self.made) + 1}"}}


@pytest.fixture
def order(tempest, snapshot):
    return tempest.order(snapshot, PARAMS)


def test_the_results_storage_is_given_to_the_tests(tempest, snapshot):
    (task,) = tempest.tasks(snapshot, {})
    assert task.argv[:5] == ("install", "-d", "-o", "tempest", "-g")
    assert (task.argv[-1], task.on, task.when) == (tempest.RESULTS, "unit", "before-start")


# --- the order ---------------------------------------------------------------------------------


def test_an_order_names_the_account_and_the_tests(order, tempest):
    assert order["account"]["password"] == "s3cret"
    assert order["account"]["domain"] == "tempest"
    assert order["select"] == tempest.PROFILES["smoke"]
    assert order["concurrency"] == 4  # of eight processors


def test_the_tests_have_an_administrator(tempest):
    roles = [
        each["params"]["name"]
        for each in tempest.DOMAIN._operations()
        if each["name"] == "create_role"
    ]
    assert roles == ["admin"]


def test_there_is_no_order_without_an_account(tempest, snapshot):
    lost = dataclasses.replace(snapshot, own_secrets={})
    assert tempest.order(lost, PARAMS) is None


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ((3, 0), None),
        ((3, 2), "2 of 5 tests failed"),
        ((0, 0), "no test ran: the regular expression finds none, or all were skipped"),
    ],
)
def test_a_failed_or_empty_run_fails_the_action(tempest, counts, problem):
    assert tempest.problem({"passed": counts[0], "failed": counts[1]}) == problem


def test_results_name_failures_and_reasons(tempest):
    summary = {
        "passed": 7, "failed": 1, "skipped": 2, "seconds": 5, "folder": "/x",
        "failures": ["a.b"], "skips": {"no swift": ["c", "d"]},
    }  # fmt: skip
    found = tempest.results(summary)
    assert (found["passed"], found["failures"], found["skips"]) == ("7", "a.b", "2 x no swift")


# --- the script --------------------------------------------------------------------------------


def test_what_is_not_in_the_catalogue_is_not_tested(validate, order):
    made = validate.configuration(order, Cloud(types=("compute", "image", "network")))
    available = made["service_available"]
    assert (available["nova"], available["cinder"], available["swift"]) == (True, False, False)


def test_a_dashboard_is_tested_where_its_address_is_told(validate, tempest, snapshot):
    url = "https://10.64.0.3/"
    order = tempest.order(snapshot, {**PARAMS, "dashboard-url": url})
    made = validate.configuration(order, Cloud())
    assert made["service_available"]["horizon"] is True
    assert made["dashboard"] == {"dashboard_url": url}, "a certificate is always verified"


def test_without_a_dashboard_its_tests_are_skipped(validate, order):
    made = validate.configuration(order, Cloud())
    assert (made["service_available"]["horizon"], made["dashboard"]) == (False, {})


OPEN = "import sys, urllib.request; urllib.request.build_opener().open(sys.argv[1])"


@pytest.mark.parametrize(("authority_file", "status"), [("ca.pem", 0), ("other.pem", 1)])
def test_tests_trust_the_cloud_s_authority_and_no_other(
    validate, order, tmp_path, api, authority, authority_file, status
):
    """As the dashboard's test opens its pages: without a word on whom to trust."""
    api.answers["GET", "/"] = (200, {}, {})
    given = {**order, "ca_file": str(authority / authority_file)}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, api.url + "/"],
        env=validate.environment(given, tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, "CERTIFICATE_VERIFY_FAILED" in done.stderr) == (status, bool(status))


def test_the_first_public_image_and_external_network_are_taken(validate, order):
    made = validate.configuration(order, Cloud())
    assert made["compute"]["image_ref"] == "i-guest"
    assert made["network"]["public_network_id"] == "n-1"
    assert made["network-feature-enabled"]["api_extensions"] == "agent,router"


def test_a_named_image_and_network_are_taken(validate, order):
    wanted = {**order, "image": "a", "external_network": "outside"}
    made = validate.configuration(wanted, Cloud())
    assert made["compute"]["image_ref"] == "i-private"
    assert made["network"]["floating_network_name"] == "outside"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": "none"}, "no image none: run helio configure"),
        ({"external_network": "none"}, "no external network none: run helio configure"),
    ],
)
def test_what_is_missing_is_named(validate, order, change, reason):
    with pytest.raises(SystemExit, match=reason):
        validate.configuration({**order, **change}, Cloud())


def test_only_missing_flavors_are_made(validate, order):
    cloud = Cloud()
    made = validate.configuration(order, cloud)
    assert made["compute"]["flavor_ref"] == "f-1"
    assert [body["flavor"]["ram"] for _, _, body in cloud.made] == [256]


def test_live_migration_is_tested_with_two_hosts_that_are_up(validate, order):
    cloud = Cloud()
    made = validate.configuration(order, cloud)
    assert made["compute"]["min_compute_nodes"] == 2
    assert made["compute-feature-enabled"]["live_migration"] is True
    assert made["compute-feature-enabled"]["cold_migration"] is False
    assert made["compute-feature-enabled"]["resize"] is False
    cloud.answers["compute", "/os-services"]["services"].pop(0)
    made = validate.configuration(order, cloud)
    assert made["compute-feature-enabled"]["live_migration"] is False


def test_the_configuration_is_for_its_owner_only(validate, order, tmp_path):
    path = tmp_path / "tempest.conf"
    validate.write_configuration(path, validate.configuration(order, Cloud()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "admin_password = s3cret" in path.read_text()


RUNNER = """#!/bin/sh
cat .stestr.conf >&2
echo "$@" >&2
"""


def test_tests_are_looked_for_in_the_package_alone(validate, order, tmp_path, monkeypatch):
    package = tmp_path / "site" / "tempest"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    runner = tmp_path / "bin" / "tempest"
    runner.parent.mkdir()
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    monkeypatch.setitem(
        sys.modules, "tempest", types.SimpleNamespace(__file__=str(package / "__init__.py"))
    )
    monkeypatch.setattr(validate.sys, "executable", str(runner.parent / "python3"))
    for name in ("results", "work"):
        (tmp_path / name).mkdir()
    validate.run(order, tmp_path / "results", tmp_path / "work")
    said = (tmp_path / "results" / "run.log").read_text()
    # Without the folder on top, what looks for tests takes the working folder, and finds none.
    assert f"top_dir={package}\n" in said
    assert f"test_path={package}/test_discover\n" in said
    assert "--concurrency 4" in said


QUICK = [
    "tempest.api.identity.v3.test_tokens.TokensV3Test.test_validate_token[id-1]",
    "tempest.api.image.v2.test_images.BasicOperationsImagesTest.test_update_image[id-1,smoke]",
    "tempest.api.network.test_networks.NetworksTest.test_list_networks[id-1,smoke]",
    "tempest.scenario.test_server_basic_ops.TestServerBasicOps.test_server_basic_ops[id,smoke]",
]
NOT_QUICK = [
    "tempest.api.network.test_networks.NetworksTest.test_show_network_fields[id-1]",
    "tempest.api.compute.flavors.test_flavors_negative.FlavorsV2NegativeTest.test_boot[id-1]",
    "tempest.api.volume.test_volumes_get.VolumesGetTest.test_as_clone[id-1]",
]


@pytest.mark.parametrize(
    ("name", "is_in"),
    [*((name, True) for name in QUICK), *((name, False) for name in NOT_QUICK)],
)
def test_the_quick_profile_is_a_request_of_each_kind(tempest, name, is_in):
    assert bool(re.search(tempest.PROFILES["quick"], name)) == is_in


def test_a_regular_expression_narrows_the_profile_down(validate):
    order = {"select": r"\[.*\bsmoke\b.*\]", "regex": "networks|routers"}
    found = re.compile(validate.expression(order))
    assert found.search("tempest.api.network.test_networks.X.test_a[id-1,smoke]")
    assert not found.search("tempest.api.network.test_networks.X.test_b[id-2]")
    assert not found.search("tempest.api.image.test_images.X.test_c[id-3,smoke]")
    assert re.search(validate.expression({**order, "regex": ""}), "x[smoke]")


def test_results_are_kept_for_the_latest_runs(validate, tmp_path):
    for number in range(13):
        (tmp_path / f"2026010{number:02}T000000Z-quick").mkdir()
    (tmp_path / "lost+found").mkdir()
    validate.prune(tmp_path)
    left = sorted(each.name for each in tmp_path.iterdir())
    assert len(left) == 11
    assert left[0].startswith("202601003")


def test_results_are_read_from_the_stream(validate):
    stream = io.BytesIO()
    output = subunit.StreamResultToBytes(stream)
    output.status(test_id="good", test_status="success")
    output.status(
        test_id="bad", file_name="traceback", file_bytes=b"404 != 200", mime_type="text/plain"
    )
    output.status(test_id="bad", test_status="fail")
    output.status(test_id="listed", test_status="exists")
    output.status(
        test_id="left", file_name="reason", file_bytes=b"no swift", mime_type="text/plain"
    )
    output.status(test_id="left", test_status="skip")
    stream.seek(0)
    assert validate.summarise(stream) == (
        ["good"],
        {"bad": "404 != 200"},
        {"no swift": ["left"]},
    )
