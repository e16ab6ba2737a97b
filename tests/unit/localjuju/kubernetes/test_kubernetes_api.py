"""The real lightkube against the real server: objects, rights, tokens, certificates."""

from __future__ import annotations

import dataclasses
import json
import ssl
import stat
import urllib.error
import urllib.request

import pytest
from lightkube import ApiError
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod, Secret, Service
from lightkube.types import PatchType

from localjuju import wanted
from localjuju.kubernetes import Request, answer, balanced_ports, open_accounts
from localjuju.kubernetes._objects import KINDS, write
from localjuju.store import Store


def balancer(port: int = 5671, app: str = "web", target: int | None = None) -> Service:
    return Service(
        metadata=ObjectMeta(name="web-lb", labels={"made-by": "test"}),
        spec=ServiceSpec(
            type="LoadBalancer",
            selector={"app.kubernetes.io/name": app},
            ports=[ServicePort(name="p", port=port, targetPort=target or port)],
        ),
    )


def test_a_load_balancer_gets_the_address_of_the_application_that_it_selects(client, cluster):
    kube = client("web/0")
    applied = kube.apply(balancer())
    assert applied.status.loadBalancer.ingress[0].ip == "10.0.0.10"
    assert kube.get(Service, "web-lb").status.loadBalancer.ingress[0].ip == "10.0.0.10"
    assert cluster.stored == 1


def test_its_ports_are_forwarded_as_if_the_charm_had_opened_them(client, model):
    client("web/0").apply(balancer(5671))
    web = next(s for s in wanted.service_specs([model]) if s.app == "web")
    assert web.ports == ("5671/tcp", "80/tcp")


@pytest.mark.parametrize("service", [balancer(app="none"), balancer(80, target=8080)])
def test_a_load_balancer_that_cannot_be_has_no_address(client, model, service):
    assert not client("web/0").apply(service).status.loadBalancer.ingress
    assert balanced_ports(model) == {}


SERVICE = "/api/v1/namespaces/shop/services/web"


def spec_with(ports: object) -> dict[str, object]:
    return {"type": "LoadBalancer", "selector": {"app.kubernetes.io/name": "web"}, "ports": ports}


@pytest.mark.parametrize("port", [70000, 0, -1, True, "80", 80.5, None])
@pytest.mark.parametrize("verb", ["create", "patch", "apply"])
def test_a_port_that_is_none_is_refused_in_kubernetes_words(model, port, verb):
    body = {"spec": spec_with([{"port": 80}, {"port": port}])}
    request = {
        "create": Request("POST", SERVICE.removesuffix("/web"), {}, body=encoded(body, "lb")),
        "patch": Request("PATCH", SERVICE, {}, PatchType.MERGE.value, encoded(body)),
        "apply": Request(
            "PATCH", SERVICE, {"fieldManager": "me"}, PatchType.APPLY.value, encoded(body)
        ),
    }[verb]
    with pytest.raises(Exception) as caught:
        answer(model, model.applications["web"], request, 0.0)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert str(caught.value) == (
        f'Service "{"lb" if verb == "create" else "web"}" is invalid: spec.ports[1].port: '
        f"Invalid value: {json.dumps(port or 0)}: must be between 1 and 65535, inclusive"
    )
    assert model.objects == {}


def encoded(body: dict[str, dict[str, object]], name: str = "web") -> bytes:
    return json.dumps(body | {"metadata": {"name": name}}).encode()


@pytest.mark.parametrize("ports", ["80", ["80"], {"port": 80}])
def test_ports_that_are_no_list_of_objects_are_refused(model, ports):
    body = json.dumps({"spec": spec_with(ports)}).encode()
    request = Request("PATCH", SERVICE, {}, PatchType.MERGE.value, body)
    with pytest.raises(Exception, match=r"spec\.ports is no list of objects") as caught:
        answer(model, model.applications["web"], request, 0.0)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


