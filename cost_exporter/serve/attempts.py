"""How often an address may fail to log in. Tokens cannot be guessed; this keeps a crowd of guesses off the database."""

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

__all__ = ["Attempts"]

_FAILURES_MAX: Final = 10
_WITHIN_SECONDS: Final = 60.0
_ADDRESSES_MAX: Final = 10_000
_IPV6_NETWORK_BITS: Final = 64


class Attempts:
    """Failed attempts by address, the last ones. Thread-safe and bounded."""

    def __init__(self, *, monotonic_seconds: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_seconds = monotonic_seconds
        self._lock = threading.Lock()
        self._failed_at: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """Return for how long this address has to wait; 0 where it may try."""
        with self._lock:
            failed_at = self._failed_at.get(_network(address))
            if failed_at is None or len(failed_at) < _FAILURES_MAX:
                return 0.0
            return max(0.0, failed_at[0] + _WITHIN_SECONDS - self._monotonic_seconds())

    def failed(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            network = _network(address)
            self._failed_at.setdefault(network, deque(maxlen=_FAILURES_MAX)).append(self._monotonic_seconds())
            self._failed_at.move_to_end(network)
            while len(self._failed_at) > _ADDRESSES_MAX:
                self._failed_at.popitem(last=False)


def _network(address: str) -> str:
    """Return what one sender has: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))
    return str(parsed)
