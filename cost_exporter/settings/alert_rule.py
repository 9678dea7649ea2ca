"""A receiver of alerts in the configuration file: where messages go, and which ones."""

import base64
import os
import re
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from cost_exporter.settings.config_values import DecimalString, Part, PartName

__all__ = ["APPRISE_SCHEMES", "FOREIGN_ALERT_NAMES", "AlertRule"]

FOREIGN_ALERT_NAMES: Final = {
    "type": "kind",
    "webhook_url": "url",
    "endpoint": "url",
    "alert_types": "on",
    "events": "on",
    "signing_secret": "secret",
    "threshold_usd": "over_usd",
    "id": "name",
}
"""How others call a field, and its name here."""
APPRISE_SCHEMES: Final = frozenset(
    {
        *("mailto", "mailtos", "gchat", "gotify", "gotifys", "msteams", "ntfy", "ntfys", "opsgenie", "pagerduty"),
        *("pover", "rocket", "rockets", "signal", "signals", "tgram", "workflows", "zulip"),
    }
)
"""Services that Apprise may deliver to: by HTTP or SMTP, and nothing that runs on this machine."""
_MAIL: Final = frozenset({"mailto", "mailtos"})
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how Standard Webhooks begins every secret
_KEY_BYTES: Final = (24, 64)

Kind = Literal["webhook", "slack", "discord", "email", "apprise"]
On = Literal[
    "budget",
    "unpriced",
    "workflow_over",
    "spike",
    "silence",
    "prices_old",
    "integrity",
    "kafka_lag",
    "too_old",
    "report",
]


def _secret_text(given: Any) -> Any:
    """Read a text that may be `${VARIABLE}`, so that the file holds no secret."""
    if not isinstance(given, str):
        return given
    named = _VARIABLE.fullmatch(given.strip())
    if named is None:
        return SecretStr(given.strip())
    if not os.environ.get(named[1]):
        raise ValueError(f"the environment has no {named[1]}; set it where the service starts")
    return SecretStr(os.environ[named[1]].strip())


def _on(given: Any) -> Any:
    """YAML's own `on: budget` is one word: as good as a list of one."""
    return (given,) if isinstance(given, str) else given


Secret = Annotated[SecretStr, BeforeValidator(_secret_text)]


class AlertRule(Part):
    """A receiver of alerts: where they go, and which ones."""

    name: PartName
    """Name of the receiver, unique."""
    kind: Kind
    """`webhook` (as Standard Webhooks has it), `slack`, `discord`; by the extra `alerts` also `email` and `apprise`."""
    url: Secret
    """Where messages go. `${NAME}` takes it from the environment of the service."""
    on: Annotated[tuple[On, ...], Field(strict=False), BeforeValidator(_on)]
    """Its events: any of `budget`, `unpriced`, `workflow_over`, `spike`, `silence`, `prices_old`, `integrity`,
    `kafka_lag`, `too_old`; and `report`, for a receiver that gets only reports, which name it."""
    tenant: str | None = None
    """Only alerts of this tenant. Unset: of all, and of the service itself."""
    over_usd: DecimalString | None = None
    """With `workflow_over`: what a workflow may cost before it is one."""
    spike_min_usd: DecimalString | None = None
    """With `spike`: how far above its median an hour must be at least. Unset: 1."""
    silence_minutes: Annotated[int, Field(ge=5, le=7 * 24 * 60)] | None = None
    """With `silence`: how long a service must have been silent at least. Unset: 60."""
    prices_old_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """With `prices_old`: after how many days without a check prices are old. Unset: 30."""
    lag_messages: Annotated[int, Field(ge=1)] | None = None
    """With `kafka_lag`: how many messages of a topic may wait for one `callfare consume`. Unset: 10,000."""
    secret: Secret | None = None
    """Of a webhook: `whsec_` and 24 to 64 bytes in base64, by which messages are signed. `${NAME}` as for the URL."""
    allow_private: bool = False
    """Whether the receiver may be at a private address, such as one of this network, and without TLS."""

    @property
    def key(self) -> bytes | None:
        """The key by which messages are signed; None for a receiver without one."""
        return None if self.secret is None else _key(self.secret.get_secret_value())

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.on:
            raise ValueError("on is empty, so nothing would be sent; name what it is for, such as budget")
        self._require_url()
        for field, kind in (
            ("over_usd", "workflow_over"),
            ("spike_min_usd", "spike"),
            ("silence_minutes", "silence"),
            ("prices_old_days", "prices_old"),
            ("lag_messages", "kafka_lag"),
        ):
            if getattr(self, field) is not None and kind not in self.on:
                raise ValueError(f"{field} has no effect without {kind} in on; add it there, or remove {field}")
        if "workflow_over" in self.on and self.over_usd is None:
            raise ValueError('workflow_over needs over_usd, such as over_usd: "0.50"')
        if self.tenant is not None and not set(self.on) - {"prices_old", "integrity", "kafka_lag", "too_old"}:
            raise ValueError(
                "prices_old, integrity, kafka_lag and too_old are of no tenant; remove tenant, or add a kind"
            )
        if self.secret is not None:
            if self.kind != "webhook":
                raise ValueError(f"secret has no effect for {self.kind}; remove it")
            _key(self.secret.get_secret_value())
        return self

    def _require_url(self) -> None:
        url = self.url.get_secret_value()
        try:
            parts = urlsplit(url)
            has_host, _ = bool(parts.hostname), parts.port
        except ValueError:
            raise ValueError("url is no URL; write it as https://host/path") from None
        if self.kind in {"email", "apprise"}:
            allowed = _MAIL if self.kind == "email" else APPRISE_SCHEMES
            if parts.scheme not in allowed:
                raise ValueError(f"url does not begin with one of {', '.join(sorted(allowed))}, and ://")
            return
        if not has_host or parts.scheme not in {"http", "https"} or any(each.isspace() for each in url):
            raise ValueError("url is no URL; write it as https://host/path")
        if parts.scheme == "http" and not self.allow_private:
            raise ValueError("url is not https; write https://, or allow_private: true for a receiver in this network")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(_SECRET_PREFIX) or not _KEY_BYTES[0] <= len(key) <= _KEY_BYTES[1]:
        raise ValueError("secret must be whsec_ and 24 to 64 bytes in base64; `openssl rand -base64 32` makes these")
    return key
