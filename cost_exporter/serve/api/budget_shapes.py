"""The bodies of requests about budgets, and of their answers."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from cost_exporter.domain.money import MAX_MONEY, parse_decimal
from cost_exporter.serve.api.shapes import ErrorBody

__all__ = [
    "BudgetBody",
    "CallBody",
    "Checked",
    "Exceeded",
    "LeaseBody",
    "Leased",
    "ReleaseBody",
    "ReserveBody",
    "Reserved",
    "ReturnBody",
    "Returned",
    "ReturnedLease",
    "SettleBody",
    "SettledAnswer",
]

_WORD_LENGTH_MAX: Final = 256
_IDS_MAX: Final = 10_000


def _amount(given: Any) -> Any:
    """Read money that is exact: a string, or a whole number."""
    if given is None or isinstance(given, Decimal):
        return given
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        raise ValueError(f'must be a string such as "0.05"; {given!r} is not exact')  # noqa: TRY004 - pydantic's way
    amount = parse_decimal(str(given))
    if not 0 <= amount < MAX_MONEY:
        raise ValueError(f"{given!r} must be at least 0 and below 10^12")
    return amount


def _word(given: Any) -> Any:
    if isinstance(given, str) and (re.search(r"[\x00-\x1f]", given) or len(given) > _WORD_LENGTH_MAX):
        raise ValueError(f"must be up to {_WORD_LENGTH_MAX} characters without control characters")
    return given or None


_MONEY: Final = {"type": "string", "pattern": r"^\d+(\.\d+)?$", "examples": ["0.05"]}
Amount = Annotated[Decimal, BeforeValidator(_amount), WithJsonSchema(_MONEY)]
Word = Annotated[str | None, BeforeValidator(_word)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CallBody(_Body):
    """A call that is about to go out."""

    estimate_usd: Annotated[Amount | None, Field(description="What it may cost; null where it has no price.")] = None
    tenant: Annotated[Word, Field(description="Whose call it is. Default: the tenant of the token.")] = None
    api_key: Annotated[Word, Field(description="The API key of the customer that causes it.")] = None
    user: Annotated[Word, Field(description="The user that causes it.")] = None
    category: Annotated[Word, Field(description="Its category, such as `bot`.")] = None
    provider: Annotated[Word, Field(description="The provider that is called.")] = None
    model: Annotated[Word, Field(description="The model that is called.")] = None
    process_id: Annotated[Word, Field(description="The process that makes the call.")] = None


class ReserveBody(CallBody):
    """Money for a call, or more of it for one that goes on."""

    goes_on: Annotated[
        bool, Field(description="It will reserve again: a socket or telephone call, whose cost arrives in parts.")
    ] = False
    reservation_id: Annotated[
        Word, Field(description="The reservation to extend. `estimate_usd` is then what the call may cost in all.")
    ] = None


class SettleBody(_Body):
    """The cost of a call that has ended."""

    reservation_id: Annotated[str, Field(description="From the answer to `reserve`.")]
    actual_usd: Annotated[Amount, Field(description="What the call cost.")]


class ReleaseBody(_Body):
    """A call that never went out."""

    reservation_id: Annotated[str, Field(description="From the answer to `reserve`.")]


class ReturnedLease(_Body):
    """A lease that is over."""

    lease_id: str
    admitted_usd: Amount


class ReturnBody(_Body):
    """Leases of a process that ends."""

    tenant: Annotated[Word, Field(description="Whose leases they are. Default: the tenant of the token.")] = None
    returns: Annotated[
        list[ReturnedLease],
        Field(description="Each with `lease_id` and `admitted_usd`, what its calls cost.", max_length=_IDS_MAX),
    ]


class LeaseBody(CallBody):
    """A process asks for money that it decides on by itself, or for more of it, and says that it is alive."""

    lease_id: Annotated[str | None, Field(description="The lease to renew; null for the first.")] = None
    rate_usd: Annotated[Amount, Field(description="What the process spends in a second.")] = Decimal(0)
    admitted_usd: Annotated[
        Amount, Field(description="What the calls of this lease have cost, or will cost by their estimates.")
    ] = Decimal(0)
    in_flight: Annotated[
        list[str], Field(description="Reservations whose calls are under way.", max_length=_IDS_MAX)
    ] = Field(default_factory=list[str])
    returns: Annotated[list[ReturnedLease], Field(description="Leases that are over.", max_length=_IDS_MAX)] = Field(
        default_factory=list[ReturnedLease]
    )


class BudgetBody(BaseModel):
    """A budget, as in the configuration file but for its name, which is in the path."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"example": {"tenant": "acme", "window": "day", "limit_usd": "5", "soft_percent": 80}},
    )


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class BudgetFigures(_Answer):
    """One budget in its window."""

    budget: str
    window: str
    limit_usd: str
    spent_usd: str
    reserved_usd: str
    remaining_usd: str
    resets_at: str | None


class Checked(_Answer):
    """Whether a call would fit now."""

    allowed: bool
    remaining_usd: Annotated[str | None, Field(description="Of the tightest budget; null where none applies.")]
    budget: Annotated[str | None, Field(description="The tightest budget.")]
    budgets: list[BudgetFigures]


class Reserved(Checked):
    """Money reserved for a call."""

    reservation_id: Annotated[
        str, Field(description="Put it on the span of the call as `callfare.budget.reservation.id`.")
    ]


class SettledAnswer(_Answer):
    """The state of a reservation."""

    reservation_id: str
    state: str
    late: Annotated[bool, Field(description="It had expired before.")]


class Leased(_Answer):
    """The slice that a process may decide on by itself."""

    lease_id: str | None
    granted_usd: Annotated[str, Field(description="In all, what its calls took before included.")]
    mode: Annotated[str, Field(description="lease, reserve (ask for each call) or none (no budget applies).")]
    renew_after_seconds: int
    valid_seconds: Annotated[float | None, Field(description="Until the first window ends.")]
    dimensions: Annotated[
        dict[str, list[str]], Field(description="What the tenant's budgets distinguish: other calls may share a lease.")
    ]
    budgets: list[BudgetFigures]


class Returned(_Answer):
    """How many of the leases there were."""

    returned: int


class ExceededBody(ErrorBody):
    """The budget that refuses, and its figures."""

    reason: str
    budget: str
    window: str
    limit_usd: str
    spent_usd: str
    reserved_usd: str
    remaining_usd: str
    resets_at: str | None
    request_id: str


class Exceeded(_Answer):
    """A refused call."""

    success: bool = False
    error: ExceededBody
