"""Judge a call that failed: refused before any work, which costs nothing, or failed after it, which may (rule 8).

Refused is an HTTP 4xx or 5xx, an error whose name means one, or a connection that never came about, and no
sign of output. A time-out, a break in mid-stream and a failure after the answer (`responses.parse` that does
not validate) may have been billed.
"""

import re
from typing import Final

from cost_exporter.read.fields.reading import Reading
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.values import text_of

__all__ = ["Failure", "exception_type", "failure_of", "http_status_in_words"]

_ERROR: Final = 2
_EVENTS_MAX: Final = 64
_HTTP_ERROR: Final = range(400, 600)
_REQUEST_TIMEOUT: Final = frozenset({408, 504})
"""The work may have been done, and the answer came too late."""
_FIRST_OUTPUT_KEY: Final = "gen_ai.response.time_to_first_chunk"
_FIRST_OUTPUT_EVENT: Final = "First Token Stream Event"  # OpenInference
_OUTPUTS: Final = ("output_tokens", "output_audio_seconds")
_WORDS_BYTES_MAX: Final = 512
_NO_UNIT: Final = r"\b(?!\s*(?:m?s\b|sec|min|tok|char|word|byte|chunk|event|%))"
"""After a number that is no measure, as in `500 tokens were generated`."""
_STATUS: Final = re.compile(
    rf"^(?:[\w.]*(?:Error|Exception):\s*)?(?:HTTP\s*)?([45]\d\d){_NO_UNIT}"
    r"|(?:status[ _]?code|error code|status|HTTP(?:/\d(?:\.\d)?)?(?: error)?)[^.\d\n]{1,40}?"
    rf"([45]\d\d){_NO_UNIT}",
    re.IGNORECASE,
)
_CLASS_REPR: Final = re.compile(r"^<class '(.+)'>$")

_REFUSALS: Final = frozenset(
    {
        # OpenAI, Anthropic, Groq, Cerebras and every other SDK of that make
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
        # Cohere, ElevenLabs, Deepgram: what Fern generates
        "UnauthorizedError",
        "ForbiddenError",
        "TooManyRequestsError",
        # Anthropic's error types, as its own spans carry them
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "api_error",
        "overloaded_error",
        # Bedrock
        "ThrottlingException",
        "AccessDeniedException",
        "ValidationException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
        "ServiceUnavailableException",
        "ModelNotReadyException",
        # Google
        "ResourceExhausted",
        "ResourceExhaustedError",  # Google's Agent Development Kit
        "PermissionDenied",
        "Unauthenticated",
        "InvalidArgument",
        "ServiceUnavailable",
        "TooManyRequests",
        # The same SDKs in Java and .NET, Spring's and Fern's
        "UnauthorizedException",
        "BadRequestException",
        "PermissionDeniedException",
        "ForbiddenException",
        "NotFoundException",
        "UnprocessableEntityException",
        "RateLimitException",
        "TooManyRequestsException",
        "InternalServerException",
        "Unauthorized",
        "Forbidden",
        "BadRequest",
        "NotFound",
        "ModelHTTPError",  # Pydantic AI: an answer with an HTTP error
        "AI_APICallError",  # Vercel AI: an HTTP error or no connection; its status is not on the span
        # No connection: nothing was asked
        "ConnectError",
        "ConnectionRefusedError",
        "ClientConnectorError",
        "ClientConnectionRefusedError",
        "ConnectTimeout",
        "NewConnectionError",
        "gaierror",
        "ECONNREFUSED",
        "ENOTFOUND",
        "InvalidStatus",  # websockets: the handshake was answered with an error
        "InvalidHandshake",
        # A budget refused it before it was sent: callfare's, and that of LiteLLM's proxy
        "BudgetExceeded",
        "BudgetExceededError",
    }
)

_QUALIFIED_REFUSALS: Final = frozenset(
    {
        # An answer with an HTTP error each. Elsewhere these names stand for other things.
        "botocore.exceptions.ClientError",
        "google.genai.errors.ClientError",
        "google.genai.errors.ServerError",
        "System.ClientModel.ClientResultException",
        "Azure.RequestFailedException",
    }
)


class Failure:
    """How a call ended."""

    __slots__ = ("error_type", "has_failed", "is_refused")

    def __init__(self, *, error_type: str, has_failed: bool, is_refused: bool) -> None:
        """Say how it ended."""
        self.error_type = error_type
        self.has_failed = has_failed
        self.is_refused = is_refused


