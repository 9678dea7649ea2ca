"""The service's environment: every `CALLFARE_*` variable, typed, with its default.

Application-side variables (`CALLFARE_TENANT`, `CALLFARE_SPOOL_DIR`, ...) are not read here: one environment may
hold both. An empty variable counts as not set, as in OpenTelemetry.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from cost_exporter.errors import SettingsError
from cost_exporter.settings.address import Address
from cost_exporter.settings.tls import TlsFiles

__all__ = ["Settings", "load_settings"]

_PREFIX = "CALLFARE_"


def _address(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return Address.parse(given)
    except SettingsError as error:
        raise ValueError(
            str(error).removeprefix("address: ")
        ) from error  # pydantic adds the field to a ValueError only


def _paths(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    separators = given.replace(os.pathsep, ",")
    return tuple(Path(each.strip()).expanduser() for each in separators.split(",") if each.strip())


ListenAddress = Annotated[Address, NoDecode, BeforeValidator(_address), PlainSerializer(str)]

_OPTIONS = {
    "otlp_grpc_addr": "--grpc",
    "otlp_http_addr": "--http",
    "web_addr": "--web",
    "database_url": "--db",
    "kafka_web_addr": "--web",
    "mcp_url": "--url",
}
"""The name of a setting as the user writes it, for error messages."""


def default_data_dir(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return the default folder of the embedded database on this platform."""
    home = Path(environ.get("HOME") or Path.home())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "callfare"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "callfare"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "callfare"