@pytest.mark.parametrize("port", [70000, 0, True, "80", None])
def test_a_port_that_an_older_engine_has_stored_opens_nothing(model, port):
    body = {"spec": spec_with([{"port": port}])}
    write(KINDS["", "v1", "services"], model, "lb", body, None, now="")
    web = next(s for s in wanted.service_specs([model]) if s.app == "web")
    assert web.ports == ("80/tcp",)


def test_applying_the_same_again_changes_nothing(client, model):
    kube = client("web/0")
    first = kube.apply(balancer())
    before = json.dumps(model.objects)
    again = kube.apply(balancer())
    assert json.dumps(model.objects) == before
    assert (again.metadata.uid, again.metadata.resourceVersion) == (
        first.metadata.uid,
        first.metadata.resourceVersion,
    )


def test_what_a_manager_no_longer_applies_goes_and_what_others_applied_stays(client):
    kube = client("web/0")
    kube.apply(ConfigMap(metadata=ObjectMeta(name="c"), data={"a": "1", "b": "2"}))
    kube.apply(ConfigMap(metadata=ObjectMeta(name="c"), data={"z": "9"}), field_manager="other")
    kube.apply(ConfigMap(metadata=ObjectMeta(name="c"), data={"a": "1"}))
    assert kube.get(ConfigMap, "c").data == {"a": "1", "z": "9"}


def test_objects_are_made_listed_patched_and_deleted(client):
    kube = client("web/0")
    kube.create(Secret(metadata=ObjectMeta(name="s", labels={"k": "v"}), stringData={"x": "y"}))
    kube.create(Secret(metadata=ObjectMeta(name="t", labels={"k": "w"})))
    names = [found.metadata.name for found in kube.list(Secret, labels={"k": "v"})]
    assert names == ["s"]
    assert {o.metadata.name for o in kube.list(Secret, labels={"k": ["v", "w"]})} == {"s", "t"}
    kube.patch(
        Secret,
        "s",
        {"metadata": {"labels": {"k": None, "n": "1"}}},
        patch_type=PatchType.MERGE,
    )
    assert kube.get(Secret, "s").metadata.labels == {"n": "1"}
    kube.delete(Secret, "s")
    with pytest.raises(ApiError) as caught:
        kube.get(Secret, "s")
    assert (caught.value.status.code, caught.value.status.reason) == (404, "NotFound")
    assert caught.value.status.message == 'secrets "s" not found'


def test_what_exists_is_not_created_again(client):
    kube = client("web/0")
    kube.create(ConfigMap(metadata=ObjectMeta(name="c")))
    for thing in (
        ConfigMap(metadata=ObjectMeta(name="c")),
        Service(metadata=ObjectMeta(name="web")),
    ):
        with pytest.raises(ApiError) as caught:
            kube.create(thing)
        assert (caught.value.status.code, caught.value.status.reason) == (409, "AlreadyExists")


def test_the_engines_own_services_sets_and_pods_are_shown(client):
    kube = client("web/0")
    service = kube.get(Service, "web")
    assert (service.spec.clusterIP, service.spec.ports[0].port) == ("10.0.0.10", 80)
    assert kube.get(Service, "web-endpoints").spec.clusterIP == "None"
    pod = kube.get(Pod, "web-0")
    assert (pod.status.podIP, pod.status.phase) == ("10.0.1.7", "Running")
    assert [c.name for c in pod.spec.containers] == ["charm", "work"]
    assert kube.get(StatefulSet, "web").status.readyReplicas == 1
    assert kube.get(Namespace, "shop").metadata.name == "shop"
    assert [node.metadata.name for node in kube.list(Node)] == ["localhost"]
    assert {p.metadata.name for p in kube.list(Pod)} == {"web-0", "guest-0"}


