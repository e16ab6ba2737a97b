"""See that a pool of Ceph can be used with our key: CONFIG USER POOL.

It runs in the workload container, once for each cluster, before anything is kept there.
"""

import sys

import rados  # pyright: ignore[reportMissingImports] - it is in the container only


def main() -> None:
    """Connect, and open the pool."""
    config, user, pool = sys.argv[1:]
    cluster = rados.Rados(conffile=config, rados_id=user)
    cluster.connect(timeout=30)
    try:
        cluster.open_ioctx(pool).close()
    except rados.Error as error:
        raise SystemExit(f"cannot open the pool {pool} as client.{user}: {error}") from None
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
