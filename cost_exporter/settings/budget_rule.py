"""A budget in the configuration file, and by the same rules on the command line and in the API."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cost_exporter.settings.config_values import DecimalString, Part, Percent, decimal_string

__all__ = ["FOREIGN_BUDGET_NAMES", "BudgetRule"]

FOREIGN_BUDGET_NAMES: Final = {
    "max_budget": "limit_usd",
    "budget_limit": "limit_usd",
    "limit": "limit_usd",
    "amount": "limit_usd",
    "soft_budget": "soft_percent",
    "alert_thresholds": "thresholds",
    "budget_duration": "window",
    "duration": "window",
    "period": "window",
    "budget_id": "name",
    "id": "name",
    "team_id": "tenant",
    "team": "tenant",
    "customer": "tenant",
    "tenant_id": "tenant",
    "user_id": "user",
    "key": "api_key",
    "api_key_id": "api_key",
    "enforcement": "hard",
}
"""How others call a field, and its name here."""
_WINDOWS: Final = {
    "hour": ("1h", "60m", "hourly"),
    "day": ("1d", "24h", "daily"),
    "month": ("1mo", "30d", "monthly"),
    "total": ("lifetime", "never", "all"),
}
_NAME_LENGTH_MAX: Final = 100


def _window(given: Any) -> Any:
    if isinstance(given, str) and given not in _WINDOWS:
        meant = next((window for window, words in _WINDOWS.items() if given.lower() in words), None)
        advice = f"{meant}, a calendar {meant} in UTC" if meant in {"hour", "day", "month"} else "total"
        raise ValueError(f"{given!r} is no window; write {advice if meant else 'hour, day, month or total'}")
    return given


def _unpriced(given: Any) -> Any:
    if isinstance(given, Decimal) or given in {"refuse", "allow"}:
        return given
    try:
        return decimal_string(given)
    except ValueError:
        raise ValueError('must be refuse, allow, or an amount assumed for each call, such as "0.05"') from None


def _until(given: Any) -> Any:
    """Read an instant with its zone, or a date: its midnight, UTC."""
    if isinstance(given, datetime):
        moment = given
    elif isinstance(given, date):
        moment = datetime.combine(given, time(0), UTC)
    else:
        try:
            moment = datetime.fromisoformat(str(given))
        except ValueError:
            raise ValueError(f"{given!r} is no date; write YYYY-MM-DD") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _name(given: Any) -> Any:
    if isinstance(given, str) and not (
        0 < len(given.strip()) == len(given) <= _NAME_LENGTH_MAX and given.isprintable()
    ):
        raise ValueError(f"must be 1 to {_NAME_LENGTH_MAX} printable characters without spaces around them")
    return given


Name = Annotated[str, BeforeValidator(_name)]


class BudgetRule(Part):
    """Limit of what the calls of a tenant may cost in a window. Windows are UTC, and go by the start of each call."""

    name: Name
    """Name of the budget, unique."""
    tenant: Name
    """Whose calls it limits. `*` gives each tenant a budget of its own, except those with one for the same window."""
    window: Annotated[Literal["hour", "day", "month", "total"], BeforeValidator(_window)]
    """A calendar hour, day or month in UTC, or everything there ever was."""
    limit_usd: DecimalString
    """The amount that may be spent in a window."""
    hard: bool | Literal["shadow"] = True
    """Whether it refuses calls: true, false (it reports), or `shadow` (it reports what it would have refused)."""
    soft_percent: Percent | None = None
    """Percentage of the limit that is reported as reached once so much is spent."""
    thresholds: Annotated[tuple[Percent, ...], Field(strict=False)] = ()
    """Further percentages. 100 is always one of them."""
    unpriced: Annotated[Literal["refuse", "allow"] | Decimal | None, BeforeValidator(_unpriced)] = None
    """The treatment of a call that has no price: `refuse`, `allow`, or an amount that is assumed. Unset: a hard budget
    refuses it, the others allow it."""
    api_key: Name | None = None
    """Only calls with this API key id."""
    user: Name | None = None
    """Only calls of this user."""
    category: Name | None = None
    """Only calls of this category."""
    provider: Name | None = None
    """Only calls to this provider."""
    model: Name | None = None
    """Only calls of this model, its dated versions included; `gpt-4o*` for all that begin so."""
    raised_by_usd: DecimalString | None = None
    """Added to the limit until `raised_until`."""
    raised_until: Annotated[datetime, BeforeValidator(_until)] | None = None
    """When the raise ends: a date (its midnight, UTC) or an instant."""

    @property
    def percentages(self) -> tuple[Decimal, ...]:
        """Every percentage that is reported as reached."""
        stated = {*self.thresholds, Decimal(100)} | ({self.soft_percent} if self.soft_percent is not None else set())
        return tuple(sorted(stated))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.raised_by_usd is None) != (self.raised_until is None):
            raise ValueError("a raise needs raised_by_usd and raised_until, both")
        narrow = [name for name in ("api_key", "user") if getattr(self, name) is not None]
        others = [name for name in ("category", "provider", "model") if getattr(self, name) is not None]
        if len(narrow) > 1 or (narrow and others):
            names = " and ".join([*narrow, *others])
            raise ValueError(f"a budget cannot be by {names} together; make one budget for each")
        return self
