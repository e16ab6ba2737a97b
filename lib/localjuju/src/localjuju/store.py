"""Models in one SQLite file: a row per entity, written only when it differs.

The codec is generic. A row holds the JSON of one dataclass as it stands in memory; on loading,
the type hints of `model` tell what each value was. A field that a row lacks takes its default,
so a newer program reads what an older one wrote.

Write-ahead logging with `synchronous=NORMAL`: a commit that returned survives the death of this
process at any moment; only a power cut can take the last ones.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import sqlite3
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localjuju.model import Model

SCHEMA_VERSION = 2
"""Raised when rows change so that an older program would misread them."""

# Fields of a model whose entries have rows of their own; `actions` grows without bound.
_ENTITIES = (
    "charms",
    "applications",
    "units",
    "machines",
    "relations",
    "secrets",
    "actions",
    "objects",
)
_MODEL_ROW = "model"

_Key = tuple[str, str, str]  # (model uuid, kind, key)
_Decoder = Callable[[Any], Any]


class StoreError(Exception):
    """The database cannot be opened, read or written; the text names the file and the cause."""


class Store:
    """The database of one engine.

    Args:
        path: The SQLite file; made with mode 0600 when missing, since secrets stand in it.

    Raises:
        StoreError: The file is no database of ours, or a newer program wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[_Key, str] = {}
        try:
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open {path}: {error}") from error

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        found = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if found > SCHEMA_VERSION:
            self._db.close()
            raise StoreError(
                f"cannot open {self._path}: written by a newer version (schema {found}, this "
                f"program knows {SCHEMA_VERSION}); use that version"
            )
        with self._transaction():
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS entity (model TEXT NOT NULL, kind TEXT NOT NULL, "
                "key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (model, kind, key)) "
                "WITHOUT ROWID"
            )
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    def load(self) -> dict[str, Model]:
        """Return every stored model by name.

        Raises:
            StoreError: A row cannot be read.
        """
        rows: dict[str, dict[str, dict[str, Any]]] = {}
        try:
            for uuid, kind, key, body in self._db.execute(
                "SELECT model, kind, key, body FROM entity"
            ):
                self._written[uuid, kind, key] = body
                rows.setdefault(uuid, {}).setdefault(kind, {})[key] = json.loads(body)
            models = [self._model(kinds) for kinds in rows.values()]
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"cannot read {self._path}: {error!r}") from error
        return {model.name: model for model in models}

    @staticmethod
    def _model(kinds: dict[str, dict[str, Any]]) -> Model:
        body = dict(kinds[_MODEL_ROW][""])
        body.update({kind: kinds.get(kind, {}) for kind in _ENTITIES})
        return decode(Model, body)

    def commit(self, model: Model) -> list[str]:
        """Write what differs from the last commit of this model, in one transaction.

        Returns:
            The rows that were written or deleted, like `units db/0`.

        Raises:
            StoreError: The database cannot be written; nothing of this commit was.
        """
        fresh = dict(_rows(model))
        written = self._written
        changed = {key: body for key, body in fresh.items() if written.get(key) != body}
        gone = [key for key in written if key[0] == model.uuid and key not in fresh]
        if not changed and not gone:
            return []
        try:
            with self._transaction():
                self._db.executemany(
                    "INSERT OR REPLACE INTO entity VALUES (?, ?, ?, ?)",
                    ((*key, body) for key, body in changed.items()),
                )
                self._db.executemany(
                    "DELETE FROM entity WHERE model = ? AND kind = ? AND key = ?", gone
                )
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {self._path}: {error}") from error
        written.update(changed)
        for key in gone:
            del written[key]
        return [f"{kind} {key}".strip() for _, kind, key in (*changed, *gone)]

    def delete(self, model: Model) -> None:
        """Delete everything of a model.

        Raises:
            StoreError: The database cannot be written.
        """
        try:
            with self._transaction():
                self._db.execute("DELETE FROM entity WHERE model = ?", (model.uuid,))
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {self._path}: {error}") from error
        self._written = {k: body for k, body in self._written.items() if k[0] != model.uuid}

    def close(self) -> None:
        """Close the database."""
        self._db.close()


class _Transaction:
    """One transaction: committed at the end of the block, taken back on an exception."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


# --- Codec ------------------------------------------------------------------------------------


def _rows(model: Model) -> Iterator[tuple[_Key, str]]:
    head = {name: value for name, value in vars(model).items() if name not in _ENTITIES}
    yield (model.uuid, _MODEL_ROW, ""), encode(head)
    for kind in _ENTITIES:
        for key, entity in getattr(model, kind).items():
            yield (model.uuid, kind, str(key)), encode(entity)


def encode(value: object) -> str:
    """Return the JSON of a dataclass, or of plain data that holds some."""
    return _ENCODER.encode(value)


# `vars` for every object that JSON does not know: the dataclasses. The C encoder does the rest,
# which makes a commit of a whole model a matter of a millisecond.
_ENCODER = json.JSONEncoder(default=vars, separators=(",", ":"), ensure_ascii=False)


def decode(kind: Any, raw: Any) -> Any:
    """Return the value of type `kind` that `raw`, parsed from JSON, stands for.

    Raises:
        TypeError, ValueError, KeyError: It stands for no such value.
    """
    return _decoder(kind)(raw)


@functools.cache
def _decoder(kind: Any) -> _Decoder:
    """Return the function that turns parsed JSON into a value of type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_decoder(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind
    if kind is float:
        return float
    if origin is dict:
        return _dict_decoder(*arguments)
    if origin is list:
        inner = _decoder(arguments[0])
        return lambda raw: [inner(item) for item in raw]
    if origin is tuple:
        return _tuple_decoder(arguments)
    if origin in {typing.Union, types.UnionType}:
        return _union_decoder(arguments)
    return _as_it_is


def _as_it_is(raw: Any) -> Any:
    return raw


def _dataclass_decoder(kind: type[Any]) -> _Decoder:
    hints = typing.get_type_hints(kind)
    fields = [(field.name, hints[field.name]) for field in dataclasses.fields(kind)]

    def decoded(raw: dict[str, Any]) -> Any:
        # Decoders are looked up late: dataclasses may hold each other.
        values = {name: _decoder(hint)(raw[name]) for name, hint in fields if name in raw}
        return kind(**values)

    return decoded


def _dict_decoder(key: Any, value: Any) -> _Decoder:
    name: _Decoder = int if key is int else _as_it_is
    inner = _decoder(value)
    if inner is _as_it_is and name is _as_it_is:
        return _as_it_is
    return lambda raw: {name(k): inner(v) for k, v in raw.items()}


def _tuple_decoder(arguments: tuple[Any, ...]) -> _Decoder:
    if len(arguments) == 2 and arguments[1] is ...:
        inner = _decoder(arguments[0])
        return lambda raw: tuple(inner(item) for item in raw)
    inners = [_decoder(argument) for argument in arguments]
    return lambda raw: tuple(inner(item) for inner, item in zip(inners, raw, strict=True))


def _union_decoder(arguments: tuple[Any, ...]) -> _Decoder:
    """Return a decoder for `X | None`; unions of plain JSON types are taken as they are."""
    kinds = [argument for argument in arguments if argument is not types.NoneType]
    if len(kinds) > 1:
        return _as_it_is
    inner = _decoder(kinds[0])
    return lambda raw: None if raw is None else inner(raw)
