"""From the settings to what librdkafka wants to know of the brokers."""

from pathlib import Path
from typing import Final

from cost_exporter.errors import SettingsError
from cost_exporter.settings import Address, Settings

__all__ = ["BrokerOptions", "broker_options"]

BrokerOptions = dict[str, str]
_DEFAULT_MECHANISM: Final = "SCRAM-SHA-512"


def broker_options(settings: Settings) -> BrokerOptions:
    """Return how the brokers are reached. Raises `SettingsError` where settings contradict each other."""
    brokers = [Address.parse(each, "CALLFARE_KAFKA_BROKER") for each in settings.kafka_broker.split(",")]
    has_tls = settings.kafka_tls
    if has_tls is None:
        has_tls = not all(each.is_loopback for each in brokers) or settings.kafka_ca is not None
    has_sasl = settings.kafka_username is not None
    return {
        "bootstrap.servers": ",".join(map(str, brokers)),
        "security.protocol": f"{'sasl_' if has_sasl else ''}{'ssl' if has_tls else 'plaintext'}",
        **_tls_options(settings, has_tls=has_tls),
        **_sasl_options(settings),
    }


def _tls_options(settings: Settings, *, has_tls: bool) -> BrokerOptions:
    files = {
        "CALLFARE_KAFKA_CA": ("ssl.ca.location", settings.kafka_ca),
        "CALLFARE_KAFKA_CERT": ("ssl.certificate.location", settings.kafka_cert),
        "CALLFARE_KAFKA_KEY": ("ssl.key.location", settings.kafka_key),
    }
    given = {name: each for name, each in files.items() if each[1] is not None}
    if given and not has_tls:
        raise SettingsError(f"{next(iter(given))} has no effect without TLS; set CALLFARE_KAFKA_TLS=1, or remove it")
    if (settings.kafka_cert is None) != (settings.kafka_key is None):
        missing = "CALLFARE_KAFKA_CERT" if settings.kafka_cert is None else "CALLFARE_KAFKA_KEY"
        raise SettingsError(f"{missing} is not set; a certificate and its key come together")
    return {option: _readable(name, path) for name, (option, path) in given.items() if path is not None}


def _readable(name: str, path: Path) -> str:
    try:
        path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path} ({error.strerror}); name a readable PEM file") from error
    return str(path)


def _sasl_options(settings: Settings) -> BrokerOptions:
    username, password = settings.kafka_username, settings.kafka_password
    if (username is None) != (password is None):
        missing = "CALLFARE_KAFKA_USERNAME" if username is None else "CALLFARE_KAFKA_PASSWORD"
        raise SettingsError(f"{missing} is not set; user name and password come together")
    if username is None or password is None:
        if settings.kafka_sasl_mechanism is not None:
            raise SettingsError(
                "CALLFARE_KAFKA_SASL_MECHANISM has no effect without CALLFARE_KAFKA_USERNAME; set it too"
            )
        return {}
    return {
        "sasl.mechanism": settings.kafka_sasl_mechanism or _DEFAULT_MECHANISM,
        "sasl.username": username,
        "sasl.password": password.get_secret_value(),
    }