def test_a_patch_of_the_own_set_is_kept_and_shown_as_rolled_out(client, model):
    kube = client("web/0")
    limits = {"limits": {"memory": "1Gi"}}
    kube.patch(
        StatefulSet,
        "web",
        {"spec": {"template": {"spec": {"containers": [{"name": "work", "resources": limits}]}}}},
    )
    found = kube.get(StatefulSet, "web")
    containers = {c.name: c for c in found.spec.template.spec.containers}
    assert containers["work"].resources.limits == {"memory": "1Gi"}
    assert containers["work"].image == "store/work:1"
    assert found.status.observedGeneration == found.metadata.generation
    pod = kube.get(Pod, "web-0")
    assert pod.spec.containers[1].resources.limits == {"memory": "1Gi"}


def test_the_own_service_can_become_a_load_balancer(client):
    kube = client("web/0")
    kube.patch(Service, "web", {"spec": {"type": "LoadBalancer"}}, patch_type=PatchType.MERGE)
    service = kube.get(Service, "web")
    assert service.status.loadBalancer.ingress[0].ip == "10.0.0.10"
    assert service.spec.ports[0].port == 80


def test_labels_of_a_pod_go_with_the_pod(client, model):
    kube = client("web/0")
    kube.patch(Pod, "web-0", {"metadata": {"labels": {"role": "primary"}}})
    assert [p.metadata.name for p in kube.list(Pod, labels={"role": "primary"})] == ["web-0"]
    model.units["web/0"].pod_generation += 1
    kube = client("web/0")
    assert list(kube.list(Pod, labels={"role": "primary"})) == []


def test_without_trust_one_may_look_and_not_write(client, model):
    kube = client("guest/0")
    assert kube.get(Pod, "guest-0").metadata.name == "guest-0"
    assert kube.get(Service, "web").spec.clusterIP == "10.0.0.10"
    with pytest.raises(ApiError) as caught:
        kube.apply(balancer())
    assert caught.value.status.code == 403
    assert caught.value.status.reason == "Forbidden"
    assert caught.value.status.message == (
        'services "web-lb" is forbidden: User "system:serviceaccount:shop:guest" cannot patch '
        'resource "services" in API group "" in the namespace "shop"'
    )
    for act in (
        lambda: kube.patch(Pod, "guest-0", {"metadata": {"labels": {"a": "b"}}}),
        lambda: kube.create(ConfigMap(metadata=ObjectMeta(name="c"))),
        lambda: kube.delete(Service, "web"),
        lambda: kube.get(StatefulSet, "guest"),
        lambda: list(kube.list(Secret)),
        lambda: list(kube.list(Node)),
    ):
        with pytest.raises(ApiError) as caught:
            act()
        assert caught.value.status.code == 403
    assert model.objects == {}
    model.applications["guest"].trust = True
    assert kube.apply(balancer()).metadata.name == "web-lb"


def test_other_namespaces_are_nobodys_business(client):
    kube = client("web/0")
    for act in (
        lambda: kube.get(Service, "x", namespace="other"),
        lambda: kube.get(Namespace, "other"),
        lambda: list(kube.list(Service, namespace="*")),
    ):
        with pytest.raises(ApiError) as caught:
            act()
        assert caught.value.status.code == 403


def test_a_wrong_token_is_unauthorized(client, model, served, tmp_path):
    folder = tmp_path / "web-0"
    kube = client("web/0")
    good = (folder / "token").read_text()
    claims, _, _ = good.partition(".")
    other = served.token(model, model.units["guest/0"]).partition(".")[2]
    for token in ("x", "a.b", "e30.e30", f"{claims}.{other}", f"{claims}."):
        kube = client("web/0")
        (folder / "token").write_text(token)  # read at the first request
        with pytest.raises(ApiError) as caught:
            kube.get(Service, "web")
        assert (caught.value.status.code, caught.value.status.reason) == (401, "Unauthorized")


def test_a_token_ends_with_the_pod_that_it_was_made_for(model, served):
    unit = model.units["web/0"]
    token = served.token(model, unit)
    assert served.holder(token, [model]) == (model, unit)
    unit.pod_generation += 1
    assert served.holder(token, [model]) is None
    assert served.holder(served.token(model, unit), [model]) == (model, unit)
    assert served.holder(served.token(model, unit), []) is None


