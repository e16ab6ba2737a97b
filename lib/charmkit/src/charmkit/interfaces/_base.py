"""What the interface modules share: wire models over databags, and the form of their test data."""

import dataclasses
import json
import typing
from collections.abc import Mapping

from charmkit.spec import Bag, BagValue, Publication, Publish, SecretContent, Snapshot

T = typing.TypeVar("T")


def key(name: str) -> typing.Any:
    """Declare an optional field of a wire model whose databag key is `name`."""
    return dataclasses.field(default=None, metadata={"key": name})


def _key(field: "dataclasses.Field[typing.Any]") -> str:
    return field.metadata.get("key", field.name.replace("_", "-"))


def parse(model: type[T], bag: Bag) -> T:
    """Read a wire model from a bag.

    Args:
        model: A dataclass whose fields are `str | None = None`. A field's databag key is its name
            with `-` for `_`, or what `key()` says.
        bag: The databag. Unknown keys are ignored; an empty value counts as missing.
    """
    fields = dataclasses.fields(typing.cast("typing.Any", model))
    return model(**{field.name: bag.get(_key(field)) or None for field in fields})


def dump(value: object) -> dict[str, BagValue]:
    """Give the bag that a wire model stands for; a field that is None takes its key away."""
    fields = dataclasses.fields(typing.cast("typing.Any", value))
    return {_key(field): getattr(value, field.name) for field in fields}


def ask(snapshot: Snapshot, endpoint: str, wanted: object) -> Publication | None:
    """Give a requirer's request: `wanted`, a wire model, in our application's bag.

    None if the endpoint is not integrated.
    """
    relation = snapshot.relation(endpoint)
    if relation is None:
        return None
    return Publication(bags=(Publish(relation_id=relation.id, app=dump(wanted)),))


def answer(model: type[T], snapshot: Snapshot, endpoint: str) -> T:
    """Read what the provider has told a requirer; an empty model if there is none (yet)."""
    relation = snapshot.relation(endpoint)
    return parse(model, relation.remote_app if relation else {})


def from_json(text: str | None) -> typing.Any:
    """Give the JSON value of a databag entry, or None if it is missing or no JSON.

    A remote charm that writes nonsense is reported as `waiting for data`, not as our failure.
    """
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def texts(text: str | None) -> frozenset[str]:
    """Give the entries of a JSON list of texts; none if it is something else."""
    value = from_json(text)
    items = typing.cast("list[object]", value) if isinstance(value, list) else []
    return frozenset(item for item in items if isinstance(item, str))


def to_json(value: object) -> str:
    """Give JSON text that is the same for the same value, so that no equal write is a change."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteSide:
    """Test data of an interface: what the other end has published.

    Attributes:
        app_bag: The remote application's bag.
        unit_bag: The bag of each remote unit.
        secrets: URI → content of the secrets which the bags name and which we may read.
    """

    app_bag: Bag = dataclasses.field(default_factory=dict[str, str])
    unit_bag: Bag = dataclasses.field(default_factory=dict[str, str])
    secrets: Mapping[str, SecretContent] = dataclasses.field(
        default_factory=dict[str, SecretContent], repr=False
    )
