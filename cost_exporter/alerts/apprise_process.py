"""Alerts by Apprise, in a process of its own: one message, at most 30 seconds, and only where it may connect.

Apprise and its plugins open their connections themselves. In this process `connect` checks the address, after names
are resolved and for each redirect; nothing is sent without a connection, nor to a socket of this machine. No proxy is
used. What hangs is killed, and nothing of it stays in the service.
"""

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from cost_exporter.alerts.connecting import PrivateAddress, is_public

if TYPE_CHECKING:  # the process itself needs no settings
    from cost_exporter.settings import AlertRule

__all__ = ["send_by_apprise"]

_SECONDS_MAX: Final = 30.0
_REFUSED: Final = "Apprise could not deliver it; `callfare alert test` tries it again"
_MODULE: Final = "cost_exporter.alerts.apprise_process"


def send_by_apprise(rule: "AlertRule", title: str, body: str, *, timeout_seconds: float = _SECONDS_MAX) -> str:
    """Send a message once, and return what went wrong; "" where it was taken. Never raises."""
    job = {"url": rule.url.get_secret_value(), "title": title, "body": body, "allow_private": rule.allow_private}
    environment = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
    try:
        done = subprocess.run(  # noqa: S603 - this very module
            [sys.executable, "-m", _MODULE],
            input=json.dumps(job),
            capture_output=True,
            encoding="utf-8",
            timeout=timeout_seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout_seconds:g} s"
    except OSError as error:
        return f"its process did not start: {error.strerror}"
    # The last line is ours; what a plugin printed may hold the URL.
    return "" if done.returncode == 0 else (done.stdout.strip().splitlines() or [_REFUSED])[-1]


def _main() -> int:
    job = json.loads(sys.stdin.read())
    refused = _guard_connections(allows_private=job["allow_private"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        is_taken = _notify(job)
    if not is_taken:
        sys.stdout.write(f"{refused[-1] if refused else _REFUSED}\n")
    return 0 if is_taken else 1


def _notify(job: dict[str, Any]) -> bool:
    import apprise  # noqa: PLC0415 - only in this process

    # One URL: `add` would take several out of one text.
    receiver: Any = apprise.Apprise.instantiate(job["url"])
    return receiver is not None and bool(receiver.notify(body=job["body"], title=job["title"]))


def _guard_connections(*, allows_private: bool) -> list[str]:
    """Let sockets connect only where they may, and return the list of what was refused."""
    refused: list[str] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        connect(self, _checked(self, address, refused, allows_private=allows_private))

    def guarded_ex(self: socket.socket, address: Any) -> int:
        guarded(self, address)
        return 0

    def no_datagram(*_: Any) -> int:
        raise PrivateAddress("nothing is sent without a connection")

    socket.socket.connect = guarded
    socket.socket.connect_ex = guarded_ex
    socket.socket.sendto = no_datagram
    return refused


def _checked(connecting: socket.socket, address: Any, refused: list[str], *, allows_private: bool) -> Any:
    """Return the address to connect to, as numbers. Raises `PrivateAddress` for one that may not be."""
    if connecting.family not in {socket.AF_INET, socket.AF_INET6}:
        raise PrivateAddress("a socket of this machine is no receiver")
    where = socket.getaddrinfo(address[0], address[1], connecting.family, socket.SOCK_STREAM)[0][4]
    if not allows_private and not is_public(str(where[0])):
        refused.append(f"PrivateAddress: {address[0]} is at a private address; set allow_private: true if it is meant")
        raise PrivateAddress(refused[-1])
    return where


if __name__ == "__main__":
    sys.exit(_main())
