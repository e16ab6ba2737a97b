"""The charm nova-k8s: plans, from a snapshot."""

import dataclasses
import json
import sys
import types

import plans
import pytest
from plans import files

from charmkit.interfaces import placement

FOLDER = plans.CHARMS / "nova-k8s"
PROCESSES = ("nova-api", "nova-metadata", "nova-scheduler", "nova-conductor", "nova-novncproxy")
CELL0 = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def make(make_plan, make_database, broker):
    """Plan for a snapshot; other databases or another broker on demand."""

    def make(snapshot, **others):
        needs = {
            "api_database": make_database("nova_api"),
            "cell_database": make_database("nova_cell0"),
            "amqp": broker,
            "placement": placement.Ready(),
        }
        return make_plan("nova-k8s", snapshot, **(needs | others))

    return make


@pytest.fixture
def ready():
    return plans.sees("nova-k8s", load_balancer="10.20.0.9", cpus=2)


def conf(made, process="nova-api"):
    return plans.conf(made, f"/etc/nova/{process}.conf")


def cells(made):
    return {each["name"]: each for each in json.loads(files(made)["/etc/nova/cells.json"].text)}


# --- processes ---------------------------------------------------------------------------------


def test_five_processes_run_and_each_is_probed(make, ready):
    workload = make(ready).workload
    assert tuple(workload.services) == PROCESSES
    assert [probe.process for probe in workload.probes] == list(PROCESSES)


def test_nothing_runs_as_root(make, ready):
    assert {each["user"] for each in make(ready).workload.services.values()} == {"nova"}


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_has_queues_of_its_own(make, ready, process):
    found = conf(make(ready), process)["oslo_messaging_rabbit"]
    assert (found["processname"], found["hostname"]) == (process, "nova-0")


def test_an_api_reads_its_pipeline_first_and_then_its_own_file(make, ready):
    environment = make(ready).workload.services["nova-metadata"]["environment"]
    paste, config = environment["OS_NOVA_CONFIG_FILES"].split(";")
    assert paste.endswith("/nova/api-paste.ini")
    assert config == "/etc/nova/nova-metadata.conf"


def test_what_a_request_says_of_proxies_counts_for_the_api_only(make, ready):
    assert conf(make(ready))["oslo_middleware"]["enable_proxy_headers_parsing"] == "true"
    # The metadata API is asked by those who pass requests of instances on, not by an entry point.
    for process in ("nova-metadata", "nova-scheduler", "nova-novncproxy"):
        assert "oslo_middleware" not in conf(make(ready), process)


@pytest.mark.parametrize(
    ("option", "cpus", "light", "full"),
    [(0, 2, "1", "2"), (0, 16, "3", "7"), (5, 2, "5", "5"), (5, 64, "5", "5")],
)
def test_workers_are_by_the_machine_unless_told(make, ready, option, cpus, light, full):
    config = {**ready.config, "workers": option}
    made = make(dataclasses.replace(ready, config=config, cpus=cpus, memory=65536))
    assert conf(made, "nova-scheduler")["scheduler"]["workers"] == light
    assert conf(made, "nova-conductor")["conductor"]["workers"] == light
    assert f"\nprocesses = {full}\n" in files(made)["/etc/nova/uwsgi.ini"].text
    assert f"\nprocesses = {light}\n" in files(made)["/etc/nova/nova-metadata.ini"].text


def test_each_schema_is_reached_with_its_own_account_and_authority(make, ready):
    made = make(ready)
    found = conf(made)
    assert "user-nova:" in found["database"]["connection"]
    assert "user-nova_api:" in found["api_database"]["connection"]
    assert "/nova_api?" in found["api_database"]["connection"]
    authority = "ssl_ca=/etc/nova/tls/api-database-ca.pem"
    assert authority in found["api_database"]["connection"]
    assert files(made)["/etc/nova/tls/api-database-ca.pem"].text == "authority of nova_api"


def test_the_way_to_consoles_is_encrypted(make, ready):
    found = conf(make(ready), "nova-novncproxy")
    assert found["vnc"]["auth_schemes"] == "vencrypt"
    assert found["vnc"]["vencrypt_ca_certs"] == "/etc/nova/tls/ca.pem"
    assert found["DEFAULT"]["ssl_only"] == "true"


# --- cells -------------------------------------------------------------------------------------


def test_the_cell_of_the_hypervisors_is_a_template_without_a_credential(make, ready):
    cell = cells(make(ready))["cell1"]
    parts = {
        "scheme": "mysql+pymysql",
        "username": "u",
        "password": "p",
        "hostname": "h",
        "port": 3306,
        "path": "nova",
        "query": "charset=utf8mb3&ssl_ca=/ca.pem",
    }  # what Nova takes from its own configuration
    assert cell["database_connection"].format(**parts) == (
        "mysql+pymysql://u:p@h:3306/nova?charset=utf8mb3&ssl_ca=/ca.pem"
    )
    parts |= {"scheme": "rabbit", "port": 5671, "query": "ssl=1"}
    assert cell["transport_url"].format(**parts) == "rabbit://u:p@h:5671/nova?ssl=1"
    assert "s3cret" not in json.dumps(cell)


