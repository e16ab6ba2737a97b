"""What a new cloud needs before somebody can boot an instance: the steps of `helio configure`.

Each step looks into the cloud for one thing and makes it where it is missing or different, so a
second run changes nothing. What belongs to the demo user is made with the demo user's account.
"""

import dataclasses
import hashlib
import http.client
import ipaddress
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helio import clients
from helio.clients import CLOUD, DEMO
from helio.host import Command, HelioError, Host
from helio.report import Reporter
from helio.sdk import Clouds, Connection
from helio.settings import Settings
from helio.steps import Ensure, Step

EXTERNAL = "external"
NETWORK, SUBNET, ROUTER = f"{DEMO}-network", f"{DEMO}-subnet", f"{DEMO}-router"
TENANT_SUBNET = "192.168.222.0/24"
PHYSICAL_NETWORK = "physnet1"
GUEST = "helio-guest"  # name of the image that helio builds
GUEST_USER = "cirros"
RESOLV_CONF = Path("/etc/resolv.conf")
SILENCE = 60.0  # seconds after which a server that sends nothing is given up
QCOW2 = b"QFI\xfb"  # how a disk in that format begins

UNLIMITED = -1

_OF_SNAPSHOTS = {"base_image_ref", "image_type"}  # properties that Nova gives to what it makes

# What the project may use at least.
QUOTAS: Mapping[str, Mapping[str, int]] = {
    "compute": {"instances": 20, "cores": 40, "ram": 65536},
    "network": {"floating_ips": 50, "security_groups": 20, "ports": 200},
    "block_storage": {"volumes": 40, "snapshots": 40, "gigabytes": 400},
}

