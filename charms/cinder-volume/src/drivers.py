"""The storage that a volume service can drive: a table. What is not in it can be told as `other`.

Source: Cinder's driver documentation, and the option lists of the release.
"""

import dataclasses
import typing
from collections.abc import Mapping

Kind = typing.Literal["text", "integer", "boolean", "list"]
Transport = typing.Literal["fc", "iscsi", "nfs", "nvme", "rbd"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What operators say about a backend.

    Attributes:
        name: The key in the option `backends`, or in the secret.
        option: The option of Cinder that it sets; "" if a file of ours has it instead.
        kind: What its value is.
        required: Whether it must be there.
        is_secret: Whether it stands in the backend's secret and nowhere else.
    """

    name: str
    option: str
    kind: Kind = "text"
    required: bool = False
    is_secret: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Driver:
    """A driver of Cinder.

    Attributes:
        name: What operators call it.
        path: Its class.
        settings: What operators may say.
        fixed: Options of Cinder that are always so.
        transports: How a machine reaches its volumes, a hypervisor or our own when it copies an
            image. For each of them a hypervisor has a client.
        packages: Packages of the distribution that it needs and that are not always there, those
            by which our own machine opens its volumes among them.
        kernel: Modules of the host's kernel without which it cannot work.
        modules: Python modules that it needs and that Cinder itself does not bring.
    """

    name: str
    path: str
    settings: tuple[Setting, ...] = ()
    fixed: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    transports: tuple[Transport, ...] = ()
    packages: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


_V = "cinder.volume.drivers"
_SAN = (
    Setting(name="address", option="san_ip", required=True),
    Setting(name="login", option="san_login", required=True),
    Setting(name="password", option="san_password", required=True, is_secret=True),
    Setting(name="thin", option="san_thin_provision", kind="boolean"),
)

CEPH = Driver(name="ceph", path=f"{_V}.rbd.RBDDriver", transports=("rbd",))
"""Ceph comes by integration and not by the option."""

OTHER = Driver(name="other", path="")
"""Any class of Cinder's, with its options by their own names."""

DRIVERS: Mapping[str, Driver] = {
    each.name: each
    for each in (
        Driver(
            name="lvm",
            path=f"{_V}.lvm.LVMVolumeDriver",
            settings=(
                Setting(name="volume-group", option="volume_group", required=True),
                Setting(name="type", option="lvm_type"),
                Setting(name="address", option="target_ip_address"),
            ),
            fixed={"target_helper": "tgtadm", "target_protocol": "iscsi"},
            transports=("iscsi",),
            # Volumes are thin where the tools for that are; lvm2 only recommends them.
            packages=("lvm2", "open-iscsi", "tgt", "thin-provisioning-tools"),
            kernel=("dm_mod",),
        ),
        Driver(
            name="nfs",
            path=f"{_V}.nfs.NfsDriver",
            settings=(
                Setting(name="shares", option="", kind="list", required=True),
                Setting(name="mount-options", option="nfs_mount_options"),
                Setting(name="qcow2", option="nfs_qcow2_volumes", kind="boolean"),
                Setting(name="snapshots", option="nfs_snapshot_support", kind="boolean"),
            ),
            fixed={"nas_secure_file_operations": "auto", "nas_secure_file_permissions": "auto"},
            transports=("nfs",),
            kernel=("nfs",),
        ),
        Driver(
            name="netapp-ontap",
            path=f"{_V}.netapp.common.NetAppDriver",
            settings=(
                Setting(name="address", option="netapp_server_hostname", required=True),
                Setting(name="svm", option="netapp_vserver", required=True),
                Setting(name="login", option="netapp_login", required=True),
                Setting(name="password", option="netapp_password", required=True, is_secret=True),
                Setting(name="protocol", option="netapp_storage_protocol", required=True),
                Setting(name="pools", option="netapp_pool_name_search_pattern"),
                Setting(name="port", option="netapp_server_port", kind="integer"),
            ),
            fixed={"netapp_storage_family": "ontap_cluster", "netapp_transport_type": "https"},
            transports=("fc", "iscsi", "nfs", "nvme"),
            packages=("nvme-cli", "open-iscsi"),
        ),
        Driver(
            name="powerstore",
            path=f"{_V}.dell_emc.powerstore.driver.PowerStoreDriver",
            settings=(
                *_SAN,
                Setting(name="protocol", option="storage_protocol"),
                Setting(name="ports", option="powerstore_ports", kind="list"),
            ),
            transports=("fc", "iscsi", "nvme"),
            packages=("nvme-cli", "open-iscsi"),
        ),
        Driver(
            name="pure",
            path=f"{_V}.pure.PureISCSIDriver",
            settings=(
                Setting(name="address", option="san_ip", required=True),
                Setting(name="api-token", option="pure_api_token", required=True, is_secret=True),
                Setting(
                    name="eradicate-on-delete", option="pure_eradicate_on_delete", kind="boolean"
                ),
            ),
            fixed={"use_chap_auth": "true"},
            transports=("iscsi",),
            packages=("open-iscsi",),
            modules=("pypureclient",),
        ),
        Driver(
            name="solidfire",
            path=f"{_V}.solidfire.SolidFireDriver",
            settings=(
                *_SAN,
                Setting(name="account-prefix", option="sf_account_prefix"),
                Setting(name="port", option="sf_api_port", kind="integer"),
            ),
            transports=("iscsi",),
            packages=("open-iscsi",),
        ),
        OTHER,
    )
}
