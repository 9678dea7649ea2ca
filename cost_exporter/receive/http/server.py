"""Serve an ASGI application: the real port known at once, slow senders cut off, drained at the end.

In a thread of its own, or on the loop that receives for the whole process.
"""

import asyncio
import socket
import threading
import time
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from cost_exporter.errors import SettingsError
from cost_exporter.receive.connections import OpenConnections
from cost_exporter.receive.listen import bind, unavailable
from cost_exporter.receive.own_host import OwnHostOnly
from cost_exporter.settings import Address, TlsFiles

__all__ = ["HttpServer"]

_HEADER_SECONDS_MAX: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 75
_CONNECTIONS_MAX: Final = 1_024
_START_SECONDS_MAX: Final = 30.0


class HttpServer:
    """Listens from `start` until `stop`, in a thread of its own."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        option: str,
        header_seconds_max: float = _HEADER_SECONDS_MAX,
        grace_seconds: int = 20,
        loop: asyncio.AbstractEventLoop | None = None,
        connections: OpenConnections | None = None,
    ) -> None:
        """`option` is what a person types to choose the address; it is named where the address is not free.

        With `loop`, the application runs there; `connections`, which belong to it, are closed when they are too many.
        """
        self._app = app
        self._loop = loop
        self._connections = connections
        self._port = 0
        self._is_over = threading.Event()
        self._option = option
        self._protocol = type("TimedProtocol", (_TimedProtocol,), {"header_seconds_max": header_seconds_max})
        self._grace_seconds = grace_seconds
        self._server: uvicorn.Server | None = None

    def start(self, address: Address, tls: TlsFiles | None = None) -> Address:
        """Listen, and return the address with its real port. Raises `SettingsError` where that is not possible."""
        config = self._config(OwnHostOnly(self._app) if address.is_loopback else self._app, tls)
        listener = bind(address, self._option)
        try:
            listener.listen(_CONNECTIONS_MAX)
        except OSError as error:
            listener.close()
            raise unavailable(address, self._option, error) from error
        server = uvicorn.Server(config)
        self._is_over.clear()
        if self._loop is None:
            threading.Thread(target=self._run, args=(server, listener), name="web", daemon=True).start()
        else:
            asyncio.run_coroutine_threadsafe(self._serve(server, listener), self._loop)
        self._wait_for_start(server)
        self._server = server
        self._port = listener.getsockname()[1]
        if self._connections is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._connections.watch, self._port)
        return address.with_port(self._port)

    def stop(self) -> None:
        """Accept no more, let the requests in flight be answered, and stop."""
        if self._server is None:
            return
        self._server.should_exit = True
        self._is_over.wait(self._grace_seconds + 2)
        self._server = None
        if self._connections is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._connections.forget, self._port)

    def _run(self, server: uvicorn.Server, listener: socket.socket) -> None:
        try:
            server.run(sockets=[listener])
        finally:
            self._is_over.set()

    async def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        try:
            await server.serve(sockets=[listener])
        except SystemExit:  # uvicorn's way to say that it could not start; it has logged why
            return
        finally:
            self._is_over.set()

    def _wait_for_start(self, server: uvicorn.Server) -> None:
        deadline_seconds = time.monotonic() + _START_SECONDS_MAX
        while not server.started:
            if self._is_over.is_set() or time.monotonic() > deadline_seconds:
                raise SettingsError("the HTTP server did not start; its log says why")
            time.sleep(0.005)

    def _config(self, app: ASGIApp, tls: TlsFiles | None) -> uvicorn.Config:
        config = uvicorn.Config(
            app,
            http=self._protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=self._grace_seconds,
            limit_concurrency=_CONNECTIONS_MAX,
        )
        config.load()
        config.ssl = None if tls is None else tls.server_context()
        return config


class _TimedProtocol(H11Protocol):
    """Closes a connection that does not bring a whole request head in time (slow loris)."""

    header_seconds_max: float
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn has it
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison]
            self._head_arrived()
        elif self._head_timer is None:
            self._expect_head()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.header_seconds_max, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
