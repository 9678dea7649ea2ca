"""`/v1/budgets`: budgets and their figures, and for applications check, reserve, settle, release and lease."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cost_exporter.domain.budget import BudgetState, LeaseAsked, Short, refusals
from cost_exporter.domain.cost import UNCATEGORISED
from cost_exporter.domain.money import ZERO, to_plain
from cost_exporter.errors import CallfareError
from cost_exporter.report.budgets import budget_json
from cost_exporter.serve.access import access_of, caller_of, require_admin
from cost_exporter.serve.answers import BadRequest, NotFound, answer, failure
from cost_exporter.serve.api.budget_shapes import (
    BudgetBody,
    CallBody,
    Checked,
    Exceeded,
    LeaseBody,
    Leased,
    ReleaseBody,
    ReserveBody,
    Reserved,
    ReturnBody,
    Returned,
    ReturnedLease,
    SettleBody,
    SettledAnswer,
)
from cost_exporter.serve.api.shapes import ERRORS, Envelope
from cost_exporter.serve.web import Web
from cost_exporter.settings.budget_rule import FOREIGN_BUDGET_NAMES, BudgetRule
from cost_exporter.store.budgets.accounts import CallScope, Connection
from cost_exporter.store.budgets.definitions import put_budget, remove_budget
from cost_exporter.store.budgets.leasing import Lease, beat, dimensions, lease, return_lease
from cost_exporter.store.budgets.reserving import Outcome, Settled, check, extend, release, reserve, settle
from cost_exporter.store.budgets.rules import spec_of

__all__ = ["budgets_router"]

_KEY_LENGTH_MAX: Final = 200
IdempotencyKey = Annotated[
    str | None, Header(description="Names the call: the same key again answers the first reservation.")
]
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    429: {"model": Exceeded, "description": "A budget refuses the call."}
}


def budgets_router(web: Web) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["budgets"], responses=ERRORS)
    _definitions(router, web)
    _calls(router, web)
    return router


def _definitions(router: APIRouter, web: Web) -> None:
    @router.get("/v1/budgets", summary="Budgets with what was spent and reserved")
    def budgets(request: Request) -> Response:
        """List the budgets of the tenants that the token may read, in the window that runs."""
        access = access_of(request, web.authenticate)
        with web.lend(access.tenants) as reader:
            rows = reader.budgets(tenant=access.tenant)
        return answer({"budgets": [budget_json(row) for row in rows]})

    @router.put("/v1/budgets/{name}", summary="Set a budget")
    def put(request: Request, name: str, body: BudgetBody) -> Response:
        """Set a budget, or change the one of this name as a whole. Needs a token of scope admin."""
        tenant = require_admin(request, web.authenticate)
        stated = body.model_dump()
        if tenant is not None and stated.setdefault("tenant", tenant) != tenant:
            raise NotFound
        spec = spec_of(_rule(stated | {"name": name}))
        with web.lend_budgets() as connection:
            try:
                put_budget(connection, spec, only_tenant=tenant)
            except CallfareError as error:
                raise BadRequest(str(error)) from error
        return answer({"name": name, "limit_usd": to_plain(spec.limit_usd)})

    @router.delete("/v1/budgets/{name}", summary="Remove a budget")
    def delete(request: Request, name: str) -> Response:
        """Forget a budget; what was spent stays in the ledger. Needs a token of scope admin."""
        tenant = require_admin(request, web.authenticate)
        with web.lend_budgets() as connection:
            try:
                was_there = remove_budget(connection, name, only_tenant=tenant)
            except CallfareError as error:
                raise BadRequest(str(error)) from error
        if not was_there:
            raise NotFound
        return answer({"name": name})


def _calls(router: APIRouter, web: Web) -> None:
    @router.post("/v1/budgets/check", response_model=Envelope[Checked], summary="Whether a call would fit now")
    def check_call(request: Request, body: CallBody) -> Response:
        """Look, and reserve nothing: a moment later it may be otherwise."""
        caller = caller_of(request, web.authenticate, body.tenant)
        with web.lend_budgets() as connection:
            return answer(_checked(check(connection, _scope(body, caller.tenant), body.estimate_usd)))

    @router.post(
        "/v1/budgets/reserve", response_model=Envelope[Reserved], responses=_REFUSED, summary="Reserve for a call"
    )
    def reserve_call(request: Request, body: ReserveBody, idempotency_key: IdempotencyKey = None) -> Response:
        """Reserve the estimate in every budget that applies, or in none and answer 429.

        A call that goes on reserves again, with the id of its reservation and what it may cost in all.
        """
        if idempotency_key is not None and not 0 < len(idempotency_key) <= _KEY_LENGTH_MAX:
            raise BadRequest(f"Idempotency-Key must have 1 to {_KEY_LENGTH_MAX} characters")
        caller = caller_of(request, web.authenticate, body.tenant)
        with web.lend_budgets() as connection:
            outcome = (
                reserve(
                    connection,
                    _scope(body, caller.tenant),
                    body.estimate_usd,
                    namespace=caller.namespace,
                    process_id=body.process_id or "",
                    request_key=idempotency_key,
                    goes_on=body.goes_on,
                )
                if body.reservation_id is None
                else extend(
                    connection,
                    _scope(body, caller.tenant),
                    body.reservation_id,
                    body.estimate_usd or ZERO,
                    namespace=caller.namespace,
                )
            )
        if outcome is None:
            raise NotFound
        if not outcome.is_allowed:
            web.count_exceeded()
            return _exceeded(refusals(outcome.short)[0])
        return answer(_checked(outcome) | {"reservation_id": outcome.reservation_id})

    @router.post("/v1/budgets/settle", response_model=Envelope[SettledAnswer], summary="Say what a call has cost")
    def settle_call(request: Request, body: SettleBody) -> Response:
        """Hold this instead of the estimate until the span of the call is stored."""
        caller = caller_of(request, web.authenticate, None)
        with web.lend_budgets() as connection:
            return _settled(
                body.reservation_id,
                settle(connection, body.reservation_id, body.actual_usd, namespace=caller.only_namespace),
            )

    @router.post(
        "/v1/budgets/release", response_model=Envelope[SettledAnswer], summary="Give back what a call did not use"
    )
    def release_call(request: Request, body: ReleaseBody) -> Response:
        """For a call that never went out. One that was settled is spent."""
        caller = caller_of(request, web.authenticate, None)
        with web.lend_budgets() as connection:
            settled = release(connection, body.reservation_id, namespace=caller.only_namespace)
        return _settled(body.reservation_id, settled)

    @router.post("/v1/budgets/lease", response_model=Envelope[Leased], summary="Lease money to a process")
    def lease_money(request: Request, body: LeaseBody) -> Response:
        """Grant a process a slice that it decides on by itself, or more of it; take back what it returns."""
        caller = caller_of(request, web.authenticate, body.tenant)
        asked = LeaseAsked(
            estimate_usd=body.estimate_usd or ZERO, rate_usd=body.rate_usd, admitted_usd=body.admitted_usd
        )
        with web.lend_budgets() as connection:
            beat(connection, [each for each in body.in_flight if _is_uuid(each)], namespace=caller.namespace)
            _take_back(connection, body.returns, caller.namespace)
            granted = lease(
                connection,
                _scope(body, caller.tenant),
                asked,
                namespace=caller.namespace,
                process_id=body.process_id or "",
                lease_id=body.lease_id if body.lease_id and _is_uuid(body.lease_id) else None,
            )
            return answer(_leased(granted, dimensions(connection, caller.tenant)))

    @router.post("/v1/budgets/return", response_model=Envelope[Returned], summary="Return leases")
    def return_leases(request: Request, body: ReturnBody) -> Response:
        """A process ends: take back what its leases were granted and let no call use."""
        caller = caller_of(request, web.authenticate, body.tenant)
        with web.lend_budgets() as connection:
            return answer({"returned": _take_back(connection, body.returns, caller.namespace)})


def _take_back(connection: Connection, returns: Sequence[ReturnedLease], namespace: str) -> int:
    """Return how many of these leases there are."""
    return sum(
        return_lease(connection, each.lease_id, each.admitted_usd, namespace=namespace)
        for each in returns
        if _is_uuid(each.lease_id)
    )


def _scope(body: CallBody, tenant: str) -> CallScope:
    return CallScope(
        tenant=tenant,
        api_key=body.api_key,
        user=body.user,
        category=body.category or UNCATEGORISED,
        provider=body.provider,
        model=body.model,
    )


def _rule(stated: dict[str, Any]) -> BudgetRule:
    try:
        return BudgetRule.model_validate(stated)
    except ValidationError as error:
        first = next(
            (each for each in error.errors(include_url=False) if each["type"] == "extra_forbidden"),
            error.errors(include_url=False)[0],
        )
        field = ".".join(str(part) for part in first["loc"]) or "budget"
        if first["type"] == "extra_forbidden":
            meant = FOREIGN_BUDGET_NAMES.get(field)
            advice = f"write {meant}" if meant else f"write one of {', '.join(BudgetRule.model_fields)}"
            raise BadRequest(f"{field}? {advice}") from None
        message = "is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise BadRequest(f"{field}: {message}") from None


def _figures(budget: BudgetState) -> dict[str, Any]:
    return {
        "budget": budget.name,
        "tenant": budget.tenant,
        "window": budget.time_window,
        "enforcement": budget.enforcement,
        "unpriced": budget.unpriced if budget.assumed_usd is None else to_plain(budget.assumed_usd),
        "limit_usd": to_plain(budget.limit_usd),
        "spent_usd": to_plain(budget.spent_usd),
        "reserved_usd": to_plain(budget.reserved_usd),
        "remaining_usd": to_plain(budget.remaining_usd),
        "resets_at": None if budget.resets_at is None else budget.resets_at.isoformat().replace("+00:00", "Z"),
    }


def _checked(outcome: Outcome) -> dict[str, Any]:
    tightest = min(outcome.budgets, key=lambda each: each.remaining_usd, default=None)
    return {
        "allowed": outcome.is_allowed,
        "remaining_usd": None if tightest is None else to_plain(tightest.remaining_usd),
        "budget": None if tightest is None else tightest.name,
        "exceeded": [each.budget.name for each in outcome.short],
        "budgets": [_figures(each) for each in outcome.budgets],
    }


def _exceeded(short: Short) -> Response:
    budget = short.budget
    figures = _figures(budget)
    if short.reason == "unpriced":
        message = f"budget {budget.name} refuses calls without a price: add the price, or set unpriced on the budget"
    else:
        message = (
            f"budget {budget.name} has {figures['remaining_usd']} of {figures['limit_usd']} USD left; raise its limit"
        )
    body = failure("budget_exceeded", message)
    body["error"] |= {**figures, "reason": short.reason, "request_id": str(uuid.uuid4())}
    headers = {}
    if budget.resets_at is not None:
        headers["Retry-After"] = str(max(1, int((budget.resets_at - datetime.now(UTC)).total_seconds())))
    return JSONResponse(body, 429, headers=headers)


def _settled(reservation_id: str, settled: Settled | None) -> Response:
    if settled is None:
        raise NotFound
    return answer({"reservation_id": reservation_id, "state": settled.state, "late": settled.is_late})


def _leased(granted: Lease, distinguished: dict[str, list[str]]) -> dict[str, Any]:
    ends = [budget.resets_at for budget in granted.budgets if budget.resets_at is not None]
    valid_seconds = max(0.0, (min(ends) - datetime.now(UTC)).total_seconds()) if ends else None
    mode = "reserve" if granted.reserves_each_call else "lease"
    return {
        "lease_id": granted.lease_id,
        "granted_usd": to_plain(granted.granted_usd),
        "mode": mode if granted.budgets else "none",
        "renew_after_seconds": granted.renew_after_seconds,
        "valid_seconds": valid_seconds,
        "dimensions": distinguished,
        "budgets": [_figures(each) for each in granted.budgets],
    }


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
