"""The HTTP server under the web application: uvicorn in a thread of its own, on a socket bound beforehand.

Binding first means that an address in use is one clear error before anything else has started, and that port 0
yields the real port.
"""

import socket
import threading
from typing import Final

import uvicorn
from starlette.applications import Starlette

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Address

__all__ = ["WebServer"]

_STOP_SECONDS_MAX: Final = 5
_BACKLOG: Final = 128


class WebServer:
    """Serves one application on one address from `start` until `stop`."""

    def __init__(self, app: Starlette, address: Address) -> None:
        """Bind the address. Raises `SettingsError` where that cannot be done."""
        self._socket = _bound(address)
        self.address = address.with_port(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=_STOP_SECONDS_MAX
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="callfare-web", daemon=True)

    def start(self) -> None:
        """Serve. Connections that came since the address was bound are answered too."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, then close."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS_MAX + 1)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        reason = error.strerror or type(error).__name__
        raise SettingsError(
            f"--web: cannot listen on {address} ({reason}); choose another with --web or CALLFARE_WEB_ADDR"
        ) from error
    return bound
