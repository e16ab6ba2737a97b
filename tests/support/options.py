"""Which oslo.config files the charms write, and which option lists know what is in them."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import yaml

from charmkit.service import Service

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class ConfigFile:
    """An oslo.config file of a process in a pod.

    Attributes:
        application: The application; also the container.
        path: Where the file stands.
        namespaces: The option lists.
        dynamic_groups: Groups whose options no list knows.
    """

    application: str
    path: str
    namespaces: tuple[str, ...]
    dynamic_groups: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        """Give the arguments of oslo-config-validator, without the file's own."""
        lists = [word for name in self.namespaces for word in ("--namespace", name)]
        # Of this one the validator knows by itself that a plug-in adds options.
        others = [name for name in self.dynamic_groups if name != "keystone_authtoken"]
        return lists + [word for name in others for word in ("--exclude-group", name)]


def config_files() -> list[ConfigFile]:
    """Give every such file of the applications that a bootstrap deploys, sorted."""
    manifest = yaml.safe_load((ROOT / "bundles/manifest.yaml").read_text())
    found = [
        ConfigFile(service.name, file.path, file.namespaces, file.dynamic_groups)
        for entry in manifest["applications"].values()
        if "to" not in entry and entry.get("feature") != "optional"
        for service in _services(entry["charm"])
        for process in service.processes
        for file in process.files
        if file.namespaces
    ]
    return sorted(set(found), key=lambda each: each.path)


def _services(charm: str) -> list[Service]:
    source = ROOT / "charms" / charm / "src"
    siblings = [path.stem for path in source.glob("*.py") if path.stem != "charm"]
    # Modules of charms have the services' names, and another charm may have one of the same name.
    before = {name: sys.modules.pop(name, None) for name in siblings}
    sys.path.insert(0, str(source))
    try:
        spec = importlib.util.spec_from_file_location(f"options of {charm}", source / "charm.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(source))
        for name in siblings:
            sys.modules.pop(name, None)
            if module_before := before[name]:
                sys.modules[name] = module_before
    return [each for each in vars(module).values() if isinstance(each, Service)]