_NONE: Final = Failure(error_type="", has_failed=False, is_refused=False)


def failure_of(reading: Reading) -> Failure:
    """Return how the call of a span ended."""
    is_error = reading.span.status.code == _ERROR
    if not is_error and not reading.layout.may_report_failure:
        return _NONE
    texts = reading.layout.texts
    is_error = is_error or reading.first_text(texts.get("error_level", ())) == "ERROR"
    error_type = _error_name(reading.first_text(texts.get("error_type", ())))
    if not error_type and is_error:
        error_type = _error_name(exception_type(reading))
    http_status = _http_status(reading.first_text(texts.get("http_status", ())) or error_type)
    has_failed = is_error or bool(error_type) or http_status in _HTTP_ERROR
    if not has_failed and not _says_refused(reading):
        return _NONE
    return Failure(
        error_type=error_type or (str(http_status) if http_status in _HTTP_ERROR else ""),
        has_failed=True,
        is_refused=_is_refused(reading, error_type, http_status),
    )


def _is_refused(reading: Reading, error_type: str, http_status: int) -> bool:
    stated = reading.first_flag(reading.layout.flags.get("is_refused", ()))
    if stated is not None:
        return stated
    if any(reading.quantities.get(output) for output in _OUTPUTS):
        return False
    if http_status in _HTTP_ERROR:
        return http_status not in _REQUEST_TIMEOUT
    if not _has_output(reading) and (status := _status_in_words(reading, error_type)):
        return status not in _REQUEST_TIMEOUT
    return _means_refusal(_qualified(error_type, reading)) and not _has_output(reading)


def _says_refused(reading: Reading) -> bool:
    return reading.first_flag(reading.layout.flags.get("is_refused", ())) is True


def _qualified(error_type: str, reading: Reading) -> str:
    """Return an error's name with its module, where only the exception event says that (Traceloop)."""
    full_name = "" if "." in error_type else exception_type(reading)
    return full_name if full_name.rpartition(".")[2] == error_type else error_type


def _means_refusal(error_type: str) -> bool:
    if error_type in _QUALIFIED_REFUSALS:
        return True
    name = re.split(r"[.$]", error_type)[-1]
    # LangChain and others put their own name before that of the SDK's error: OpenAIRateLimitError.
    return name in _REFUSALS or any(name.endswith(known) for known in _REFUSALS if known.endswith("Error"))


def _has_output(reading: Reading) -> bool:
    if reading.response_id or _FIRST_OUTPUT_KEY in reading.attributes:
        return True
    return any(event.name == _FIRST_OUTPUT_EVENT for event in reading.span.events[:_EVENTS_MAX])


def _error_name(stated: str) -> str:
    """Return `<class 'openai.APIError'>` (openai-v2) as `openai.APIError`."""
    found = _CLASS_REPR.match(stated)
    return found[1] if found else stated


def exception_type(reading: Reading) -> str:
    """Return the type in the last exception event: all that Logfire and OpenInference say of an error."""
    for event in reversed(reading.span.events[:_EVENTS_MAX]):
        if event.name == "exception":
            found = event.attributes.get("exception.type")
            if found is not None:
                return text_of(found)
    return ""


def _status_in_words(reading: Reading, error_type: str) -> int:
    """Return the HTTP status in what was written of an error: `401: bad key`, `status_code: 400`; 0 where none is."""
    return (
        _status_in(error_type[:_WORDS_BYTES_MAX])
        or _status_in(reading.span.status.message[:_WORDS_BYTES_MAX].decode("utf-8", "replace"))
        or _status_in(reading.first_text(reading.layout.texts.get("error_text", ())))
        or _status_in(_exception_words(reading.span))
    )


def http_status_in_words(span: wire.Span) -> int:
    """Return the HTTP status in the messages of a span's status and last exception; 0 where none is."""
    message = span.status.message[:_WORDS_BYTES_MAX].decode("utf-8", "replace")
    return _status_in(message) or _status_in(_exception_words(span))


def _status_in(text: str) -> int:
    match = _STATUS.search(text)
    return int(match[1] or match[2]) if match else 0


def _exception_words(span: wire.Span) -> str:
    for event in reversed(span.events[:_EVENTS_MAX]):
        found = event.attributes.get("exception.message") if event.name == "exception" else None
        if found is not None:
            return text_of(found)[:_WORDS_BYTES_MAX]
    return ""


def _http_status(stated: str) -> int:
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) == len("200") else 0
