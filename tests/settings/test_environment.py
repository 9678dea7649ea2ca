from pathlib import Path

import pytest

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Address, load_settings
from cost_exporter.settings.environment import default_data_dir


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("CALLFARE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


def test_defaults_listen_on_loopback_and_need_no_variable(tmp_path: Path) -> None:
    """Without any variable the service listens on loopback with an embedded database."""
    settings = load_settings()
    assert [str(settings.otlp_grpc_addr), str(settings.otlp_http_addr), str(settings.web_addr)] == [
        "127.0.0.1:4317",
        "127.0.0.1:4318",
        "127.0.0.1:4319",
    ]
    assert settings.database_url is None
    assert settings.data_dir == default_data_dir({"HOME": str(tmp_path)})
    assert settings.finalise_after == 300
    assert settings.tls() is None


def test_every_variable_of_the_contract_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each documented variable reaches its setting."""
    for name, text in {
        "CALLFARE_DATABASE_URL": "postgresql://u:canary@h/db",
        "CALLFARE_DATA_DIR": "~/data",
        "CALLFARE_OTLP_GRPC_ADDR": "[::1]:0",
        "CALLFARE_OTLP_HTTP_ADDR": "localhost:1",
        "CALLFARE_WEB_ADDR": "127.0.0.1:2",
        "CALLFARE_PRICES": "a.yaml, b.yaml",
        "CALLFARE_CONFIG": "callfare.yaml",
        "CALLFARE_FORWARD_ENDPOINT": "http://collector:4317/",
        "CALLFARE_FORWARD_CONTENT": "true",
        "CALLFARE_JAEGER_URL": "https://jaeger:16686",
        "CALLFARE_FINALISE_AFTER": "1.5",
        "CALLFARE_BILLING_ACCOUNT": "prod-eu",
        "CALLFARE_EXPORT_TO": "s3://costs/callfare",
    }.items():
        monkeypatch.setenv(name, text)
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u:canary@h/db"
    assert "canary" not in repr(settings)
    assert settings.data_dir == Path.home() / "data"
    assert settings.otlp_grpc_addr == Address(host="::1", port=0)
    assert settings.otlp_http_addr == Address(host="localhost", port=1)
    assert settings.web_addr == Address(host="127.0.0.1", port=2)
    assert settings.prices == (Path("a.yaml"), Path("b.yaml"))
    assert settings.config == Path("callfare.yaml")
    assert settings.billing_account == "prod-eu"
    assert settings.export_to == "s3://costs/callfare"
    assert settings.forward_endpoint == "http://collector:4317"
    assert settings.forward_content
    assert settings.jaeger_url == "https://jaeger:16686"
    assert settings.finalise_after == 1.5


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed beats what is exported; an option that is None was not typed."""
    monkeypatch.setenv("CALLFARE_WEB_ADDR", "127.0.0.1:2")
    assert load_settings(web_addr="127.0.0.1:3").web_addr.port == 3
    assert load_settings(web_addr=None).web_addr.port == 2


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CALLFARE_DATABASE_URL=` means the default, as for OTEL_* variables."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", "")
    assert load_settings().database_url is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("CALLFARE_OTLP_GRPC_ADDR", "4317", "is not HOST:PORT"),
        ("CALLFARE_DATABASE_URL", "mysql://u:canary@h", "is not a PostgreSQL URL"),
        ("CALLFARE_FINALISE_AFTER", "soon", "valid number"),
        ("CALLFARE_FINALISE_AFTER", "nan", "finite"),
        ("CALLFARE_FORWARD_ENDPOINT", "collector:4317", "is not a URL"),
    ],
)
def test_a_wrong_variable_is_one_line_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    """The operator reads which variable is wrong, and no secret."""
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    line = str(refused.value)
    assert line.startswith(f"{name}: ")
    assert words in line
    assert "\n" not in line
    assert "canary" not in line


def test_certificate_without_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate and its key come together."""
    monkeypatch.setenv("CALLFARE_TLS_CERT", "cert.pem")
    with pytest.raises(SettingsError, match=r"^CALLFARE_TLS_KEY is not set"):
        load_settings().tls()


def test_data_directory_is_where_the_platform_keeps_such_things() -> None:
    """Linux, macOS and Windows each have their place."""
    assert default_data_dir({"HOME": "/h"}, "linux") == Path("/h/.local/share/callfare")
    assert default_data_dir({"HOME": "/h", "XDG_DATA_HOME": "/x"}, "linux") == Path("/x/callfare")
    assert default_data_dir({"HOME": "/h"}, "darwin") == Path("/h/Library/Application Support/callfare")
    assert default_data_dir({"HOME": "/h", "LOCALAPPDATA": "/l"}, "win32") == Path("/l/callfare")
