"""Which errors mean that a provider refused a call: it is free, and known to be."""

import pytest

from cost_exporter.read.vocabulary.operations import WRAPPER, operation_named
from tests.read.otlp_spans import call

REFUSALS = [
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "BadRequestError",
    "ConflictError",
    "UnprocessableEntityError",
    "RateLimitError",
    "InternalServerError",
    "ServiceUnavailableError",
    "OverloadedError",
    "RequestTooLargeError",
    "APIConnectionError",
    "UnauthorizedError",
    "ForbiddenError",
    "TooManyRequestsError",
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
    "ThrottlingException",
    "AccessDeniedException",
    "ValidationException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "ServiceUnavailableException",
    "ModelNotReadyException",
    "ResourceExhausted",
    "PermissionDenied",
    "Unauthenticated",
    "InvalidArgument",
    "ServiceUnavailable",
    "TooManyRequests",
    "AI_APICallError",
    "ConnectError",
    "ConnectionRefusedError",
    "ClientConnectorError",
    "ClientConnectionRefusedError",
    "ConnectTimeout",
    "NewConnectionError",
    "gaierror",
    "ECONNREFUSED",
    "ENOTFOUND",
    "InvalidStatus",
    "InvalidHandshake",
    "botocore.exceptions.ClientError",
    "google.genai.errors.ClientError",
    "google.genai.errors.ServerError",
]
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_is_known(name: str) -> None:
    """The table entry by entry: a refusal that is not known is a call of which nothing is known, and never free."""
    found = call({**CHAT, "error.type": name}, status={"code": 2})
    assert found.usage.is_refused


@pytest.mark.parametrize("name", ["TimeoutError", "ReadTimeout", "KeyError", "ClientError", "canceled", "_OTHER"])
def test_other_errors_may_have_been_billed(name: str) -> None:
    """Whatever is no refusal stays unknown, which is never 0."""
    found = call({**CHAT, "error.type": name}, status={"code": 2})
    assert found.usage.has_failed
    assert not found.usage.is_refused


def test_a_handoff_between_agents_is_no_call() -> None:
    """Whatever it states: the calls are below it."""
    assert operation_named("handoff", has_usage=True) == operation_named("handoff", has_usage=False) == WRAPPER
