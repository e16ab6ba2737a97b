"""What a new cloud needs before somebody can boot an instance: the steps of `helio configure`.

Each step looks into the cloud for one thing and makes it where it is missing or different, so a
second run changes nothing. What belongs to the demo user is made with the demo user's account.
"""

import dataclasses

from helio.demo.account import MakeKey, Project, import_key
from helio.demo.catalogue import Catalogue, Image
from helio.demo.networks import Networks
from helio.host import Host
from helio.sdk import Clouds
from helio.settings import Settings
from helio.steps import Step


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


def steps(clouds: Clouds, wanted: Wanted, host: Host) -> list[Step]:
    """Return the way to a cloud in which instances can be booted.

    Args:
        clouds: Connections; gets the demo user's account.
        wanted: What there shall be.
        host: Keeps the demo user's credentials and key.
    """
    settings = wanted.settings
    return [
        *Project(clouds, settings, host).steps(),
        *Catalogue(clouds, wanted.image, settings.cache / "downloads").steps(),
        *Networks(clouds, settings.external_subnet, wanted.resolvers).steps(),
        MakeKey(settings),
        import_key(clouds, settings, host),
    ]
