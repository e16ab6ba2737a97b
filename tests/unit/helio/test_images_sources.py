from pathlib import Path

import pytest

from helio.images import Distro
from helio.images.sources import (
    apt_options,
    apt_sources,
    parse_os_release,
    pip_conf,
    read_index,
    uv_toml,
)

BOOKWORM = Distro(
    key="debian12",
    id="debian",
    version="12",
    suite="bookworm",
    python="3.11",
    components=("main",),
    keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    archives={
        "debian": ("bookworm", "bookworm-updates"),
        "debian-security": ("bookworm-security",),
    },
)


def uris(text: str) -> dict[str, str]:
    """Return archive to suites of deb822 text."""
    lines = text.splitlines()
    return {
        line.removeprefix("URIs: "): lines[number + 1].removeprefix("Suites: ")
        for number, line in enumerate(lines)
        if line.startswith("URIs: ")
    }


def test_without_host_sources_only_the_public_archive_is_left():
    assert apt_sources(BOOKWORM, ()) is None
    assert apt_sources(BOOKWORM, ["deb http://near.example/debian bookworm-updates main"]) is None


def test_the_hosts_mirror_is_taken_from_deb822():
    host = "Types: deb deb-src\nURIs: http://near.example/debian\nSuites: bookworm\n"

    assert uris(apt_sources(BOOKWORM, [host])) == {"http://near.example/debian": "bookworm"}


def test_the_hosts_mirror_is_taken_from_one_line_sources():
    host = (
        "# a comment\n"
        "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://near.example/debian bookworm main contrib\n"
        "deb http://near.example/debian bookworm-updates main\n"
        "deb-src http://near.example/debian bookworm main\n"
    )

    assert uris(apt_sources(BOOKWORM, [host])) == {
        "http://near.example/debian": "bookworm bookworm-updates"
    }


@pytest.mark.parametrize(
    "foreign",
    [
        "Types: deb\nURIs: http://vendor.example\nSuites: nodistro\nComponents: main\n",
        "Types: deb\nURIs: http://vendor.example\nSuites: bookworm\nSigned-By: /k/vendor.gpg\n",
        "deb [signed-by=/k/vendor.gpg] http://vendor.example bookworm main\n",
        "Types: deb-src\nURIs: http://vendor.example\nSuites: bookworm\n",
        "Types: deb\nURIs: http://vendor.example\nSuites: bookworm\nEnabled: no\n",
    ],
)
def test_other_archives_of_the_host_are_left_out(foreign):
    own = "deb http://near.example/debian bookworm main\n"

    assert apt_sources(BOOKWORM, [foreign]) is None
    assert apt_sources(BOOKWORM, [own, foreign]) == apt_sources(BOOKWORM, [own])


def test_a_given_mirror_goes_before_the_hosts():
    host = "deb http://near.example/debian bookworm main\n"

    given = apt_sources(BOOKWORM, [host], "http://given.example/")

    assert uris(given) == {
        "http://given.example/debian": "bookworm bookworm-updates",
        "http://given.example/debian-security": "bookworm-security",
    }
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in given


def test_apt_options_about_the_way_to_the_archive_are_kept():
    dump = (
        'APT::Architecture "amd64";\n'
        'Acquire::Check-Valid-Until "false";\n'
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::CaInfo "/private.pem";\n'
        'Acquire::cdrom::mount "/media/cdrom/";\n'
        'DPkg::Post-Invoke:: "rm -f x";\n'
    )

    assert apt_options(dump) == (
        'Acquire::Check-Valid-Until "false";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
    )


def test_the_environments_index_goes_before_the_files():
    conf = "[global]\nindex-url = https://file.example/simple\n"

    assert read_index({"PIP_INDEX_URL": "https://env.example"}, conf)[0] == "https://env.example"
    assert read_index({}, conf)[0] == "https://file.example/simple"
    assert read_index({}, "") == (None, ())


def test_folders_of_wheels_are_never_carried_into_a_build():
    index, extra = read_index({"PIP_FIND_LINKS": "/wheels"}, "[global]\nfind-links = /wheels\n")

    assert "wheels" not in pip_conf(index, extra) + uv_toml(index, extra)


def test_a_percent_sign_in_an_index_survives():
    index = "https://user:a%2Fb@index.example/simple"

    assert f"index-url = {index}" in pip_conf(index, ())
    assert f'url = "{index}"\ndefault = true' in uv_toml(index, ())


def test_additional_indexes_are_named_to_both_installers():
    _, extra = read_index({"PIP_EXTRA_INDEX_URL": "https://a.example https://b.example"}, "")

    assert "extra-index-url = https://a.example https://b.example" in pip_conf(None, extra)
    assert uv_toml(None, extra).count("[[index]]") == 2
    assert "default" not in uv_toml(None, extra)


def test_os_release_is_read_with_and_without_quotes():
    assert parse_os_release('ID=debian\nVERSION_ID="12"\n\n') == {
        "ID": "debian",
        "VERSION_ID": "12",
    }
