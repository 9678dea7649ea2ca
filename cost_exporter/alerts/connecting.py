"""Connections to receivers of alerts: to public addresses alone, unless the configuration allows others.

The rule that must never break: the address that is connected to is the one that was checked. A name is resolved once,
here, and what it resolves to is connected to; nothing resolves it again in between.
"""

import ipaddress
import socket
import ssl
from http.client import HTTPConnection, HTTPSConnection
from typing import Final

__all__ = ["PrivateAddress", "connect_to", "connection_for", "is_public"]

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_IPv4_BITS: Final = 0xFFFFFFFF


class PrivateAddress(OSError):
    """The receiver is where its configuration does not allow it to be."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, also by way of an IPv4 address within it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & _IPv4_BITS)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def connect_to(host: str, port: int, *, timeout_seconds: float, allows_private: bool) -> socket.socket:
    """Connect to a name at the addresses that may be connected to. Raises `OSError`, or its kind `PrivateAddress`."""
    error: OSError = PrivateAddress(
        f"{host} is at a private address; set allow_private: true if the receiver is meant to be in this network"
    )
    for family, kind, protocol, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not allows_private and not is_public(str(where[0])):
            continue
        connecting = socket.socket(family, kind, protocol)
        try:
            connecting.settimeout(timeout_seconds)
            connecting.connect(where)
        except OSError as failed:
            connecting.close()
            error = failed
        else:
            return connecting
    raise error


def connection_for(
    scheme: str, host: str, port: int | None, *, timeout_seconds: float, allows_private: bool
) -> HTTPConnection:
    """Return an HTTP connection that connects as `connect_to` does, and through no proxy."""
    if scheme == "https":
        return _GuardedHttps(host, port, timeout_seconds, allows_private=allows_private)
    return _GuardedHttp(host, port, timeout_seconds, allows_private=allows_private)


class _GuardedHttp(HTTPConnection):
    def __init__(self, host: str, port: int | None, timeout_seconds: float, *, allows_private: bool) -> None:
        super().__init__(host, port, timeout=timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._allows_private = allows_private

    def connect(self) -> None:
        self.sock = connect_to(
            self.host, self.port, timeout_seconds=self._timeout_seconds, allows_private=self._allows_private
        )


class _GuardedHttps(HTTPSConnection):
    def __init__(self, host: str, port: int | None, timeout_seconds: float, *, allows_private: bool) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout_seconds, context=self._tls)
        self._timeout_seconds = timeout_seconds
        self._allows_private = allows_private

    def connect(self) -> None:
        plain = connect_to(
            self.host, self.port, timeout_seconds=self._timeout_seconds, allows_private=self._allows_private
        )
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
