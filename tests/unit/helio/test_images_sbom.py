import json

from helio.images.sbom import debian_components, python_components, read_sbom, sbom

STATUS = """Package: libssl3
Status: install ok installed
Architecture: amd64
Version: 1:3.0.17-1~deb12u2+b1
Description: a library
 with words: after a colon

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
KEYSTONE = "Metadata-Version: 2.4\nName: Key_stone\nVersion: 30.0.0\nLicense: Apache-2.0\n\nText\n"


def test_an_installed_debian_package_is_a_component():
    (component,) = debian_components(STATUS, "debian")

    assert component["name"] == "libssl3"
    assert component["version"] == "1:3.0.17-1~deb12u2+b1"
    assert component["purl"] == ("pkg:deb/debian/libssl3@1%3A3.0.17-1~deb12u2%2Bb1?arch=amd64")


def test_a_python_package_is_a_component_under_its_normal_name():
    (component,) = python_components([KEYSTONE])

    assert component["purl"] == "pkg:pypi/key-stone@30.0.0"
    assert component["licenses"] == [{"license": {"name": "Apache-2.0"}}]


def test_a_licence_text_is_not_taken_for_a_licences_name():
    text = "Name: a\nVersion: 1\nLicense: first line\n  second line\n\n"

    (component,) = python_components([text])

    assert "licenses" not in component


def test_a_python_package_without_licence_is_a_component_all_the_same():
    (component,) = python_components(["Name: a\nVersion: 1\n\n"])

    assert "licenses" not in component


def test_a_bill_does_not_depend_on_the_order_of_its_components():
    parts = [*debian_components(STATUS, "debian"), *python_components([KEYSTONE])]

    assert sbom("base", "1", parts) == sbom("base", "1", reversed(parts))


def test_a_package_that_is_there_twice_stands_in_the_bill_once():
    document = json.loads(sbom("base", "1", python_components([KEYSTONE, KEYSTONE])))

    assert len(document["components"]) == 1


def test_a_bill_is_read_from_a_file_system(tmp_path):
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    folder = tmp_path / "opt/openstack/lib/python3.11/site-packages/key_stone-30.0.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(KEYSTONE)

    document = json.loads(read_sbom(tmp_path, "openstack", "2026.2-debian12-abc", "debian"))

    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["version"] == "2026.2-debian12-abc"
    assert [part["name"] for part in document["components"]] == ["libssl3", "key-stone"]