class Settings(BaseSettings):
    """The settings of the service. Immutable; `load_settings` reads them from the environment."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", arbitrary_types_allowed=True
    )

    database_url: SecretStr | None = None
    """`postgresql://user:password@host:5432/database`. Unset: the embedded PostgreSQL."""
    data_dir: Path = Field(default_factory=lambda: default_data_dir(os.environ))
    """Folder of the embedded database."""
    otlp_grpc_addr: ListenAddress = Address(host="127.0.0.1", port=4317)
    """Where OTLP over gRPC is received; `HOST:PORT`."""
    otlp_http_addr: ListenAddress = Address(host="127.0.0.1", port=4318)
    """Where OTLP over HTTP is received; `HOST:PORT`."""
    web_addr: ListenAddress = Address(host="127.0.0.1", port=4319)
    """Where API, pages and metrics are served; `HOST:PORT`."""
    prices: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)] = ()
    """Extra price files, separated by commas (or the platform's path separator)."""
    config: Path | None = None
    """The configuration file: revenue and fee rules, budgets, alerts, trusted cost sources."""
    forward_endpoint: str | None = None
    """OTLP endpoint to which the spans of calls are forwarded with their cost: `http://host:port` or `https://host:port`.
    HTTP on port 4318 or with the path `/v1/traces`, else gRPC."""
    forward_content: bool = False
    """Leave prompts, completions and events on forwarded spans; they then wait in the database until they are taken."""
    posthog_host: str | None = None
    """Address of PostHog, to which an event for each call is sent: `https://eu.i.posthog.com`, `https://us.i.posthog.com`
    or your own. Together with the key."""
    posthog_api_key: SecretStr | None = None
    """Key of the PostHog project, `phc_…`."""
    jaeger_url: str | None = None
    """Address of the Jaeger page, for links from a workflow to its trace."""
    page_url: str | None = None
    """Address under which people reach the pages, for links in alerts and events. Unset: `http://` and the web
    address."""
    estimate_usage: bool | None = None
    """Estimate calls without usage: 1 from the text on their spans as well, 0 not at all. Unset: from lengths alone."""
    log_costs: bool = False
    """Write one log line for each call that is priced, and for each workflow that is final."""
    billing_account: str = Field(default="callfare", min_length=1, max_length=200)
    """`BillingAccountId` in FOCUS files and exports: this deployment, or who pays for it."""
    export_to: str | None = None
    """Where `callfare export` writes and `callfare query` reads: a directory, or `s3://BUCKET/PREFIX`."""
    resend_days: int = Field(default=30, ge=0, le=3650)
    """For how many days a span may come again: as long as Kafka topics keep messages and spools may wait.
    `callfare purge` keeps younger months."""
    mcp_url: str = "http://127.0.0.1:4319"
    """Web address of the service that `callfare mcp` asks."""
    mcp_token: SecretStr | None = None
    """Token with the scope `read` that `callfare mcp` shows, where tokens exist."""
    finalise_after: float = Field(default=300, gt=0, lt=86_400 * 365, allow_inf_nan=False)
    """Idle seconds after which an ended workflow is final."""
    processes: int | None = Field(default=None, ge=1, le=64)
    """Processes that receive spans; 1 is the service's own. Unset: the command decides."""
    tls_cert: Path | None = None
    """Certificate for all three addresses, PEM; together with its key. A renewed one is used without a restart."""
    tls_key: Path | None = None
    """Key of the certificate, PEM."""
    tls_client_ca: Path | None = None
    """Authority whose client certificates OTLP senders must show, PEM."""
    insecure: bool = False
    """Listen on an outside address without TLS, because a proxy in front does it."""
    kafka_broker: str = "127.0.0.1:9092"
    """Brokers that `callfare consume` turns to first; `HOST:PORT`, separated by commas."""
    kafka_topic: str | None = None
    """Topic that `callfare consume` reads. Unset: `kafka_topics` of the configuration file, else `otlp_spans`."""
    kafka_group: str = "callfare"
    """Consumer group: those of one group share the partitions."""
    kafka_tls: bool | None = None
    """Speak TLS to the brokers. Unset: unless all of them are on this machine."""
    kafka_ca: Path | None = None
    """Authority of the brokers' certificates, PEM. Unset: those of the system."""
    kafka_cert: Path | None = None
    """Certificate shown to the brokers, PEM; together with its key."""
    kafka_key: Path | None = None
    """Key of that certificate, PEM."""
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] | None = None
    """How user name and password are shown to the brokers. Unset: SCRAM-SHA-512."""
    kafka_username: str | None = None
    """User name for the brokers, together with the password."""
    kafka_password: SecretStr | None = None
    """Password for the brokers."""
    kafka_web_addr: ListenAddress = Address(host="127.0.0.1", port=4320)
    """Where `callfare consume` serves metrics, health and readiness; `HOST:PORT`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options given in code, then the environment: nothing is read from files in the working directory."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @field_validator(
        *("data_dir", "config", "tls_cert", "tls_key", "tls_client_ca", "kafka_ca", "kafka_cert", "kafka_key")
    )
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("is not a PostgreSQL URL; write postgresql://user:password@host:5432/database")
        return url

    @field_validator("forward_endpoint", "jaeger_url", "mcp_url", "page_url", "posthog_host")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not a URL; write http://host:port or https://host:port")
        return None if url is None else url.rstrip("/")

    @field_validator("posthog_api_key")
    @classmethod
    def _is_project_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"(?!phx_)[\x21-\x7e]+", key.get_secret_value().strip()):
            raise ValueError("is not the key of a project; copy the one that begins with phc_ from its settings")
        return None if key is None else SecretStr(key.get_secret_value().strip())

    @property
    def pages_at(self) -> str:
        """The address under which people reach the pages."""
        return self.page_url or f"http://{self.web_addr}"

    def posthog(self) -> tuple[str, str] | None:
        """Return host and project key; None where events are not sent. Raises `SettingsError` where one is missing."""
        if self.posthog_host is None and self.posthog_api_key is None:
            return None
        if self.posthog_host is None or self.posthog_api_key is None:
            missing = "CALLFARE_POSTHOG_HOST" if self.posthog_host is None else "CALLFARE_POSTHOG_API_KEY"
            raise SettingsError(f"{missing} is not set; PostHog needs both, its address and the key of a project")
        return self.posthog_host, self.posthog_api_key.get_secret_value()

    def tls(self) -> TlsFiles | None:
        """Read the TLS files; None where no certificate is set. Raises `SettingsError`."""
        if self.tls_cert is None and self.tls_key is None and self.tls_client_ca is None:
            return None
        if self.tls_cert is None or self.tls_key is None:
            missing = "CALLFARE_TLS_CERT" if self.tls_cert is None else "CALLFARE_TLS_KEY"
            raise SettingsError(f"{missing} is not set; a certificate and its key come together")
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_client_ca)


def load_settings(**options: Any) -> Settings:
    """Return the settings: `options` that are not None win over the environment. Raises `SettingsError`."""
    given = {name: option for name, option in options.items() if option is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_first_line(error, frozenset(given))) from error


def _first_line(error: ValidationError, options: frozenset[str]) -> str:
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    name = _OPTIONS.get(field, f"--{field.replace('_', '-')}") if field in options else f"{_PREFIX}{field.upper()}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}: {message[0].lower() + message[1:]}"