def test_of_several_brokers_each_is_in_the_template(make, ready, broker):
    several = dataclasses.replace(broker, hosts=("a", "b"))
    cell = cells(make(ready, amqp=several))["cell1"]
    parts = {"scheme": "rabbit", "path": "nova", "query": "ssl=1"}
    for n, host in ((1, "a"), (2, "b")):
        parts |= {f"username{n}": "u", f"password{n}": "p", f"hostname{n}": host, f"port{n}": 1}
    assert cell["transport_url"].format(**parts) == "rabbit://u:p@a:1,u:p@b:1/nova?ssl=1"


def test_cell_0_has_its_own_database_and_no_broker(make, ready):
    cell = cells(make(ready))["cell0"]
    assert (cell["uuid"], cell["transport_url"]) == (CELL0, "none:///")
    assert "user-nova_cell0:s3cret@mariadb:3306/nova_cell0?" in cell["database_connection"]


def test_the_cells_are_mapped_between_the_schemas(make, ready):
    tasks = make(ready).workload.tasks
    assert [task.name for task in tasks] == ["api-schema", "cells", "schema"]
    assert {task.user for task in tasks} == {"nova"}
    assert "s3cret" not in json.dumps([task.argv for task in tasks])


def test_a_new_account_of_cell_0_maps_it_again_and_restarts_who_knew_the_old(
    make, ready, make_database
):
    before = make(ready).workload
    other = dataclasses.replace(make_database("nova_cell0", "an0ther"), username="user-2")
    after = make(ready, cell_database=other).workload
    assert all(after.services[name] != before.services[name] for name in PROCESSES)
    digests = [{task.name: task.digest for task in each.tasks} for each in (before, after)]
    assert digests[0]["cells"] != digests[1]["cells"]


class FakeNova:
    """Nova's mappings of cells, in memory."""

    def __init__(self):
        self.stored = {}

    def modules(self):
        """Give the modules that the script imports."""
        nova = self

        class CellMapping(types.SimpleNamespace):
            def __init__(self, admin, uuid):
                super().__init__(uuid=uuid)

            def create(self):
                assert self.uuid not in nova.stored, "it is there already"
                nova.stored[self.uuid] = dict(vars(self))

            def save(self):
                assert self.uuid in nova.stored, "there is none"
                nova.stored[self.uuid] = dict(vars(self))

        def get_all(admin):
            found = []
            for each in nova.stored.values():
                mapping = CellMapping(admin, each["uuid"])
                vars(mapping).update(each)
                found.append(mapping)
            return found

        objects = types.SimpleNamespace(
            register_all=lambda: None,
            CellMapping=CellMapping,
            CellMappingList=types.SimpleNamespace(get_all=get_all),
        )
        return types.SimpleNamespace(
            monkey_patch=types.SimpleNamespace(patch=lambda backend: None),
            config=types.SimpleNamespace(parse_args=lambda argv: None),
            context=types.SimpleNamespace(get_admin_context=lambda: "admin"),
            objects=objects,
        )


@pytest.fixture
def write_cells(load_script, monkeypatch, tmp_path):
    """Run the script against a Nova in memory; gives what that has then."""
    nova = FakeNova()
    monkeypatch.setitem(sys.modules, "nova", nova.modules())
    script = load_script(FOLDER / "src/templates/cells.py")

    def write(made):
        wanted = tmp_path / "cells.json"
        wanted.write_text(files(made)["/etc/nova/cells.json"].text)
        monkeypatch.setattr(sys, "argv", ["cells.py", "nova.conf", str(wanted)])
        script.main()
        return {each["name"]: each for each in nova.stored.values()}

    return write


def test_cells_are_made_once_and_changed_later(make, ready, make_database, write_cells):
    first = write_cells(make(ready))
    assert set(first) == {"cell0", "cell1"}
    assert first["cell0"]["uuid"] == CELL0
    assert write_cells(make(ready)) == first
    other = make_database("nova_cell0", "an0ther")
    second = write_cells(make(ready, cell_database=other))
    assert "an0ther" in second["cell0"]["database_connection"]
    assert second["cell1"] == first["cell1"]


# --- hypervisors -------------------------------------------------------------------------------


def told(made):
    return [
        bag.app for each in made.publications for bag in each.bags if "metadata-url" in bag.app
    ]


def test_hypervisors_hear_where_metadata_and_consoles_are(make, ready):
    [bag] = told(make(ready))
    assert bag["metadata-url"] == "https://10.20.0.9:8775"
    assert bag["novnc-proxy-url"] == "https://10.20.0.9:6080/vnc_lite.html"


def test_hypervisors_hear_nothing_before_they_can_reach_us(make, ready):
    assert told(make(dataclasses.replace(ready, load_balancer=""))) == []


def test_an_address_of_ipv6_is_written_as_urls_want_it(make, ready):
    [bag] = told(make(dataclasses.replace(ready, load_balancer="fd00::9")))
    assert bag["metadata-url"] == "https://[fd00::9]:8775"


def test_hypervisors_and_the_metadata_api_share_a_secret(make, ready):
    made = make(ready)
    secrets = {each.label: each for one in made.publications for each in one.secrets}
    shared = secrets["nova-service"].content["metadata-proxy-shared-secret"]
    assert conf(made, "nova-metadata")["neutron"]["metadata_proxy_shared_secret"] == shared
    assert secrets["metadata-secret"].content == {"secret": shared}


def test_charm_py_stays_short():
    assert len((FOLDER / "src/charm.py").read_text().splitlines()) < 70
