"""Where a server listens, and whether that is safe.

Loopback by default. Any other address needs tokens, and TLS or an explicit option (rule 27): an OTLP port
that everybody may write to is somebody else's way into the bill.
"""

import ipaddress
from dataclasses import dataclass

from cost_exporter.errors import SettingsError

__all__ = ["Address", "require_safe_address"]

_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host and a TCP port. Port 0 asks the system for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, name: str = "address") -> "Address":
        """Read `HOST:PORT` or `[IPv6]:PORT`. Raises `SettingsError`, which calls the setting by `name`."""
        host, colon, port_text = text.strip().rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not host or (":" in host and not is_bracketed):
            raise SettingsError(f"{name}: {text!r} is not HOST:PORT; write 127.0.0.1:4317, or [::1]:4317 for IPv6")
        if not (port_text.isascii() and port_text.isdigit()) or int(port_text) > _PORT_MAX:
            raise SettingsError(f"{name}: port {port_text!r} is not a number from 0 to {_PORT_MAX}")
        if is_bracketed:
            host = _ipv6(host[1:-1], text, name)
        return cls(host=host, port=int(port_text))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def with_port(self, port: int) -> "Address":
        """Return the same host with the port that the system chose."""
        return Address(host=self.host, port=port)

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _ipv6(host: str, text: str, name: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError as error:
        raise SettingsError(f"{name}: {text!r} has no IPv6 address between its brackets; write [::1]:4317") from error


def require_safe_address(address: Address, name: str, *, has_tokens: bool, has_tls: bool, is_insecure: bool) -> None:
    """Raise `SettingsError` where listening on `address` would let strangers in (rule 27)."""
    if address.is_loopback:
        return
    if not has_tokens:
        raise SettingsError(
            f"{name}: {address} can be reached from outside and there are no tokens; "
            "create one with `callfare token create`, or listen on 127.0.0.1"
        )
    if not has_tls and not is_insecure:
        raise SettingsError(
            f"{name}: {address} can be reached from outside without TLS; set CALLFARE_TLS_CERT and "
            "CALLFARE_TLS_KEY, or say --insecure if a proxy in front does TLS"
        )
