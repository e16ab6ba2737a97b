"""What instances are made from: flavors and the image."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helio.clients import CLOUD
from helio.demo.download import fetch
from helio.report import Reporter
from helio.sdk import Clouds, Connection
from helio.steps import Ensure, Step

GUEST = "helio-guest"  # name of the image that helio builds
GUEST_USER = "cirros"
QCOW2 = b"QFI\xfb"  # how a disk in that format begins

_OF_SNAPSHOTS = {"base_image_ref", "image_type"}  # properties that Nova gives to what it makes


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


class Catalogue:
    """Has the steps to what instances are made from.

    Args:
        clouds: Connections.
        image: The image.
        downloads: Folder for what comes from a URL.
    """

    def __init__(self, clouds: Clouds, image: Image, downloads: Path):
        self._clouds = clouds
        self._image = image
        self._downloads = downloads

    def steps(self) -> Iterator[Step]:
        """Yield the steps."""
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
        path = fetch(self._image.source, self._downloads, reporter)
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
    def _admin(self) -> Connection:
        return self._clouds.connect(CLOUD)
