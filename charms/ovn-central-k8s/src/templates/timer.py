"""Sets the election timer of the databases' clusters that this unit leads.

usage: timer.py MILLISECONDS

Only the member that leads a cluster can, so every unit runs this.
"""

import sys
import time

import cluster


def main(wanted: int) -> None:
    """Bring the timers to what is wanted.

    A cluster takes at most twice what it has, so that nobody is elected meanwhile.
    """
    for database in cluster.DATABASES.values():
        end = time.monotonic() + cluster.PATIENCE
        while (seen := cluster.status(database)).leads and seen.timer != wanted:
            if time.monotonic() > end:
                raise cluster.ToolError(f"that of {database.name} stays {seen.timer}")
            step = min(wanted, seen.timer * 2)
            cluster.command(database, "change-election-timer", str(step))
            time.sleep(0.5)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except cluster.ToolError as error:
        sys.exit(f"cannot set the election timer: {error}")
