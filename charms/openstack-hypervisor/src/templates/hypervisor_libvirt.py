"""Nova's libvirt driver, with config drives that survive block migration.

Block migration copies the disks that a guest can write. A config drive is a CD, so Nova makes an
empty file of its size at the destination and leaves it at that: a guest that boots there again
finds no metadata. Here the destination makes the drive anew, as Nova does for a new guest.

Out-of-tree driver: `compute.py` puts its folder where Nova looks for drivers. It may go when
Nova's own `pre_live_migration` fills the drive. Seen with Nova 34.0 and libvirt 9.0.
"""

import os

import nova.conf
from nova.api.metadata import base as instance_metadata
from nova.virt import configdrive, libvirt
from nova.virt.libvirt import utils as libvirt_utils

CONF = nova.conf.CONF


class LibvirtDriver(libvirt.LibvirtDriver):
    """Nova's driver for libvirt."""

    def pre_live_migration(
        self, context, instance, block_device_info, network_info, disk_info, migrate_data
    ):
        """Prepare the destination, config drive included."""
        prepared = super().pre_live_migration(
            context, instance, block_device_info, network_info, disk_info, migrate_data
        )
        is_local = not migrate_data.is_shared_instance_path and CONF.libvirt.images_type != "rbd"
        if is_local and configdrive.required_by(instance):
            folder = libvirt_utils.get_instance_path_at_destination(instance, migrate_data)
            metadata = instance_metadata.InstanceMetadata(instance, network_info=network_info)
            with configdrive.ConfigDriveBuilder(instance_md=metadata) as builder:
                builder.make_drive(os.path.join(folder, "disk.config"))
        return prepared