# Who may come in from outside: ssh, and ping.
RULES: tuple[Mapping[str, Any], ...] = (
    {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
    {"protocol": "icmp", "port_range_min": None, "port_range_max": None},
)


@dataclasses.dataclass(frozen=True)
class Flavor:
    """A size of instances.

    Args:
        name: Name.
        vcpus: Virtual processors.
        ram: Memory, MiB.
        disk: Root disk, GiB.
    """

    name: str
    vcpus: int
    ram: int
    disk: int


FLAVORS = (
    Flavor("m1.tiny", 1, 256, 1),
    Flavor("m1.small", 1, 1024, 5),
    Flavor("m1.medium", 2, 2048, 20),
    Flavor("m1.large", 4, 4096, 40),
)


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that instances boot from.

    Args:
        name: Its name in the cloud.
        source: Path of the file, or URL.
        user: Who logs in to its instances.
    """

    name: str
    source: str
    user: str


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What there shall be.

    Args:
        settings: The cloud.
        image: The image.
        resolvers: Name servers for instances.
    """

    settings: Settings
    image: Image
    resolvers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class MakeKey:
    """Make the demo user's ssh key on this machine."""

    settings: Settings
    title: str = "Make an ssh key"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether both halves are there."""
        return host.exists(self.settings.key) and host.exists(public_key(self.settings))

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Make it; ssh-keygen lets only the owner read the private half."""
        host.remove(self.settings.key)
        kind = ("-q", "-t", "ed25519", "-N", "", "-C", "helio")
        host.run(Command(("ssh-keygen", *kind, "-f", str(self.settings.key))))


def steps(clouds: Clouds, wanted: Wanted, host: Host) -> list[Step]:
    """Return the way to a cloud in which instances can be booted.

    Args:
        clouds: Connections; gets the demo user's account.
        wanted: What there shall be.
        host: Keeps the demo user's credentials and key.
    """
    parts = (_Project(clouds, wanted, host), _Catalogue(clouds, wanted), _Networks(clouds, wanted))
    first, middle, last = (list(part.steps()) for part in parts)
    return [*first, *middle, *last, MakeKey(wanted.settings), _import_key(clouds, wanted, host)]


def pool_of(subnet: str) -> tuple[str, str, str]:
    """Return gateway, first and last floating IP of the external network.

    The last addresses are the machines' own.
    """
    network = ipaddress.IPv4Network(subnet)
    return str(network[1]), str(network[10]), str(network[-57])


def resolvers_of(resolv_conf: str) -> tuple[str, ...]:
    """Return the name servers of a resolv.conf that instances can reach, too."""
    rows = (line.split() for line in resolv_conf.splitlines())
    found = (ipaddress.ip_address(row[1]) for row in rows if row[:1] == ["nameserver"])
    return tuple(str(each) for each in found if each.version == 4 and not each.is_loopback)


def image_of(source: str | None, guest: Path) -> Image:
    """Return the image that an operator means.

    Args:
        source: Path or URL; None: the guest that helio builds.
        guest: The disk of that guest.
    """
    if source is None:
        return Image(GUEST, str(guest), GUEST_USER)
    name = source.rstrip("/").rsplit("/", 1)[-1].removesuffix(".img").removesuffix(".qcow2")
    known = (user for user in ("cirros", "debian", "ubuntu", "fedora") if user in name.lower())
    return Image(name, source, next(known, "root"))


def public_images(cloud: Connection, **query: str) -> Iterator[Any]:
    """Yield the images that are there for everybody and are no snapshots.

    A snapshot has the properties of the image that its instance was made from, and may have any
    name; what Nova adds to them tells it apart.
    """
    for image in cloud.image.images(visibility="public", **query):
        if not _OF_SNAPSHOTS & (image.properties or {}).keys():
            yield image


def public_key(settings: Settings) -> Path:
    """Return the file of the public half of the demo user's key."""
    return settings.key.with_suffix(".pub")


class _Project:
    """The demo user, the project, and what it may use."""

    def __init__(self, clouds: Clouds, wanted: Wanted, host: Host):
        self._clouds = clouds
        self._settings = wanted.settings
        self._host = host

    def steps(self) -> Iterator[Step]:
        yield Ensure(
            "Make the demo user", f"make the project and the user {DEMO}", self._has_user,
            self._make_user,
        )  # fmt: skip
        for service, limits in QUOTAS.items():
            yield Ensure(
                f"Set the quota of {service.replace('_', ' ')}",
                f"allow {_words(limits)} to the project {DEMO}, where it has less",
                lambda service=service, limits=limits: self._has_quota(service, limits),
                lambda _reporter, service=service, limits=limits: self._set_quota(service, limits),
            )

    def _has_user(self) -> bool:
        account = self._clouds.accounts.get(DEMO)
        if account is None or not _project(self._admin):
            return False
        try:
            clients.issue_token(account, self._host.read(self._settings.ca))
        except HelioError:  # the password is another one, or the user is not in the project
            return False
        return True

    def _make_user(self, _reporter: Reporter) -> None:
        identity, admin = self._admin.identity, self._clouds.accounts[CLOUD]
        domain = identity.find_domain(admin.project_domain, ignore_missing=False).id
        password = secrets.token_urlsafe(24)
        project = _project(self._admin) or identity.create_project(
            name=DEMO, domain_id=domain, description="For first steps; made by helio configure"
        )
        user = identity.find_user(DEMO, domain_id=domain)
        if user:
            identity.update_user(user, password=password, is_enabled=True)
        else:
            user = identity.create_user(name=DEMO, domain_id=domain, password=password)
        role = identity.find_role("member", ignore_missing=False)
        identity.assign_project_role_to_user(project, user, role)
        demo = dataclasses.replace(
            admin, username=DEMO, password=password, project=DEMO,
            user_domain=admin.project_domain,
        )  # fmt: skip
        self._clouds.accounts[DEMO] = demo
        clients.keep_accounts(self._host, self._settings, self._clouds.accounts)

    def _has_quota(self, service: str, limits: Mapping[str, int]) -> bool:
        project = _project(self._admin)
        if not project:
            return False
        return not self._lower(service, project, limits)

    def _lower(self, service: str, project: Any, limits: Mapping[str, int]) -> Mapping[str, int]:
        """Return the limits that the project does not have yet; more is an operator's will."""
        present = self._quota(service, project)
        return {name: value for name, value in limits.items() if UNLIMITED < present[name] < value}

    def _quota(self, service: str, project: Any) -> Any:
        proxy = getattr(self._admin, service)
        if service == "network":
            return proxy.get_quota(project.id)
        return proxy.get_quota_set(project.id)

    def _set_quota(self, service: str, limits: Mapping[str, int]) -> None:
        project, proxy = _project(self._admin), getattr(self._admin, service)
        limits = self._lower(service, project, limits)
        if service == "network":
            proxy.update_quota(project.id, **limits)
        else:
            proxy.update_quota_set(project.id, **limits)

    @property
    def _admin(self) -> Connection:
        return self._clouds.connect(CLOUD)


class _Catalogue:
    """What instances are made from: flavors and the image."""

    def __init__(self, clouds: Clouds, wanted: Wanted):
        self._clouds = clouds
        self._image = wanted.image
        self._cache = wanted.settings.cache

    def steps(self) -> Iterator[Step]:
        for flavor in FLAVORS:
            yield Ensure(
                f"Make the flavor {flavor.name}",
                f"make the flavor {flavor.name}: {flavor.vcpus} vCPU, {flavor.ram} MiB",
                lambda flavor=flavor: self._admin.compute.find_flavor(flavor.name) is not None,
                lambda _reporter, flavor=flavor: self._admin.compute.create_flavor(
                    **dataclasses.asdict(flavor), is_public=True
                ),
            )
        yield Ensure(
            f"Upload the image {self._image.name}",
            f"upload {self._image.source} as the image {self._image.name}",
            self._has_image, self._upload,
        )  # fmt: skip

    def _has_image(self) -> bool:
        return any(image.status == "active" for image in self._images())

    def _upload(self, reporter: Reporter) -> None:
        path = self._fetch(reporter)
        with path.open("rb") as file:
            disk_format = "qcow2" if file.read(len(QCOW2)) == QCOW2 else "raw"
        for half in list(self._images()):
            self._admin.image.delete_image(half)  # left by an upload that was interrupted
        reporter.note(f"{path.stat().st_size / 1e6:.0f} MB, {disk_format}")
        self._admin.image.create_image(
            self._image.name,
            filename=str(path),
            disk_format=disk_format,
            container_format="bare",
            visibility="public",
            os_admin_user=self._image.user,
            wait=True,
        )
        if path.parent == self._downloads:  # the same URL may have something newer next time
            path.unlink()

    def _images(self) -> Iterator[Any]:
        # Users may have images of the same name: they are none of ours to use or to delete.
        return public_images(self._admin, name=self._image.name)

    @property
    def _downloads(self) -> Path:
        return self._cache / "downloads"

    def _fetch(self, reporter: Reporter) -> Path:
        """Return the image's file, downloaded if the source is a URL."""
        source = self._image.source
        if "://" not in source:
            if not Path(source).is_file():
                raise HelioError(f"cannot upload {source}: there is no such file")
            return Path(source).resolve()
        if not source.startswith(("http://", "https://")):
            raise HelioError(f"cannot download {source}: give a file, or an http or https URL")
        # Many servers have a disk of the same file name.
        path = self._downloads / hashlib.sha256(source.encode()).hexdigest()
        if not path.is_file():
            reporter.note(f"downloading {source}")
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part")
            _download(source, part)
            part.rename(path)
        return path

    @property
    def _admin(self) -> Connection:
        return self._clouds.connect(CLOUD)


class _Networks:
    """The way out, the project's own network, and who may come in."""

    def __init__(self, clouds: Clouds, wanted: Wanted):
        self._clouds = clouds
        self._external = wanted.settings.external_subnet
        self._resolvers = wanted.resolvers

    def steps(self) -> Iterator[Step]:
        for title, outline, find, make in (
            (
                "Make the external network",
                f"make the flat network {EXTERNAL} on {PHYSICAL_NETWORK}",
                lambda: self._one("networks", name=EXTERNAL, is_router_external=True) is not None,
                self._make_external,
            ),
            (
                "Make the external subnet",
                f"make the subnet {EXTERNAL}: {self._external}",
                lambda: self._one("subnets", name=EXTERNAL) is not None,
                self._make_external_subnet,
            ),
            (
                "Make the demo network",
                f"make the network {NETWORK}",
                lambda: self._own("networks", NETWORK) is not None,
                lambda: self._demo.network.create_network(name=NETWORK),
            ),
            (
                "Make the demo subnet",
                f"make the subnet {SUBNET}: {TENANT_SUBNET}",
                lambda: self._own("subnets", SUBNET) is not None,
                self._make_subnet,
            ),
            (
                "Make the demo router",
                f"make the router {ROUTER} between {NETWORK} and {EXTERNAL}",
                self._has_router,
                self._make_router,
            ),
            (
                "Make the security group",
                f"make the security group {DEMO}, which lets ssh and ping in",
                lambda: not self._missing_rules(),
                self._make_group,
            ),
        ):
            yield Ensure(title, outline, find, lambda _reporter, make=make: make())

    def _make_external(self) -> None:
        self._admin.network.create_network(
            name=EXTERNAL,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=PHYSICAL_NETWORK,
        )

    def _make_external_subnet(self) -> None:
        gateway, first, last = pool_of(self._external)
        self._admin.network.create_subnet(
            name=EXTERNAL,
            network_id=self._one("networks", name=EXTERNAL, is_router_external=True).id,
            ip_version=4,
            cidr=self._external,
            gateway_ip=gateway,
            is_dhcp_enabled=False,
            allocation_pools=[{"start": first, "end": last}],
        )

    def _make_subnet(self) -> None:
        self._demo.network.create_subnet(
            name=SUBNET,
            network_id=self._own("networks", NETWORK).id,
            ip_version=4,
            cidr=TENANT_SUBNET,
            dns_nameservers=list(self._resolvers),
        )

    def _has_router(self) -> bool:
        router = self._own("routers", ROUTER)
        subnet = self._own("subnets", SUBNET)
        return router is not None and subnet is not None and self._is_joined(router, subnet)

    def _make_router(self) -> None:
        external = self._one("networks", name=EXTERNAL, is_router_external=True)
        router = self._own("routers", ROUTER) or self._demo.network.create_router(
            name=ROUTER, external_gateway_info={"network_id": external.id}
        )
        subnet = self._own("subnets", SUBNET)
        if not self._is_joined(router, subnet):
            self._demo.network.add_interface_to_router(router, subnet_id=subnet.id)

    def _is_joined(self, router: Any, subnet: Any) -> bool:
        ports = self._admin.network.ports(device_id=router.id)
        return any(
            address["subnet_id"] == subnet.id for port in ports for address in port.fixed_ips
        )

    def _missing_rules(self) -> list[Mapping[str, Any]]:
        group = self._own("security_groups", DEMO)
        if group is None:
            return list(RULES)
        present = list(
            self._admin.network.security_group_rules(
                security_group_id=group.id, direction="ingress"
            )
        )
        return [
            rule
            for rule in RULES
            if not any(all(each[key] == value for key, value in rule.items()) for each in present)
        ]

    def _make_group(self) -> None:
        group = self._own("security_groups", DEMO)
        group = group or self._demo.network.create_security_group(
            name=DEMO, description="ssh and ping from everywhere"
        )
        for rule in self._missing_rules():
            self._demo.network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", ether_type="IPv4", **rule
            )

    def _one(self, kind: str, **query: Any) -> Any:
        """Return the first thing of a kind that the network service knows, or None."""
        return next(iter(getattr(self._admin.network, kind)(**query)), None)

    def _own(self, kind: str, name: str) -> Any:
        """Return a thing of the project, or None."""
        project = _project(self._admin)
        return self._one(kind, name=name, project_id=project.id) if project else None

    @property
    def _admin(self) -> Connection:
        return self._clouds.connect(CLOUD)

    @property
    def _demo(self) -> Connection:
        return self._clouds.connect(DEMO)


