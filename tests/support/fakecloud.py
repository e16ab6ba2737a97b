"""An OpenStack in memory: what helio asks of the client library, behaving as far as it counts.

Everything that is made is kept, so a second look finds it; what the real services refuse, such as
a second user of one name, is refused. A call that nobody wrote here fails the test.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from openstack.exceptions import ConflictException


class Thing:
    """A resource: attributes, by name or by key as the library's have them."""

    def __init__(self, **values: Any):
        self.__dict__.update(values)

    def __getitem__(self, key: str) -> Any:
        return self.__dict__[key]

    def __repr__(self) -> str:
        return f"Thing({self.__dict__})"


@dataclasses.dataclass
class World:
    """What there is in the cloud, whoever looks."""

    tables: dict[str, list[Thing]] = dataclasses.field(default_factory=dict)
    passwords: dict[str, str] = dataclasses.field(default_factory=dict)
    quotas: dict[str, Thing] = dataclasses.field(default_factory=dict)
    made: list[str] = dataclasses.field(default_factory=list)
    on_look: Callable[[Thing], None] = lambda server: None
    on_migrate: Callable[[Thing], None] = lambda server: None
    on_upload: Callable[[str], None] = lambda path: None
    _numbers: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))

    def table(self, kind: str) -> list[Thing]:
        return self.tables.setdefault(kind, [])

    def add(self, kind: str, **values: Any) -> Thing:
        thing = Thing(id=f"{kind}-{next(self._numbers)}", **values)
        self.table(kind).append(thing)
        self.made.append(f"{kind} {values.get('name', thing.id)}")
        return thing

    def find(self, kind: str, **query: Any) -> list[Thing]:
        return [
            thing
            for thing in self.table(kind)
            if all(thing.__dict__.get(key) == value for key, value in query.items())
        ]

    def get(self, kind: str, id_: str) -> Thing:
        return next(thing for thing in self.table(kind) if thing.id == id_)

    def connect(self, project: str) -> "FakeCloud":
        """Return the connection of somebody in a project, by its name."""
        found = self.find("project", name=project)
        return FakeCloud(self, found[0].id if found else project)


class FakeCloud:
    """A connection."""

    def __init__(self, world: World, project: str):
        self.identity = Identity(world)
        self.compute = Compute(world, project)
        self.image = Image(world)
        self.network = Network(world, project)
        self.block_storage = BlockStorage(world)
        self.placement = Placement(world)


class Identity:
    def __init__(self, world: World):
        self._world = world

    def find_domain(self, name, ignore_missing=True):
        return Thing(id=f"id-of-{name}", name=name)

    def find_project(self, name):
        return next(iter(self._world.find("project", name=name)), None)

    def create_project(self, *, name, domain_id, description):
        assert not self.find_project(name)
        return self._world.add("project", name=name, domain_id=domain_id)

    def find_user(self, name, domain_id):
        return next(iter(self._world.find("user", name=name, domain_id=domain_id)), None)

    def create_user(self, *, name, domain_id, password):
        assert not self.find_user(name, domain_id)
        self._world.passwords[name] = password
        return self._world.add("user", name=name, domain_id=domain_id)

    def update_user(self, user, *, password, is_enabled):
        assert is_enabled
        self._world.passwords[user.name] = password

    def find_role(self, name, ignore_missing=True):
        return Thing(id=f"role-{name}", name=name)

    def assign_project_role_to_user(self, project, user, role):
        self._world.add("assignment", name=f"{user.name} {role.name} {project.name}")


class Quotas:
    """The quotas of a service; those of Nova and Cinder are sets, Neutron's are not."""

    _world: World

    def get_quota_set(self, project):
        defaults = dict.fromkeys(
            ("instances", "cores", "ram", "volumes", "snapshots", "gigabytes", "floating_ips",
             "security_groups", "ports"), 10,
        )  # fmt: skip
        key = f"{type(self).__name__} {project}"
        return self._world.quotas.setdefault(key, Thing(**defaults))

    def update_quota_set(self, project, **limits):
        self.get_quota_set(project).__dict__.update(limits)
        self._world.made.append(f"quota {type(self).__name__}")


