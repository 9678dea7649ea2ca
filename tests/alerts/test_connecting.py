"""Only public addresses are connected to, whatever a name resolves to, unless the configuration allows others."""

import socket
from typing import Any

import pytest

from cost_exporter.alerts.connecting import PrivateAddress, connect_to, is_public


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
        ),
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # Teredo to 10.0.0.1
    ],
)
def test_an_address_of_this_machine_or_network_is_not_public(address: str) -> None:
    """Also where it stands within an address of IPv6."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
)
def test_an_address_of_the_internet_is(address: str) -> None:
    """Most receivers are there."""
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "::ffff:127.0.0.1"])
def test_nothing_is_sent_to_a_private_address_however_it_is_written(host: str) -> None:
    """Not even a connection is made."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0)
        with pytest.raises(PrivateAddress, match="allow_private: true"):
            connect_to(host, listening.getsockname()[1], timeout_seconds=5, allows_private=False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that resolves to a public address first and to a private one afterwards leads nowhere private."""
    answers = ["93.184.216.34", "127.0.0.1"]
    connected: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    class Connecting(socket.socket):
        def connect(self, address: Any) -> None:
            connected.append(address[0])

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "socket", Connecting)
    connect_to("rebinding.example", 443, timeout_seconds=5, allows_private=False).close()
    assert connected == ["93.184.216.34"]
    assert len(answers) == 1


def test_a_private_address_among_public_ones_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the public one said is the error."""

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("10.0.0.1", "1.1.1.1")]

    class Refusing(socket.socket):
        def connect(self, address: Any) -> None:
            raise ConnectionRefusedError(address[0])

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(ConnectionRefusedError, match=r"1\.1\.1\.1"):
        connect_to("example.com", 443, timeout_seconds=5, allows_private=False)
