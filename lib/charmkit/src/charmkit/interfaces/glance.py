"""`glance`: whether Glance, behind the endpoint `image-service`, can be used.

Its address stands in Keystone's catalogue; the wire format is that of `_readiness`.
"""

import dataclasses

from charmkit.interfaces import _readiness

Ready = _readiness.Ready
provider_side = _readiness.provider_side
requirer_side = _readiness.requirer_side


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer(_readiness.Requirer):
    """Wait for Glance."""

    endpoint: str = "image-service"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider(_readiness.Provider):
    """Tell clients whether Glance can be used."""

    endpoint: str = "image-service"
