"""The shapes of the API's answers, for its OpenAPI description. Nothing is validated by them when it is answered.

Money and quantities that may have a fraction are strings with every digit. An unknown cost is null, never 0, and one of
which only a part is known is a lower bound.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ERRORS",
    "STREAMS",
    "Costs",
    "CostsOrWorkflow",
    "Envelope",
    "Failure",
    "Group",
    "Prices",
    "Unpriced",
    "Unread",
    "UsageStats",
    "Workflow",
    "WorkflowPage",
]

T = TypeVar("T")

Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="US dollars, exact.", examples=["0.0001605"])]
Quantity = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["61.25"])]
TraceId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["0af7651916cd43dd8448eb211c80319c"])]
Instant = Annotated[str, Field(description="RFC 3339, UTC.", examples=["2026-11-22T09:30:00Z"])]
Count = Annotated[int, Field(ge=0)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class Meta(_Shape):
    """The metadata of an answer."""

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
    """The quantities that were paid for."""

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


class ModelCost(Group):
    """The cost of one model."""

    avg_latency_ms: Annotated[Quantity | None, Field(description="Mean duration of a call in milliseconds.")]


class Costs(Spend):
    """Spend of a period, by day and on average."""

    model_breakdown: Annotated[
        dict[str, ModelCost] | None, Field(description="By `provider/model`, the most expensive 100.")
    ] = None
    first_request_at: Instant | None = None
    last_request_at: Instant | None = None

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
    call: Annotated[
        dict[str, Any] | None,
        Field(
            description="The row of `voice_call`: duration, turns, waiting times, cost per minute; null for no call."
        ),
    ] = None
    workflows: list[dict[str, Any]] | None = None


class ListedWorkflow(Usage):
    """A row of `workflow_cost` with its usage."""

    tenant_id: str
    trace_id: TraceId
    workflow_id: Annotated[str, Field(description="The application's own id; the trace id where it states none.")]
    workflow_name: str | None
    state: Annotated[str, Field(description="`running`, `completed`, `failed` or `finalised`.")]
    started_at: Instant | None
    ended_at: Instant | None
    duration_seconds: Quantity | None
    total_cost_usd: Money
    cost_is_lower_bound: bool
    unpriced_count: Count
    cost_per_minute_usd: Annotated[
        Money | None, Field(description="Of the telephone call, else of the time between the first and the last span.")
    ]
    revenue_usd: Money | None
    fee_usd: Annotated[Money | None, Field(description="Null where there is no fee rule.")]
    profit_usd: Annotated[
        Money | None, Field(description="At most this where `fee_usd` is null or the cost is a lower bound.")
    ]
    by_leg: dict[str, Money | None]
    by_category: dict[str, Money | None]


class WorkflowPage(_Shape):
    """A page of workflows."""

    workflows: list[ListedWorkflow]
    next_cursor: Annotated[str | None, Field(description="Of the next page; null on the last one.")]


class Prices(_Shape):
    """Price rows as price files have them, with `price_id` and where they come from."""

    book_version: str
    prices: list[dict[str, Any]]
    next_offset: int | None


class UnpricedCalls(_Shape):
    """Calls of one model without a cost, or with only a part of it."""

    provider: str | None
    model: str | None
    operation: str | None
    status: str
    request_count: Count
    tenant_count: Count
    first_seen_at: Instant
    last_seen_at: Instant
    example_trace_id: TraceId
    missing_units: list[str]
    issues: list[str]
    nearest_model: Annotated[str | None, Field(description="A priced model with a similar name. A hint, never used.")]


class Unpriced(_Shape):
    """Usage without a cost, the most frequent first."""

    unpriced: list[UnpricedCalls]


class Unread(_Shape):
    """Attributes and spans that were not understood, the most frequent first."""

    unread: list[dict[str, Any]]


class ClosedPeriod(_Shape):
    """A closing of a month for one tenant: what it cost then, and what corrections have added since."""

    closing_id: Count
    month: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    closed_for: Annotated[str, Field(description="The tenant that was closed; `*`: every tenant.")]
    tenant_id: Annotated[str | None, Field(description="Null where the month has no calls.")]
    closed_at: Instant
    reopened_at: Annotated[Instant | None, Field(description="Null while it is in force.")]
    closed_cost_usd: Money | None
    closed_unpriced_count: Count | None
    correction_count: Count | None
    correction_usd: Annotated[Money | None, Field(description="May be negative.")]
    cost_usd: Money | None
    unpriced_count: Count | None


class Periods(_Shape):
    """Closed months, the newest first."""

    periods: list[ClosedPeriod]


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
"""The error responses that every route may return."""

STREAMS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        }
    }
}
"""Beside JSON, where a route has it."""
