"""MariaDB: how it is sized, what SQL it is told, when its cluster is founded. Pure; no Juju.

SQL goes to the `mariadb` client on its standard input, as root over the server's socket. The
server knows root by the system user at the other end of that socket, so there is no root password.
"""

import dataclasses
import re
from collections.abc import Iterable

PORT = 3306
CONFIG = "/etc/mysql/helio/server.cnf"
CLIENT = ("mariadb", f"--defaults-file={CONFIG}", "--batch", "--raw", "--skip-column-names")
"""The client's command line; it prints bare values, tab and newline between them."""

PROFILES = ("small", "shared", "dedicated")

_MIB = 1 << 20
_SYSTEM_SCHEMAS = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
_SCHEMA = re.compile("[A-Za-z0-9_$-]{1,64}")


# --- size --------------------------------------------------------------------------------------


def buffer_pool(profile: str, memory: int) -> int:
    """Give the size of InnoDB's buffer pool in MiB.

    Args:
        profile: One of `PROFILES`.
        memory: The machine's memory in bytes.
    """
    share = {"small": 0, "shared": memory // 16, "dedicated": memory // 2}[profile]
    # The server resizes the pool to whole chunks of 128 MiB anyway.
    return max(share // _MIB // 128 * 128, 128)


# --- accounts ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Account:
    """An account and the schema that it may use."""

    name: str
    schema: str
    password: str = dataclasses.field(repr=False)


def refusal(schema: str) -> str | None:
    """Tell why a schema cannot have this name, or None."""
    if schema.lower() in _SYSTEM_SCHEMAS:
        return f"{schema} belongs to the server itself"
    if not _SCHEMA.fullmatch(schema):
        return f"{schema!r} is no name of 1 to 64 letters, digits, _, $ or -"
    return None


def accounts_sql(accounts: Iterable[Account], prefix: str) -> str:
    """Give the SQL after which exactly these accounts with the prefix exist, each with its schema.

    It may be run again at any time. Schemas are created in utf8mb3, for which OpenStack's tables
    are made: parts of them name that character set, the rest inherits the schema's, and foreign
    keys between the two need one and the same. Schemas are never dropped.

    Args:
        accounts: The accounts wanted.
        prefix: What the names of all our accounts begin with; others are left alone.

    Returns:
        Input for the client. It prints one JSON object: `version`, and `accounts`, a list.
    """
    wanted = tuple(accounts)
    lines = [line for account in wanted for line in _account_sql(account)]
    keep = ", ".join(_text(account.name) for account in wanted) or "''"
    ours = f"user LIKE {_text(_like(prefix) + '%')}"
    lines += [
        "DELIMITER //",
        "BEGIN NOT ATOMIC",
        f"FOR gone IN (SELECT user, host FROM mysql.user WHERE {ours} AND user NOT IN ({keep}))",  # noqa: S608 - quoted by _text
        "DO EXECUTE IMMEDIATE",
        "CONCAT('DROP USER IF EXISTS ', QUOTE(gone.user), '@', QUOTE(gone.host));",
        "END FOR;",
        "END//",
        "DELIMITER ;",
        "SELECT JSON_OBJECT('version', VERSION(), 'accounts',",
        f"(SELECT JSON_ARRAYAGG(user ORDER BY user) FROM mysql.user WHERE {ours}));",  # noqa: S608 - quoted by _text
    ]
    return "\n".join(lines) + "\n"


def _account_sql(account: Account) -> Iterable[str]:
    user = f"{_text(account.name)}@'%'"
    # In GRANT the name of a schema is a pattern; a backslash takes _ and % literally.
    pattern = _like(account.schema)
    yield (
        f"CREATE DATABASE IF NOT EXISTS {_name(account.schema)}"
        " CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci;"
    )
    yield f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY {_text(account.password)};"
    yield f"ALTER USER {user} IDENTIFIED BY {_text(account.password)};"
    yield f"GRANT ALL PRIVILEGES ON {_name(pattern)}.* TO {user};"
    yield "DELIMITER //"
    yield "BEGIN NOT ATOMIC"
    yield (
        f"FOR old IN (SELECT db FROM mysql.db WHERE user = {_text(account.name)}"  # noqa: S608 - quoted by _text
        f" AND db <> {_text(pattern)})"
    )
    yield (
        "DO EXECUTE IMMEDIATE CONCAT('REVOKE ALL PRIVILEGES ON `', REPLACE(old.db, '`', '``'),"
        f" '`.* FROM ', {_text(user)});"
    )
    yield "END FOR;"
    yield "END//"
    yield "DELIMITER ;"


LIST_SQL = """\
SELECT s.schema_name, COALESCE(SUM(t.data_length + t.index_length), 0)
FROM information_schema.schemata s
LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name
WHERE s.schema_name NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
GROUP BY s.schema_name ORDER BY s.schema_name;
"""
"""Prints a line for each schema: its name and its size in bytes."""


def drop_sql(schema: str) -> str:
    """Give the SQL that drops a schema with all its data; it fails if there is none."""
    return f"DROP DATABASE {_name(schema)};\n"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _name(value: str) -> str:
    escaped = value.replace("`", "``")
    return f"`{escaped}`"


def _like(value: str) -> str:
    return re.sub(r"([\\_%])", r"\\\1", value)