def _import_key(clouds: Clouds, wanted: Wanted, host: Host) -> Ensure:
    """Return the step that gives the public key to the cloud."""
    path = public_key(wanted.settings)

    def find() -> bool:
        if DEMO not in clouds.accounts or not host.exists(path):
            return False
        present = clouds.connect(DEMO).compute.find_keypair(DEMO)
        # What follows the key itself is a comment.
        return present is not None and present.public_key.split()[1] == host.read(path).split()[1]

    def make(_reporter: Reporter) -> None:
        compute = clouds.connect(DEMO).compute
        compute.delete_keypair(DEMO)  # of an earlier home; no keypair can be changed
        compute.create_keypair(name=DEMO, public_key=host.read(path).strip())

    return Ensure("Import the ssh key", f"import {path} as the key {DEMO}", find, make)


def _download(url: str, path: Path) -> None:
    """Write what a URL has to a file.

    Raises:
        HelioError: it cannot be had, or not all of it came.
    """
    try:
        with (
            urllib.request.urlopen(url, timeout=SILENCE) as answer,  # noqa: S310 - it was checked
            path.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
            # A connection that ends too early looks like the end of the file.
            size, wanted = file.tell(), int(answer.headers.get("Content-Length") or file.tell())
    except urllib.error.HTTPError as error:
        error.close()  # the answer is part of it, and its connection
        raise _no_download(url, str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _no_download(url, str(error) or repr(error)) from error
    if size != wanted:
        raise _no_download(url, f"{size} of {wanted} bytes came")


def _no_download(url: str, reason: str) -> HelioError:
    return HelioError(
        f"cannot download {url}: {reason}; run the same command again, or download it yourself "
        "and give the file: helio configure --image FILE"
    )


def _project(admin: Connection) -> Any:
    """Return the demo user's project, or None."""
    return admin.identity.find_project(DEMO)


def _words(limits: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in limits.items())
