"""Keep descriptors free: where the process comes near its limit of open files, idle connections are closed.

A connection that only says hello costs a descriptor until somebody closes it, and without a free one no door opens any
more, `/healthz` neither. gRPC has no way to close one connection, so it is shut down through its descriptor: gRPC sees
the end of the stream, as if the peer had hung up. The same is done to a peer that opens calls only to cancel them.

Linux only: elsewhere nobody lists a process's descriptors, and nothing is done.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["OpenConnections", "Peer", "peer_of", "raise_file_limit"]

Peer = tuple[str, int]
"""Host and port of the other end."""
_DESCRIPTORS: Final = Path("/proc/self/fd")
_IPV4_IN_IPV6: Final = "::ffff:"
"""gRPC listens for both kinds on one socket."""
_SWEEP_SECONDS: Final = 0.2
_FULL_SHARE: Final = 0.7
"""Of the limit of open files. What is left is for the database, workers and files, and for those who come meanwhile."""
_KEPT_SHARE: Final = 0.5
_FILES_WANTED: Final = 65_536
_CANCELLED_MAX: Final = 100
"""Calls that one connection may cancel in a while before it is taken for an attack."""
_CANCELLED_MAX_OF_SUSPECT: Final = 10
_WHILE_SECONDS: Final = 10.0
_SUSPECT_SECONDS: Final = 60.0
_PEERS_MAX: Final = 10_000


def raise_file_limit() -> None:
    """Allow this process as many open files as it may have: many systems start programs with 1,024."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - there is none on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def peer_of(text: str) -> Peer | None:
    """Return the peer that gRPC writes as `ipv4:127.0.0.1:4711` or `ipv6:%5B::1%5D:4711`; None for another kind."""
    kind, _, where = text.partition(":")
    host, _, port = where.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return host.replace("%5B", "").replace("%5D", "").strip("[]"), int(port)


@dataclass(slots=True)
class _Use:
    """Counts of one connection."""

    last_at_seconds: float
    cancelled_at_seconds: deque[float] = field(default_factory=deque[float])


class OpenConnections:
    """The connections of the receivers of one process. Used on their event loop alone."""

    def __init__(self, *, monotonic_seconds: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_seconds = monotonic_seconds
        self._ports: set[int] = set()
        self._uses: dict[Peer, _Use] = {}
        self._suspects: dict[str, float] = {}
        """Hosts that cancelled too much, and until when they are watched more closely."""
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, port: int) -> None:
        """Close idle connections to this port where descriptors run short."""
        self._ports.add(port)
        if self._timer is None and _DESCRIPTORS.is_dir():
            self._tick()

    def forget(self, port: int) -> None:
        """Let the port be."""
        self._ports.discard(port)
        if not self._ports and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def used(self, peer: Peer) -> None:
        """Note that a request came from a peer."""
        use = self._uses.get(peer)
        if use is None:
            if len(self._uses) >= _PEERS_MAX:
                del self._uses[next(iter(self._uses))]
            self._uses[peer] = _Use(self._monotonic_seconds())
        else:
            use.last_at_seconds = self._monotonic_seconds()

    def cancelled(self, peer: Peer) -> None:
        """Note that a peer cancelled a call before it had sent its message. Who does little else is shut out."""
        now_seconds = self._monotonic_seconds()
        times = self._uses.setdefault(peer, _Use(now_seconds)).cancelled_at_seconds
        times.append(now_seconds)
        while now_seconds - times[0] > _WHILE_SECONDS:
            times.popleft()
        is_suspect = self._suspects.get(peer[0], 0.0) > now_seconds
        if len(times) > (_CANCELLED_MAX_OF_SUSPECT if is_suspect else _CANCELLED_MAX):
            self._suspects = {host: until for host, until in self._suspects.items() if until > now_seconds}
            self._suspects[peer[0]] = now_seconds + _SUSPECT_SECONDS
            self._uses.pop(peer, None)
            self._shut_down({peer})

    def sweep(self) -> int:
        """Close idle connections if descriptors are short; return how many."""
        count = sum(1 for _ in _DESCRIPTORS.iterdir())
        limit = _file_limit()
        if count <= _FULL_SHARE * limit:
            return 0
        open_peers = self._open_peers()
        idlest = sorted(open_peers, key=self._last_used_seconds)
        excess = count - int(_KEPT_SHARE * limit)
        return self._shut_down(set(idlest[: max(0, excess)]))

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._tick)
        with suppress(OSError):  # without one free descriptor the folder cannot even be listed; next time
            self.sweep()

    def _last_used_seconds(self, peer: Peer) -> float:
        use = self._uses.get(peer)
        return float("-inf") if use is None else use.last_at_seconds

    def _open_peers(self) -> list[Peer]:
        return [peer for _, peer in self._open()]

    def _open(self) -> list[tuple[int, Peer]]:
        """Return descriptor and peer of each connection to our ports."""
        found: list[tuple[int, Peer]] = []
        for link in _DESCRIPTORS.iterdir():
            with suppress(OSError):
                if str(link.readlink()).startswith("socket:"):
                    peer = _peer_at(int(link.name), self._ports)
                    if peer is not None:
                        found.append((int(link.name), peer))
        return found

    def _shut_down(self, peers: set[Peer]) -> int:
        count = 0
        for number, peer in self._open():
            if peer in peers:
                self._uses.pop(peer, None)
                count += _shut_down(number, peer)
        return count


def _borrowed(number: int) -> socket.socket:
    """Return a socket on the same connection; its descriptor is its owner's, so it is detached and never closed."""
    return socket.socket(fileno=number)


def _peer_at(number: int, ports: set[int]) -> Peer | None:
    connection = _borrowed(number)
    try:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] not in ports:
            return None
        return _peer_of(connection)
    except OSError:  # not connected, such as what listens
        return None
    finally:
        connection.detach()


def _peer_of(connection: socket.socket) -> Peer:
    host, port = connection.getpeername()[:2]
    return host.removeprefix(_IPV4_IN_IPV6), port


def _shut_down(number: int, peer: Peer) -> bool:
    """Shut a connection down if the descriptor is still that of the peer."""
    connection = _borrowed(number)
    try:
        if _peer_of(connection) != peer:
            return False
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    else:
        return True
    finally:
        connection.detach()


def _file_limit() -> int:
    import resource  # noqa: PLC0415 - there is none on Windows, nor a folder of descriptors

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else _FILES_WANTED
