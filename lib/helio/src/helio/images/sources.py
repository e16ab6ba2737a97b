"""The host's settings for archives and package indexes, carried into builds, never into images.

A host may stand behind a mirror, a proxy or a private certificate authority. What it has set for
itself is handed to a build as files that exist only during a build step.
"""

import configparser
import dataclasses
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from helio.images.recipe import Distro

_SOURCES = Path("/etc/apt")
_OS_RELEASE = Path("/etc/os-release")
_CA = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP_CONF = (Path("/etc/pip.conf"), Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf"))

# Settings of apt that belong to a host's way to its archive. Certificates are not among them: the
# build gets the host's bundle in the usual place.
_APT_OPTION = re.compile(
    r"Acquire::(?:https?::(?:Proxy|No-Cache|Timeout)[\w:.-]*|ftp::Proxy[\w:.-]*|Retries"
    r'|Check-Valid-Until|Check-Date|ForceIPv[46]|Max-FutureTime) "[^"]*";'
)
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)")


@dataclasses.dataclass(frozen=True)
class Access:
    """How a build on this host reaches archives and indexes.

    Args:
        apt_sources: Content of a deb822 `.sources` file; None for the public archive.
        apt_options: Content of an apt.conf file, without certificates.
        pip_conf: Content of a pip.conf; empty for the public index.
        uv_toml: The same as uv's settings.
        ca: File with the certificate authorities to trust.
    """

    apt_sources: str | None
    apt_options: str
    pip_conf: str
    uv_toml: str
    ca: Path


def read_access(
    distro: Distro, apt_dump: str, environ: Mapping[str, str], mirror: str | None = None
) -> Access:
    """Read how this host reaches what a build needs.

    Args:
        distro: The distribution to be built.
        apt_dump: What `apt-config dump` prints; empty on a host without apt.
        environ: The environment, for the index and the certificates.
        mirror: Mirror to take instead of the host's and the public one.
    """
    release = parse_os_release(_OS_RELEASE.read_text(encoding="utf-8"))
    is_same = (release.get("ID"), release.get("VERSION_ID")) == (distro.id, distro.version)
    files = (_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*")))
    texts = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
    index, extra = read_index(environ, _read_pip_conf())
    return Access(
        apt_sources=apt_sources(distro, texts if is_same else (), mirror),
        apt_options=apt_options(apt_dump),
        pip_conf=pip_conf(index, extra),
        uv_toml=uv_toml(index, extra),
        ca=Path(environ.get("SSL_CERT_FILE") or _CA),
    )


def parse_os_release(text: str) -> dict[str, str]:
    """Return the keys of an os-release file."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}


def apt_sources(distro: Distro, host: Iterable[str], mirror: str | None = None) -> str | None:
    """Return a distribution's deb822 stanzas, or None where only the public archive is left.

    Args:
        distro: The distribution.
        host: Contents of the host's own source files if it runs this distribution; only stanzas
            of the distribution itself are taken from them, never those of other archives.
        mirror: URL of a mirror with the distribution's archives, used instead of the host's.
    """
    if mirror:
        base = mirror.rstrip("/")
        return _stanzas(distro, {f"{base}/{path}": s for path, s in distro.archives.items()})
    suites = {suite for names in distro.archives.values() for suite in names}
    found: dict[str, list[str]] = {}
    for text in host:
        for uri, names in (*_parse_deb822(text), *_parse_one_line(text)):
            found.setdefault(uri, []).extend(n for n in names if n in suites)
    own = {uri: list(dict.fromkeys(names)) for uri, names in found.items() if names}
    # Updates alone, without the release itself, bootstrap nothing.
    return _stanzas(distro, own) if any(distro.suite in names for names in own.values()) else None


def apt_options(dump: str) -> str:
    """Return those lines of `apt-config dump` that a build must share with its host."""
    return "".join(f"{line}\n" for line in dump.splitlines() if _APT_OPTION.fullmatch(line))


def read_index(environ: Mapping[str, str], conf: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the host's Python package index and its additional ones.

    Folders of ready-made wheels (find-links) are left out on purpose: an image takes what the
    lock names from an index, wherever it is built.

    Args:
        environ: The environment; it goes before the file, as in pip.
        conf: Content of the host's pip.conf.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(conf)
    index = (
        environ.get("UV_DEFAULT_INDEX")
        or environ.get("UV_INDEX_URL")
        or environ.get("PIP_INDEX_URL")
        or parser.get("global", "index-url", fallback=None)
    )
    extra = environ.get("PIP_EXTRA_INDEX_URL") or parser.get(
        "global", "extra-index-url", fallback=""
    )
    return index, tuple(extra.split())


def pip_conf(index: str | None, extra: Iterable[str]) -> str:
    """Return a pip.conf that names the indexes."""
    parser = configparser.ConfigParser(interpolation=None)
    parser["global"] = {
        **({"index-url": index} if index else {}),
        **({"extra-index-url": " ".join(extra)} if tuple(extra) else {}),
    }
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def uv_toml(index: str | None, extra: Iterable[str]) -> str:
    """Return settings for uv that name the indexes."""
    urls = [(url, False) for url in extra] + ([(index, True)] if index else [])
    return "".join(
        f'[[index]]\nurl = "{url}"\n' + ("default = true\n" if default else "")
        for url, default in urls
    )


def _read_pip_conf() -> str:
    paths = (path.expanduser() for path in _PIP_CONF)
    return next((path.read_text(encoding="utf-8") for path in paths if path.is_file()), "")


def _stanzas(distro: Distro, archives: Mapping[str, Iterable[str]]) -> str:
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {' '.join(suites)}\n"
        f"Components: {' '.join(distro.components)}\nSigned-By: {distro.keyring}\n"
        for uri, suites in archives.items()
    )


def _parse_deb822(text: str) -> Iterable[tuple[str, list[str]]]:
    """Yield archive and suites of each enabled stanza that the distribution has signed."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            key.lower(): value.split()
            for key, _, value in (
                line.partition(":") for line in stanza.splitlines() if not line.startswith("#")
            )
        }
        is_enabled = "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]
        if is_enabled and _is_distributions(fields.get("signed-by", [])):
            for uri in fields.get("uris", []):
                yield uri, fields.get("suites", [])


def _parse_one_line(text: str) -> Iterable[tuple[str, list[str]]]:
    for line in text.splitlines():
        if found := _ONE_LINE.fullmatch(line.strip()):
            options = {
                key: value
                for key, _, value in (
                    item.partition("=") for item in (found["options"] or "").split()
                )
            }
            if _is_distributions(options.get("signed-by", "").split(",")):
                yield found["uri"], found["rest"].split()[:1]


def _is_distributions(signed_by: list[str]) -> bool:
    """Return whether a source is signed by the distribution: apt's default, or its keyring."""
    names = [Path(name).name for name in signed_by if name]
    return all(re.match(r"(debian|ubuntu)-archive", name) for name in names)
