"""Where a server listens, and whether that is safe.

Loopback by default. Any other address needs tokens, and TLS or an explicit word (rule 27): an OTLP port
that everybody may write to is somebody else's way into the bill.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cost_exporter.errors import SettingsError

__all__ = ["Address", "Tls", "require_safe_address"]

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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tls:
    """Certificate and key of a server; with a client CA, clients must show a certificate of it."""

    certificate: bytes
    key: bytes
    certificate_path: Path
    key_path: Path
    client_ca: bytes | None = None
    client_ca_path: Path | None = None

    @classmethod
    def load(cls, certificate: Path, key: Path, client_ca: Path | None = None) -> "Tls":
        """Read the PEM files. Raises `SettingsError` where one cannot be read, or key and certificate differ."""
        loaded = cls(
            certificate=_read_pem(certificate, "CALLFARE_TLS_CERT"),
            key=_read_pem(key, "CALLFARE_TLS_KEY"),
            client_ca=None if client_ca is None else _read_pem(client_ca, "CALLFARE_TLS_CLIENT_CA"),
            certificate_path=certificate,
            key_path=key,
            client_ca_path=client_ca,
        )
        _require_pair(certificate, key)
        return loaded

    def __repr__(self) -> str:
        """Never show the key."""
        return f"Tls({str(self.certificate_path)!r})"


def _read_pem(path: Path, name: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path} ({error.strerror}); name a readable PEM file") from error
    if b"-----BEGIN " not in content:
        raise SettingsError(f"{name}: {path} is not PEM; it must hold a -----BEGIN ...----- block")
    return content


def _require_pair(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise SettingsError(
            f"CALLFARE_TLS_CERT: {certificate} and {key} do not belong together, or one is damaged; name a pair"
        ) from error


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
