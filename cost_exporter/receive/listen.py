"""Open a port, or say in one line why that is not possible and what to do."""

import errno
import socket
from contextlib import closing

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Address

__all__ = ["bind", "require_free", "unavailable"]


def bind(address: Address, option: str) -> socket.socket:
    """Return a bound socket; its port is the real one. Raises `SettingsError`, naming the option to change."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingsError(f"{option}: no address called {address.host!r}; name one of this machine") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError as error:
        listener.close()
        raise unavailable(address, option, error) from error
    return listener


def require_free(address: Address, option: str) -> None:
    """Raise `SettingsError` where the address cannot be listened on. For servers that open their port themselves."""
    if address.port:
        with closing(bind(address, option)) as listener:
            try:
                listener.listen()
            except OSError as error:
                raise unavailable(address, option, error) from error


def unavailable(address: Address, option: str, error: OSError | RuntimeError) -> SettingsError:
    """Return the one line for an address that could not be opened."""
    code = error.errno if isinstance(error, OSError) else errno.EADDRINUSE
    if code == errno.EADDRINUSE:
        fix = f"stop what listens there, or choose another with {option} {address.with_port(0)}"
        return SettingsError(f"{option}: {address} is already in use; {fix}")
    if code == errno.EACCES:
        return SettingsError(f"{option}: {address} needs more rights than we have; choose a port above 1023")
    why = error.strerror if isinstance(error, OSError) else str(error)
    return SettingsError(f"{option}: cannot listen on {address} ({why}); choose an address of this machine")