def test_nobody_is_served_who_does_not_ask_in_tls(served):
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://{served.host}:{served.port}/api/v1/nodes", timeout=5)
    with pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(f"https://{served.host}:{served.port}/", timeout=5)
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


def test_keys_are_private_and_stay_over_a_restart(accounts, model):
    again = open_accounts(accounts.folder, accounts.host, accounts.port)
    unit = model.units["web/0"]
    assert again.holder(accounts.token(model, unit), [model]) == (model, unit)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in accounts.folder.iterdir()}
    assert modes == {0o600}
    authority = (accounts.folder / "ca.crt").read_bytes()
    moved = open_accounts(accounts.folder, "127.0.0.10", accounts.port)
    assert (moved.folder / "ca.crt").read_bytes() == authority


def test_what_is_not_there_is_refused_in_kubernetes_words(model):
    app = model.applications["web"]

    def refused(method: str, path: str, **more: object) -> tuple[int, str]:
        with pytest.raises(Exception) as caught:
            answer(model, app, Request(method, path, {}, **more), 0.0)
        return caught.value.code, caught.value.reason

    assert refused("GET", "/api/v1/namespaces/shop/gadgets") == (404, "NotFound")
    assert refused("GET", "/version") == (404, "NotFound")
    assert refused("PUT", "/api/v1/namespaces/shop/services/web") == (405, "MethodNotAllowed")
    assert refused("DELETE", "/api/v1/namespaces/shop/pods/web-0") == (405, "MethodNotAllowed")
    assert refused("PATCH", "/api/v1/nodes/localhost") == (405, "MethodNotAllowed")
    services = "/api/v1/namespaces/shop/services"
    patch = {"content_type": "application/json-patch+json", "body": b"{}"}
    assert refused("PATCH", f"{services}/web", **patch) == (415, "UnsupportedMediaType")
    assert refused("POST", services, body=b"{") == (400, "BadRequest")
    assert refused("POST", services, body=b'{"metadata": {"name": "A_B"}}') == (422, "Invalid")
    elsewhere = b'{"metadata": {"name": "a", "namespace": "other"}}'
    assert refused("POST", services, body=elsewhere) == (400, "BadRequest")
    assert model.objects == {}


@pytest.mark.parametrize(
    "value", ["2026-01-01", "!!set {a}", "!!binary aGk=", ".nan", "&a [*a]", "{2026-01-01: x}"]
)
def test_yaml_that_is_no_json_is_refused(model, value):
    body = f"metadata: {{name: c}}\ndata: {{key: {value}}}\n".encode()
    path = "/api/v1/namespaces/shop/configmaps/c"
    request = Request("PATCH", path, {"fieldManager": "me"}, PatchType.APPLY.value, body)
    with pytest.raises(Exception, match="the body cannot be read") as caught:
        answer(model, model.applications["web"], request, 0.0)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert model.objects == {}


def test_half_a_character_is_refused(model):
    request = Request(
        "POST",
        "/api/v1/namespaces/shop/configmaps",
        {},
        body=b'{"metadata": {"name": "c"}, "data": {"k": "\\ud800"}}',
    )
    with pytest.raises(Exception, match="the body cannot be read") as caught:
        answer(model, model.applications["web"], request, 0.0)
    assert caught.value.code == 400


def test_objects_are_stored_with_the_model_and_go_with_it(client, model, tmp_path):
    client("web/0").apply(balancer())
    store = Store(tmp_path / "engine.db")
    store.commit(model)
    store.close()
    store = Store(tmp_path / "engine.db")
    loaded = store.load()["shop"]
    assert loaded.objects == model.objects
    assert dataclasses.asdict(loaded) == dataclasses.asdict(model)
    store.delete(loaded)
    assert store.load() == {}
    store.close()
