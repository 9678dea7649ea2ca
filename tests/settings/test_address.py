import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Address, require_safe_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4317", "127.0.0.1", 4317),
        ("localhost:0", "localhost", 0),
        ("[::1]:4318", "::1", 4318),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
        ("collector.internal:80", "collector.internal", 80),
    ],
)
def test_address_is_read_and_written_back(text: str, host: str, port: int) -> None:
    """HOST:PORT and [IPv6]:PORT are understood, and the text comes back."""
    address = Address.parse(text)
    assert address == Address(host=host, port=port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "4317", ":4317", "localhost", "::1:4317", "[::1]", "[nonsense]:1", "a:b", "a:-1", "a:65536", "a:\uff11"],
)
def test_wrong_address_is_one_line_that_names_the_setting(text: str) -> None:
    """What is not an address is refused with the setting's name and an example."""
    with pytest.raises(SettingsError) as refused:
        Address.parse(text, "CALLFARE_WEB_ADDR")
    assert str(refused.value).startswith("CALLFARE_WEB_ADDR: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_recognised(host: str, *, is_loopback: bool) -> None:
    """Only addresses of this machine are loopback."""
    assert Address(host=host, port=1).is_loopback is is_loopback


@pytest.mark.parametrize("has_tokens", [True, False])
@pytest.mark.parametrize("has_tls", [True, False])
@pytest.mark.parametrize("is_insecure", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_start_matrix(host: str, *, has_tokens: bool, has_tls: bool, is_insecure: bool) -> None:
    """Loopback always starts; outside needs tokens, and TLS or the explicit word."""
    address = Address(host=host, port=4317)
    is_safe = host == "127.0.0.1" or (has_tokens and (has_tls or is_insecure))
    facts = {"has_tokens": has_tokens, "has_tls": has_tls, "is_insecure": is_insecure}
    if is_safe:
        require_safe_address(address, "--grpc", **facts)
        return
    with pytest.raises(SettingsError, match=r"^--grpc: .* can be reached from outside") as refused:
        require_safe_address(address, "--grpc", **facts)
    assert "\n" not in str(refused.value)
    assert ("callfare token create" in str(refused.value)) is not has_tokens
