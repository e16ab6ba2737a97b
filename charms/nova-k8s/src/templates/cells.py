"""Write the cells into the database of Nova's API: CONFIG CELLS.

CELLS is a JSON file, a list of `name`, `transport_url`, `database_connection` and, for cell 0,
`uuid`. A cell that is there already gets what the file says. Nova's own command takes addresses on
its command line, passwords included, where every process of the machine could read them.
"""

import json
import pathlib
import sys
import uuid
from typing import Any

# The service itself, which is in the container only.
from nova import monkey_patch  # pyright: ignore[reportAttributeAccessIssue]

monkey_patch.patch(backend="threading")

from nova import config, context, objects  # noqa: E402 # pyright: ignore[reportAttributeAccessIssue]


def write(admin: Any, cell: dict[str, str], known: dict[str, Any]) -> None:
    """Make one cell's mapping, or change it."""
    found = known.get(cell["name"])
    mapping = found or objects.CellMapping(admin, uuid=cell.get("uuid") or str(uuid.uuid4()))
    mapping.name = cell["name"]
    mapping.transport_url = cell["transport_url"]
    mapping.database_connection = cell["database_connection"]
    if found:
        mapping.save()
    else:
        mapping.create()


def main() -> None:
    """Make all mappings as the file says."""
    configuration, cells = sys.argv[1:]
    config.parse_args(["cells", "--config-file", configuration])
    objects.register_all()
    admin = context.get_admin_context()
    known = {each.name: each for each in objects.CellMappingList.get_all(admin)}
    for cell in json.loads(pathlib.Path(cells).read_text()):
        write(admin, cell, known)


if __name__ == "__main__":
    main()
