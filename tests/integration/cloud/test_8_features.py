"""What a cloud can do without goes and comes back; what is in no bundle joins by Juju alone."""

import json
import re

import pytest
from cloudtest import wait_for

from helio import bundle, bundlefile, images, packing
from helio.host import LocalHost
from helio.plan import read_base
from helio.tree import find_tree


@pytest.mark.long
def test_the_dashboard_goes_and_comes_back(configured):
    configured.helio("disable", "horizon", "--yes")
    assert "horizon" not in configured.juju.status().apps
    configured.helio("enable", "horizon")
    configured.settle()
    shown = json.loads(configured.helio("dashboard", "--format", "json"))
    assert shown["url"].startswith("https://")
    assert shown["password"] == configured.clouds["auth"]["password"]


# What the page for operators says, as it stands there.
EXTEND = (find_tree().root / "docs/how-to/extend.md").read_text()
HEAT = re.findall(r"juju integrate (heat:\S+) (\S+:\S+)", EXTEND)
TEMPLATE = {
    "heat_template_version": "2018-08-31",
    "resources": {
        "word": {"type": "OS::Heat::RandomString", "properties": {"length": 12}},
        "net": {"type": "OS::Neutron::Net", "properties": {"name": "from-heat"}},
        # Makes a project and a user in Heat's domain, and a token of that user.
        "handle": {"type": "OS::Heat::WaitConditionHandle"},
    },
    "outputs": {"word": {"value": {"get_attr": ["word", "value"]}}},
}
MANAGER = ("domain", "heat", "heat_domain_admin", "manager")


def access(admin):
    """Return which of Heat's account and domain are enabled."""
    (user,) = admin.identity.users(name="svc_heat")
    domain = admin.identity.find_domain("heat", ignore_missing=False)
    return {user.name: user.is_enabled, domain.name: domain.is_enabled}


def assignments(admin, domain):
    """Return who has which role in a domain: what on, its name, the user and the role."""
    found: list[tuple[str, str, str, str]] = []
    for each in admin.identity.role_assignments(include_names=True):
        ((kind, where),) = each.scope.items()
        if domain in (where.get("name"), where.get("domain", {}).get("name")):
            found.append((kind, where["name"], each.user["name"], each.role["name"]))
    return sorted(found)


def catalogue(admin, kind):
    """Return the URLs of a service by interface."""
    (service,) = admin.identity.services(type=kind)
    endpoints = admin.identity.endpoints(service_id=service.id)
    return {each.interface: each.url for each in endpoints}


@pytest.mark.long
def test_heat_joins_by_juju_alone_serves_and_leaves(configured, learn):
    tree, juju = find_tree(), configured.juju
    release, base = bundlefile.read_release(tree), read_base(LocalHost())
    references = images.load(tree.root).references(base.name.replace("-", ""))
    configured.helio("pack", "heat-k8s", "--base", base.name)
    juju.deploy(
        packing.charm_file(tree, "heat-k8s", base, release.manifest.arch),
        "heat",
        resources=bundle.resources(release.manifest, release.charms["heat-k8s"], references),
    )
    assert len(HEAT) == len(release.charms["heat-k8s"]["requires"]) - 1, "all but one URL"
    for pair in HEAT:
        juju.integrate(*pair)
    configured.settle()
    admin = configured.sdk()
    assert access(admin) == {"svc_heat": True, "heat": True}
    assert assignments(admin, "heat") == [MANAGER]
    services = assignments(admin, "service_domain")
    assert ("project", "services", "svc_heat", "service") in services
    assert {(kind, where, role) for kind, where, _, role in services} == {
        ("project", "services", "service")
    }
    urls = catalogue(admin, "orchestration")
    assert set(urls) == {"public", "internal", "admin"}
    demo = configured.sdk("demo")
    stack = demo.orchestration.create_stack(name="try", template=TEMPLATE)

    def ready() -> bool:
        status = demo.orchestration.get_stack(stack.id).status
        assert status != "CREATE_FAILED"
        return status == "CREATE_COMPLETE"

    wait_for(ready, 300, "the stack is complete")
    assert demo.network.find_network("from-heat")
    assert len(demo.orchestration.get_stack(stack.id).outputs[0]["output_value"]) == 12
    manager, (kind, where, _, role) = assignments(admin, "heat")
    assert (manager, kind, role) == (MANAGER, "project", "heat_stack_user")
    # Heat names it after the owner's project and the stack, and cuts that to 64 characters.
    assert f"{demo.current_project_id}-{stack.id}".startswith(where)
    demo.orchestration.delete_stack(stack.id)
    wait_for(lambda: not demo.network.find_network("from-heat"), 300, "the stack is gone")
    wait_for(lambda: assignments(admin, "heat") == [MANAGER], 300, "its user is gone, too")
    learn()  # its credentials are looked for when it is gone
    juju.remove_application("heat", destroy_storage=True)
    juju.wait(lambda status: "heat" not in status.apps, timeout=300)
    configured.settle()
    assert access(admin) == {"svc_heat": False, "heat": False}
    assert set(catalogue(admin, "orchestration")) == set(urls), "found again when it comes back"
