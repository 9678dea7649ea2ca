"""The shapes of the API's answers, for its OpenAPI description. Nothing is validated by them when it is answered.

Money and quantities that may have a fraction are strings with every digit. An unknown cost is null, never 0, and one of
which only a part is known is a lower bound.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ERRORS", "Costs", "CostsOrWorkflow", "Envelope", "Failure", "Group", "UsageStats", "Workflow"]

T = TypeVar("T")

Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="US dollars, exact.", examples=["0.0001605"])]
Quantity = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["61.25"])]
TraceId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["0af7651916cd43dd8448eb211c80319c"])]
Instant = Annotated[str, Field(description="RFC 3339, UTC.", examples=["2026-11-22T09:30:00Z"])]
Count = Annotated[int, Field(ge=0)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class Meta(_Shape):
    """What holds for the whole answer."""

    currency: Literal["USD"] = "USD"


class Envelope(_Shape, Generic[T]):
    """An answer."""

    success: Literal[True] = True
    data: T
    meta: Meta


class ErrorBody(_Shape):
    """Why there is no answer."""

    code: Annotated[str, Field(examples=["bad_request"])]
    message: Annotated[str, Field(examples=["start_date 'yesterday' is no date; write YYYY-MM-DD"])]


class Failure(_Shape):
    """A refusal."""

    success: Literal[False] = False
    error: ErrorBody


class Usage(_Shape):
    """What was paid for."""

    request_count: Annotated[int, Field(ge=0, description="Calls without duplicates.")]
    total_tokens: Annotated[int, Field(ge=0, description="Input and output tokens.")]
    characters: Annotated[int, Field(ge=0, description="Characters sent to speech synthesis.")]
    audio_seconds: Annotated[Quantity, Field(description="Seconds of audio sent to recognition.")]
    call_seconds: Annotated[Quantity, Field(description="Seconds of telephone calls.")]


class Group(Usage):
    """One combination of the dimensions asked for; each dimension is a field under its SQL name."""

    cost_usd: Annotated[Money | None, Field(description="The known part; null where nothing of the group is priced.")]
    unpriced_count: Annotated[int, Field(ge=0, description="Calls whose cost is unknown or only partly known.")]
    cost_is_lower_bound: bool


class Spend(_Shape):
    """Spend of a period."""

    start_date: Annotated[str, Field(examples=["2026-11-01"])]
    end_date: Annotated[str, Field(description="Exclusive.", examples=["2026-12-01"])]
    total_cost_usd: Money
    unpriced_count: Count
    cost_is_lower_bound: bool
    groups: list[Group]


class Costs(Spend):
    """Spend of a period, by day and on average."""

    daily_breakdown: list[Group]
    average_daily_cost: Money
    projected_monthly_cost: Annotated[
        Money, Field(description="This month, if its other days cost what those of the period did on average.")
    ]


class Workflow(_Shape):
    """A row of `workflow_cost` with its records. A trace that several tenants pay for has `workflows` instead."""

    trace_id: TraceId
    total_cost_usd: Money
    unpriced_count: Count
    cost_is_lower_bound: bool
    records: list[dict[str, Any]] | None = None
    workflows: list[dict[str, Any]] | None = None


CostsOrWorkflow = Costs | Workflow


class UsageStats(_Shape):
    """The statistics of one workflow; of one that several tenants pay for, `workflows` has those of each."""

    trace_id: TraceId
    tenant_id: str | None = None
    usage_stats: dict[str, Any] | None = None
    workflows: list[dict[str, Any]] | None = None


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "A parameter cannot be read; the message says how to write it."},
    401: {"model": Failure, "description": "No token, or one that is not known."},
    403: {"model": Failure, "description": "The token's scope does not allow this."},
    404: {"model": Failure, "description": "Unknown, or another tenant's."},
    503: {"model": Failure, "description": "The database does not answer; try again after `Retry-After` seconds."},
}
"""What any route of the API may answer instead."""