class Compute(Quotas):
    def __init__(self, world: World, project: str):
        self._world = world
        self._project = project

    def find_flavor(self, name):
        return next(iter(self._world.find("flavor", name=name)), None)

    def flavors(self):
        return iter(self._world.find("flavor"))

    def create_flavor(self, *, name, vcpus, ram, disk, is_public):
        return self._world.add("flavor", name=name, vcpus=vcpus, ram=ram, disk=disk)

    def find_keypair(self, name):
        return next(iter(self._world.find("keypair", name=name)), None)

    def create_keypair(self, *, name, public_key):
        assert not self.find_keypair(name)
        return self._world.add("keypair", name=name, public_key=public_key)

    def delete_keypair(self, name):
        keep = [each for each in self._world.table("keypair") if each.name != name]
        self._world.tables["keypair"] = keep

    def servers(self, all_projects=False, name=None):
        found = self._world.find("server", **({} if all_projects else {"project": self._project}))
        wanted = name.strip("^$") if name else None
        return iter([each for each in found if wanted is None or each.name == wanted])

    def get_server(self, id_):
        server = self._world.get("server", id_)
        self._world.on_look(server)
        return server

    def create_server(self, *, name, image_id, flavor_id, networks, key_name, security_groups):
        server = self._world.add(
            "server", name=name, status="BUILD", task_state="spawning", fault=None,
            project=self._project, compute_host="node-1", groups=security_groups, key=key_name,
            image=self._world.get("image", image_id),
        )  # fmt: skip
        self._world.add(
            "port", device_id=server.id, network_id=networks[0]["uuid"],
            fixed_ips=[{"ip_address": "192.168.222.7", "subnet_id": "x"}],
        )  # fmt: skip
        return server

    def create_volume_attachment(self, server, *, volume_id):
        volume = self._world.get("volume", volume_id)
        volume.status, volume.attachments = "in-use", [{"server_id": server}]
        self._world.made.append(f"attachment of {volume_id} to {server}")

    def services(self, binary=None):
        return iter(self._world.find("service", binary=binary))

    def disable_service(self, id_, host, binary, reason):
        service = self._world.get("service", id_)
        assert (service.host, service.binary) == (host, binary)
        assert (service.status, service.disabled_reason) != ("disabled", reason), "Nova refuses"
        service.status, service.disabled_reason = "disabled", reason
        self._world.made.append(f"disabled {host}")

    def enable_service(self, id_, host, binary):
        service = self._world.get("service", id_)
        assert (service.host, service.binary, service.status) == (host, binary, "disabled")
        service.status, service.disabled_reason = "enabled", None

    def delete_service(self, service):
        left = [each.name for each in self.servers(True) if each.compute_host == service.host]
        assert not left, "the service refuses while there are instances"
        (provider,) = self._world.find("provider", name=service.host)  # Nova fails without it
        if not provider.is_used:
            self._world.table("provider").remove(provider)
        self._world.table("service").remove(service)

    def hypervisors(self):
        return iter(self._world.find("hypervisor"))

    def live_migrate_server(self, id_, *, host, block_migration):
        assert (host, block_migration) == (None, "auto")
        self._world.on_migrate(self._world.get("server", id_))

    def evacuate_server(self, id_):
        self._world.on_migrate(self._world.get("server", id_))


class Image:
    def __init__(self, world: World):
        self._world = world

    def images(self, **query):
        return iter(self._world.find("image", **query))

    def find_image(self, id_):
        return next(iter(self._world.find("image", id=id_)), None)

    def delete_image(self, image):
        self._world.table("image").remove(image)

    def create_image(self, name, *, filename, **values):
        self._world.on_upload(filename)
        return self._world.add(
            "image", name=name, status="active", created_at=f"{len(self._world.made):04}",
            properties=None, **values
        )  # fmt: skip


class Network(Quotas):
    def __init__(self, world: World, project: str):
        self._world = world
        self._project = project

    def get_quota(self, project):
        return self.get_quota_set(project)

    def update_quota(self, project, **limits):
        self.update_quota_set(project, **limits)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kinds = {
            "networks": "network", "subnets": "subnet", "routers": "router", "ports": "port",
            "security_groups": "group", "security_group_rules": "rule", "ips": "ip",
            "agents": "agent",
        }  # fmt: skip
        if name in kinds:
            return lambda **query: iter(self._world.find(kinds[name], **query))
        raise AttributeError(f"nobody wrote {name}")

    def create_network(self, **values):
        return self._world.add("network", project_id=self._project, **values)

    def create_subnet(self, **values):
        return self._world.add("subnet", project_id=self._project, **values)

    def create_router(self, **values):
        return self._world.add("router", project_id=self._project, **values)

    def add_interface_to_router(self, router, *, subnet_id):
        self._world.add("port", device_id=router.id, fixed_ips=[{"subnet_id": subnet_id}])

    def create_security_group(self, **values):
        return self._world.add("group", project_id=self._project, **values)

    def create_security_group_rule(self, **values):
        return self._world.add("rule", **values)

    def create_ip(self, *, floating_network_id, port_id):
        return self._world.add("ip", port_id=port_id, floating_ip_address="172.24.4.33")

    def delete_agent(self, agent):
        assert not agent.is_alive, "the service refuses to forget an agent that lives"
        self._world.table("agent").remove(agent)


class BlockStorage(Quotas):
    def __init__(self, world: World):
        self._world = world

    def volumes(self, **query):
        return iter(self._world.find("volume", **query))

    def get_volume(self, id_):
        volume = self._world.get("volume", id_)
        if volume.status == "creating":
            volume.status = "available"
        return volume

    def create_volume(self, *, name, size):
        return self._world.add("volume", name=name, size=size, status="creating")


class Placement:
    def __init__(self, world: World):
        self._world = world

    def resource_providers(self):
        return iter(self._world.find("provider"))

    def delete_resource_provider(self, provider):
        if provider.is_used:
            raise ConflictException("there are allocations")
        self._world.table("provider").remove(provider)
