"""The server's certificate and key, read from files again when they change: a renewal needs no restart.

A renewal replaces two files, one after the other. Until both fit together, and where they do not, the pair that was
read last stays in use, with a warning in the log: a mistake in a renewal must not close a running service.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cost_exporter.errors import SettingsError

__all__ = ["Tls", "TlsFiles"]

_LOOK_EVERY_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)

Signature = tuple[tuple[int, int, int], ...]
"""Inode, time and size of each file: these change when a file is written or replaced."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tls:
    """A certificate and its key; with a client CA, clients must show a certificate of it."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext

    def __repr__(self) -> str:
        """Never show the key."""
        return "Tls()"


class TlsFiles:
    """The files of a server. Thread-safe; all of its addresses share them."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        client_ca: Path | None = None,
        *,
        look_every_seconds: float = _LOOK_EVERY_SECONDS,
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the PEM files. Raises `SettingsError` where one cannot be read, or key and certificate differ."""
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._paths = (certificate, key) if client_ca is None else (certificate, key, client_ca)
        self._look_every_seconds = look_every_seconds
        self._monotonic_seconds = monotonic_seconds
        self._lock = threading.Lock()
        self._signature = self._signature_now()
        self._current = self._read()
        self._looked_at_seconds = monotonic_seconds()

    @property
    def asks_for_client_certificates(self) -> bool:
        """Whether clients must show a certificate."""
        return self._client_ca is not None

    def current(self) -> Tls:
        """Return what is in the files, at most a moment behind them."""
        now_seconds = self._monotonic_seconds()
        if now_seconds - self._looked_at_seconds >= self._look_every_seconds and self._lock.acquire(blocking=False):
            try:
                self._looked_at_seconds = now_seconds
                self._look()
            finally:
                self._lock.release()
        return self._current

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a server to listen with; each handshake goes on with that of the current files."""

        def use_current(connection: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
            connection.context = self.current().context

        context = self._read().context
        context.sni_callback = use_current  # called for clients that name no host as well
        return context

    def __repr__(self) -> str:
        """Name the certificate."""
        return f"TlsFiles({str(self._certificate)!r})"

    def _look(self) -> None:
        signature = self._signature_now()
        if signature == self._signature:
            return
        try:
            read = self._read()
        except SettingsError as error:
            _log.error("the certificate in use stays: %s", error)
        else:
            if self._signature_now() != signature:
                return  # written while it was read; the next look finds it whole
            self._current = read
            _log.info("the certificate in %s was renewed", self._certificate)
        self._signature = signature

    def _signature_now(self) -> Signature:
        return tuple(_signature_of(path) for path in self._paths)

    def _read(self) -> Tls:
        certificate = _read_pem(self._certificate, "CALLFARE_TLS_CERT")
        key = _read_pem(self._key, "CALLFARE_TLS_KEY")
        client_ca = None if self._client_ca is None else _read_pem(self._client_ca, "CALLFARE_TLS_CLIENT_CA")
        return Tls(certificate=certificate, key=key, client_ca=client_ca, context=self._make_context(client_ca))

    def _make_context(self, client_ca: bytes | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key)
        except ssl.SSLError as error:
            raise SettingsError(
                f"CALLFARE_TLS_CERT: {self._certificate} and {self._key} do not belong together, or one is damaged;"
                " name a pair"
            ) from error
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            # A resumed session would let a client in whose authority is no longer trusted.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
            try:
                context.load_verify_locations(cadata=client_ca.decode("ascii"))
            except (ssl.SSLError, UnicodeDecodeError) as error:
                raise SettingsError(
                    f"CALLFARE_TLS_CLIENT_CA: {self._client_ca} holds no certificate that can be read; name a PEM file"
                ) from error
        return context


def _signature_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _read_pem(path: Path, name: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path} ({error.strerror}); name a readable PEM file") from error
    if b"-----BEGIN " not in content:
        raise SettingsError(f"{name}: {path} is not PEM; it must hold a -----BEGIN ...----- block")
    return content
