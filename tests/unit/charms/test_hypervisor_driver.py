"""The driver that lets config drives survive block migration, on a stand-in for Nova.

Nova is not installed here. The stand-in has the names that the driver uses, and does what Nova
does at the destination of a live migration: it makes an empty file in the place of the drive. That
a real guest finds its metadata after it has moved is seen in a cloud only.
"""

import dataclasses
import importlib.util
import pathlib
import sys
import types

import pytest

FOLDER = pathlib.Path(__file__).parents[3] / "charms/openstack-hypervisor/src/templates"


@dataclasses.dataclass
class Guest:
    """A guest that is about to arrive, and how its disks get here."""

    folder: pathlib.Path
    name: str = "web"
    has_drive: bool = True
    is_shared: bool = False

    @property
    def drive(self):
        return self.folder / "disk.config"


class NovaDriver:
    """Nova's own driver at the destination."""

    def pre_live_migration(
        self, context, instance, block_device_info, network_info, disk_info, migrate_data
    ):
        if not migrate_data.is_shared_instance_path:
            instance.folder.mkdir(exist_ok=True)
            instance.drive.write_bytes(bytes(8))
        return migrate_data


class Builder:
    """Nova's maker of config drives."""

    def __init__(self, instance_md):
        self.text = instance_md

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.text = ""

    def make_drive(self, path):
        pathlib.Path(path).write_text(self.text)


@pytest.fixture
def nova(monkeypatch):
    """Put the stand-in where the driver finds Nova; give its settings of libvirt."""
    settings = types.SimpleNamespace(images_type="qcow2")
    names = {
        "nova": {},
        "nova.conf": {"CONF": types.SimpleNamespace(libvirt=settings)},
        "nova.api": {},
        "nova.api.metadata": {},
        "nova.api.metadata.base": {
            "InstanceMetadata": lambda guest, network_info: f"{guest.name} on {network_info}"
        },
        "nova.virt": {},
        "nova.virt.configdrive": {
            "required_by": lambda guest: guest.has_drive,
            "ConfigDriveBuilder": Builder,
        },
        "nova.virt.libvirt": {"LibvirtDriver": NovaDriver},
        "nova.virt.libvirt.utils": {
            "get_instance_path_at_destination": lambda guest, data: str(guest.folder)
        },
    }
    for name, content in names.items():
        module = types.ModuleType(name)
        module.__path__ = []
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    return settings


@pytest.fixture
def arrive(nova):
    """Prepare for a guest that is about to arrive."""
    path = FOLDER / "hypervisor_libvirt.py"
    spec = importlib.util.spec_from_file_location("hypervisor_libvirt", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def arrive(guest):
        data = types.SimpleNamespace(is_shared_instance_path=guest.is_shared)
        prepared = module.LibvirtDriver().pre_live_migration(None, guest, {}, "net", None, data)
        assert prepared is data, "Nova goes on with what its own driver gives"

    return arrive


def test_a_drive_is_filled_where_nova_leaves_an_empty_one(arrive, tmp_path):
    guest = Guest(tmp_path / "guest")
    arrive(guest)
    assert guest.drive.read_text() == "web on net"


def test_a_guest_without_a_drive_gets_none(arrive, tmp_path):
    guest = Guest(tmp_path / "guest", has_drive=False)
    arrive(guest)
    assert guest.drive.read_bytes() == bytes(8)


def test_a_drive_that_is_shared_is_left_to_its_guest(arrive, tmp_path):
    guest = Guest(tmp_path, is_shared=True)
    guest.drive.write_text("in use")
    arrive(guest)
    assert guest.drive.read_text() == "in use"


def test_a_drive_in_ceph_is_not_made_on_the_machine(arrive, nova, tmp_path):
    nova.images_type = "rbd"
    guest = Guest(tmp_path / "guest")
    arrive(guest)
    assert guest.drive.read_bytes() == bytes(8), "as Nova left it"
