"""Spans as they would be exported, and a clean application side for every test."""

import io
import wave
from collections.abc import Callable, Iterator

import pytest

from callfare import guard
from callfare.provider import hook
from tests.support.recording import Recorded, secrets_in, text_of


@pytest.fixture
def spans() -> Iterator[Recorded]:
    """A recorder with a tracer provider of its own. Nothing of what was said may be on any span of ours."""
    made = Recorded()
    yield made
    # CALLFARE_CAPTURE_CONTENT asks for attributes with content; test_canary.py sees to those.
    assert secrets_in([text_of(made.ours, ignored="callfare.content.")]) == [], "content left the process"
    made.provider.shutdown()


@pytest.fixture
def attributed(spans: Recorded) -> Recorded:
    """The same, with everything of ours installed in the provider."""
    hook.install(spans.provider)
    return spans


@pytest.fixture(autouse=True)
def no_internal_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Our own code swallows its errors towards the application; a test must not."""
    before = guard.internal_error_count()
    yield
    if "expects_internal_errors" not in request.keywords:
        assert guard.internal_error_count() == before, "callfare swallowed an error of its own: see the log"


@pytest.fixture
def wav() -> Callable[..., bytes]:
    """A WAV file of so many seconds."""

    def make(seconds: float, *, rate: int = 16_000, channels: int = 1) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(b"\0\0" * channels * int(seconds * rate))
        return buffer.getvalue()

    return make
