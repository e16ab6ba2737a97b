"""What the engine itself runs, shown as the objects that Juju would have made of it."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any

from localjuju import identity
from localjuju.kubernetes._objects import KINDS, Data, Kind, shown
from localjuju.model import Application, Life, Model, Unit

NODE = "localhost"
NAME_LABEL = "app.kubernetes.io/name"
_POD_LABEL = "statefulset.kubernetes.io/pod-name"
_STATEFUL_SETS = KINDS["apps", "v1", "statefulsets"]
# What Juju lets a service have as long as the charm has opened no port.
_PLACEHOLDER = {"name": "placeholder", "port": 65535, "targetPort": 65535, "protocol": "TCP"}


def timestamp(seconds: float) -> str:
    """Return a time as Kubernetes writes it."""
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def labels_of(app: str) -> dict[str, str]:
    """Return the labels of all that belongs to an application."""
    return {NAME_LABEL: app, "app.kubernetes.io/managed-by": "juju"}


def _uid(model: Model, *parts: object) -> str:
    return str(uuid.uuid5(identity.NAMESPACE, "/".join(map(str, (model.uuid, *parts)))))


def _object(model: Model, kind: str, name: str, app: Application, *life: object) -> Data:
    api_version = "apps/v1" if kind == "StatefulSet" else "v1"
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": model.name,
            "uid": _uid(model, kind, name, app.created, *life),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": timestamp(app.created),
            "labels": labels_of(app.name),
        },
    }


def services(model: Model) -> dict[str, Data]:
    """Return two services for each application: its address, and the name of its units."""
    found: dict[str, Data] = {}
    for app in model.applications.values():
        address = app.service_address
        selector = {NAME_LABEL: app.name}
        found[app.name] = {
            **_object(model, "Service", app.name, app),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": address,
                "clusterIPs": [address] if address else [],
                "selector": selector,
                "ports": _ports(model, app) or [_PLACEHOLDER],
            },
            "status": {"loadBalancer": {}},
        }
        name = f"{app.name}-endpoints"
        found[name] = {
            **_object(model, "Service", name, app),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": selector,
            },
            "status": {"loadBalancer": {}},
        }
    return found


def _ports(model: Model, app: Application) -> list[Data]:
    opened = {
        port
        for unit in model.units_of(app.name)
        for ports in unit.opened_ports.values()
        for port in ports
    }
    found: list[Data] = []
    for text in sorted(opened):
        number, _, protocol = text.partition("/")
        if number.isdigit():
            found.append(
                {
                    "name": text.replace("/", "-"),
                    "port": int(number),
                    "targetPort": int(number),
                    "protocol": protocol.upper(),
                }
            )
    return found


def _containers(model: Model, app: Application) -> list[Data]:
    charm = model.charm_of(app.name)
    found: list[Data] = [{"name": "charm", "image": "charm-base", "resources": {}}]
    for container in charm.containers.values():
        resource = app.resources.get(container.resource or "")
        image = resource.value if resource is not None else ""
        found.append({"name": container.name, "image": image, "resources": {}})
    return found


def statefulsets(model: Model) -> dict[str, Data]:
    """Return one stateful set for each application, rolled out and ready."""
    found: dict[str, Data] = {}
    for app in model.applications.values():
        revision = f"{app.name}-{app.charm_modified}"
        found[app.name] = {
            **_object(model, "StatefulSet", app.name, app),
            "spec": {
                "replicas": app.scale,
                "serviceName": f"{app.name}-endpoints",
                "selector": {"matchLabels": {NAME_LABEL: app.name}},
                "template": {
                    "metadata": {"labels": {NAME_LABEL: app.name}},
                    "spec": {
                        "serviceAccountName": app.name,
                        "containers": _containers(model, app),
                    },
                },
            },
            "status": {
                "observedGeneration": 1,
                "replicas": app.scale,
                "readyReplicas": sum(u.pod_ready for u in model.units_of(app.name)),
                "availableReplicas": sum(u.pod_ready for u in model.units_of(app.name)),
                "currentReplicas": app.scale,
                "updatedReplicas": app.scale,
                "currentRevision": revision,
                "updateRevision": revision,
            },
        }
    return found


def pods(model: Model) -> dict[str, Data]:
    """Return one pod for each unit, with the containers of its stateful set as it is now."""
    sets = statefulsets(model)
    found: dict[str, Data] = {}
    for unit in model.units.values():
        app = model.applications[unit.app]
        whole = shown(_STATEFUL_SETS, model, app.name, sets[app.name]) or {}
        name = unit.name.replace("/", "-")
        pod = _object(model, "Pod", name, app, unit.pod_generation)
        pod["metadata"]["labels"] |= {
            _POD_LABEL: name,
            "apps.kubernetes.io/pod-index": str(unit.ordinal),
            "controller-revision-hash": f"{app.name}-{app.charm_modified}",
        }
        containers: list[Data] = whole["spec"]["template"]["spec"]["containers"]
        pod["spec"] = {
            "hostname": name,
            "subdomain": f"{app.name}-endpoints",
            "serviceAccountName": app.name,
            "nodeName": NODE,
            "containers": containers,
        }
        pod["status"] = _pod_status(unit, app, containers)
        found[name] = pod
    return found


def _pod_status(unit: Unit, app: Application, containers: list[Data]) -> Data:
    ready = unit.pod_ready and unit.life is Life.ALIVE
    word = "True" if ready else "False"
    conditions = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running" if unit.pod_ready else "Pending",
        "podIP": unit.address,
        "podIPs": [{"ip": unit.address}] if unit.address else [],
        "startTime": timestamp(app.created),
        "conditions": [{"type": name, "status": word} for name in conditions],
        "containerStatuses": [
            {
                "name": item["name"],
                "image": item.get("image", ""),
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
            }
            for item in containers
        ],
    }


def namespaces(model: Model) -> dict[str, Data]:
    """Return the model's own namespace: others are nobody's business."""
    return {
        model.name: {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": model.name,
                "uid": model.uuid,
                "resourceVersion": "1",
                "creationTimestamp": timestamp(model.created),
                "labels": {
                    "app.kubernetes.io/managed-by": "juju",
                    "kubernetes.io/metadata.name": model.name,
                    "model.juju.is/name": model.name,
                },
                "annotations": {"model.juju.is/id": model.uuid},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
    }


def nodes(model: Model) -> dict[str, Data]:
    """Return the one node: this host."""
    return {
        NODE: {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": NODE,
                "uid": _uid(model, "Node"),
                "resourceVersion": "1",
                "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"},
            },
            "spec": {},
            "status": {
                "addresses": [{"type": "Hostname", "address": NODE}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    }


_DERIVED: dict[str, Callable[[Model], dict[str, Any]]] = {
    "services": services,
    "statefulsets": statefulsets,
    "pods": pods,
    "namespaces": namespaces,
    "nodes": nodes,
}


def derived(kind: Kind, model: Model) -> dict[str, Data]:
    """Return the objects of a kind that the engine itself has, by name."""
    make = _DERIVED.get(kind.plural)
    return make(model) if make is not None else {}
