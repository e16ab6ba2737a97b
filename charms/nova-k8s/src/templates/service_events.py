"""Nova's API, in which services that tell of a server's events need not be administrators.

The policy of `os-server-external-events` wants the role `service` since Nova 34. But the API then
looks for the server with the rights of the caller, whose project is another one, and finds none:
it answers 404 for each event, and no server ever hears that its port is plugged. So the look, and
nothing else, is done with all rights; the policy was held against the caller before.

To go when Nova elevates the context itself.
"""

# It decides how the process runs, so it comes before any other part of Nova.
from nova.wsgi.osapi_compute import application  # isort: skip
from nova.api.openstack.compute import server_external_events

__all__ = ["application"]

_controller = server_external_events.ServerExternalEventsController
_find = _controller._get_instances_all_cells


def _find_with_all_rights(self, context, instance_uuids, instance_mappings):
    """Find the servers of events, whoever's they are."""
    return _find(self, context.elevated(), instance_uuids, instance_mappings)


_controller._get_instances_all_cells = _find_with_all_rights
