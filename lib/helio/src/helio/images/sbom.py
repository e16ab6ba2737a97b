"""A bill of materials of a built image, in CycloneDX: what dpkg and Python say is inside."""

import email.parser
import json
import re
from collections.abc import Iterable
from pathlib import Path

_METADATA = "**/*.dist-info/METADATA"
# Where an image keeps Python packages that no distribution package owns.
_PYTHON_ROOTS = ("opt",)


def read_sbom(root: Path, name: str, version: str, distro: str) -> str:
    """Return the bill of materials of a mounted image.

    Args:
        root: The image's file system.
        name: Name of the image.
        version: Its tag.
        distro: ID of the distribution, the name space of its packages.
    """
    status = (root / "var/lib/dpkg/status").read_text(encoding="utf-8")
    metadata = (
        path.read_text(encoding="utf-8")
        for folder in _PYTHON_ROOTS
        for path in (root / folder).glob(_METADATA)
    )
    return sbom(name, version, [*debian_components(status, distro), *python_components(metadata)])


def sbom(name: str, version: str, components: Iterable[dict[str, object]]) -> str:
    """Return CycloneDX 1.5 as JSON; the same components always give the same text."""
    # A package may carry a copy of another one; each stands in the bill once.
    unique = {str(entry["purl"]): entry for entry in components}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "version": version}},
        "components": [unique[purl] for purl in sorted(unique)],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def debian_components(status: str, distro: str) -> Iterable[dict[str, object]]:
    """Yield a component for each installed package of a dpkg status file."""
    for stanza in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:deb/{distro}/{name}@{_quote(version)}?arch={fields['Architecture']}"
            yield _component(name, version, purl, None)


def python_components(metadata: Iterable[str]) -> Iterable[dict[str, object]]:
    """Yield a component for each installed Python package, from its METADATA files."""
    for text in metadata:
        fields = email.parser.HeaderParser().parsestr(text)
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
        version = fields["Version"]
        yield _component(
            name,
            version,
            f"pkg:pypi/{name}@{_quote(version)}",
            fields["License-Expression"] or _one_line(fields["License"]),
        )


def _component(name: str, version: str, purl: str, licence: str | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl,
        "bom-ref": purl,
    }
    if licence:
        entry["licenses"] = [{"license": {"name": licence}}]
    return entry


def _one_line(licence: str | None) -> str | None:
    """Return a licence's name; packages that put the whole text in the field say no name."""
    return licence if licence and "\n" not in licence and len(licence) < 100 else None


def _quote(version: str) -> str:
    """Return a version as a purl writes it."""
    return version.replace("+", "%2B").replace(":", "%3A").replace("~", "~")
