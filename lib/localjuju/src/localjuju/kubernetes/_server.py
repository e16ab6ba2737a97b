"""HTTP over TLS: connections of charm containers, one request after the other."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import socket
import urllib.parse
from collections.abc import Mapping
from typing import Protocol

import h11

from localjuju.clock import Clock
from localjuju.kubernetes._accounts import Accounts
from localjuju.kubernetes._objects import ApiError
from localjuju.kubernetes._requests import Answer, Request, answer, failure
from localjuju.model import Model

_LOG = logging.getLogger(__name__)

PORT = 16443
_CHUNK = 65536
_BODY_LIMIT = 4 * 1024 * 1024
_IDLE = 60.0  # seconds
_FREEBIND = getattr(socket, "IP_FREEBIND", 15)  # the module names it from Python 3.14 on


class EngineLike(Protocol):
    """What the server needs of the engine."""

    @property
    def models(self) -> Mapping[str, Model]:
        """All models by name."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    def persist(self, model: Model) -> list[str]:
        """Store a model that was changed."""
        ...


class KubernetesServer:
    """Serves the models to their units.

    Args:
        accounts: Knows the units' tokens, and where to listen.
        engine: Has the models, and stores what was changed.
    """

    def __init__(self, accounts: Accounts, engine: EngineLike) -> None:
        self._accounts = accounts
        self._engine = engine
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be used.
        """
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The address is the bridge's, which comes and goes with the containers on it.
        listening.setsockopt(socket.SOL_IP, _FREEBIND, 1)
        try:
            listening.bind((self._accounts.host, self._accounts.port))
        except OSError as error:
            listening.close()
            where = f"{self._accounts.host}:{self._accounts.port}"
            raise OSError(f"cannot listen on {where}: {error.strerror}") from error
        self._server = await asyncio.start_server(
            self._connected, sock=listening, ssl=self._accounts.tls(), ssl_handshake_timeout=10
        )

    async def stop(self) -> None:
        """Stop listening and end what is being answered."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._serve_one(connection, reader, writer):
                connection.start_next_cycle()
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            _LOG.debug("connection ended: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve_one(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; return whether another one may follow on the connection."""
        request: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await asyncio.wait_for(reader.read(_CHUNK), _IDLE))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _BODY_LIMIT:
                    text = f"the body is larger than {_BODY_LIMIT} bytes"
                    error = ApiError(413, "RequestEntityTooLarge", text)
                    await self._send(connection, writer, failure(error))
                    return False
            elif isinstance(event, h11.EndOfMessage):
                break
            else:  # the client has hung up
                return False
        if request is None:
            return False
        await self._send(connection, writer, self._answered(request, body))
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _send(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, found: Answer
    ) -> None:
        text = json.dumps(found.body).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        reason = http.HTTPStatus(found.code).phrase.encode()
        head = h11.Response(status_code=found.code, reason=reason, headers=headers)
        for event in (head, h11.Data(data=text), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()

    def _answered(self, raw: h11.Request, body: bytes) -> Answer:
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in raw.headers}
        scheme, _, token = headers.get("authorization", "").partition(" ")
        holder = self._accounts.holder(token.strip(), self._engine.models.values())
        if scheme.lower() != "bearer" or holder is None:
            return failure(ApiError(401, "Unauthorized", "Unauthorized"))
        model, unit = holder
        url = urllib.parse.urlsplit(raw.target.decode("latin-1"))
        request = Request(
            raw.method.decode(),
            urllib.parse.unquote(url.path).rstrip("/"),
            dict(urllib.parse.parse_qsl(url.query)),
            headers.get("content-type", ""),
            body,
        )
        try:
            found = answer(model, model.applications[unit.app], request, self._engine.clock.now())
        except ApiError as error:
            found = failure(error)
        if found.wrote:
            self._engine.persist(model)
        _LOG.info(
            "%s %s: %s %s: %d", model.name, unit.name, request.method, request.path, found.code
        )
        return found
