"""ElevenLabs' agents with the real SDK, 1.x and 2.x: a conversation is billed while it is connected."""

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from elevenlabs.client import ElevenLabs

from callfare import attributes as names
from callfare.calls.session import reporter
from callfare.instrumentation.elevenlabs import ElevenLabsInstrumentor
from tests.instrumentation.fakes.elevenlabs import ElevenLabsFake
from tests.support.waiting import PATIENCE_SECONDS, wait_until

with warnings.catch_warnings(action="ignore"):  # the SDK names what websockets is about to drop
    from elevenlabs.conversational_ai import conversation as sdk

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK uses old ways of websockets


@pytest.fixture
def fake() -> Iterator[ElevenLabsFake]:
    with ElevenLabsFake() as server:
        yield server


@pytest.fixture(autouse=True)
def instrumented(spans) -> Iterator[None]:
    instrumentor = ElevenLabsInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield
    instrumentor.uninstrument()


class Line(sdk.AudioInterface):
    """A telephone at which nobody listens."""

    say: Any = None

    def start(self, input_callback: Any) -> None:
        self.say = input_callback

    def stop(self) -> None:
        """The conversation is over."""

    def output(self, audio: bytes) -> None:
        """The agent speaks."""

    def interrupt(self) -> None:
        """The agent was interrupted."""


def conversation(fake: ElevenLabsFake, line: Any, kind: Any = sdk.Conversation) -> Any:
    """A conversation with the fake: the SDK offers no other way to say where the vendor is."""
    made = kind(ElevenLabs(api_key="k"), "agent-1", requires_auth=False, audio_interface=line)
    made._get_wss_url = lambda: f"{fake.ws_url}/v1/convai/conversation?agent_id=agent-1"
    return made


def greeted(talk: Any) -> None:
    """Wait for the agent's greeting."""
    wait_until("the greeting", lambda: talk._conversation_id)


def billed(spans) -> Any:
    """The only span of a paid call."""
    (found,) = [span for span in spans.all if names.OPERATION_NAME in span.attributes]
    return found


def test_a_conversation_is_a_session_below_who_began_it(fake, spans) -> None:
    """Its time, the vendor's name for it, and the span that was current, though a thread of the SDK's talks."""
    talk = conversation(fake, Line())
    with spans.tracer.start_as_current_span("call") as call:
        talk.start_session()
    greeted(talk)
    talk.end_session()
    assert talk.wait_for_session_end() == "conversation-1"
    attributes = billed(spans).attributes
    assert billed(spans).parent == call.get_span_context()
    assert (attributes[names.OPERATION_NAME], attributes[names.REQUEST_MODEL]) == ("voice_agent", "conversational-ai")
    assert (attributes[names.RESPONSE_ID], attributes[names.SESSION_STATE]) == ("conversation-1", "closed")
    assert 0 < attributes[names.SESSION_SECONDS] < PATIENCE_SECONDS
    assert names.AUDIO_INPUT_SECONDS not in attributes
    assert not reporter()._due_at_seconds


def test_an_agent_that_hangs_up_ends_the_session(fake, spans) -> None:
    """The other side's closing is an end like any other."""
    line = Line()
    talk = conversation(fake, line)
    talk.start_session()
    greeted(talk)
    line.say(b"goodbye")
    talk.wait_for_session_end()
    assert billed(spans).attributes[names.SESSION_STATE] == "closed"


def test_each_conversation_is_a_session_of_its_own(fake, spans) -> None:
    """One after the other: neither id nor time is shared."""
    for _ in range(2):
        talk = conversation(fake, Line())
        talk.start_session()
        greeted(talk)
        talk.end_session()
        talk.wait_for_session_end()
    assert [found[names.RESPONSE_ID] for found in spans.attributes] == ["conversation-1", "conversation-2"]
    assert len({found[names.SESSION_ID] for found in spans.attributes}) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_refused_conversation_costs_nothing(fake, spans) -> None:
    """Without the agent's greeting there is no conversation."""
    fake.refuse_next = [401]
    talk = conversation(fake, Line())
    talk.start_session()
    assert talk.wait_for_session_end() is None
    assert spans.all == ()


def test_a_chat_is_not_taken_for_speech(fake, spans) -> None:
    """Without audio nothing is billed by the minute: a name that has no such price."""
    if not hasattr(sdk.Conversation, "send_user_message"):
        pytest.skip("this release always speaks")
    talk = conversation(fake, None)
    talk.start_session()
    greeted(talk)
    talk.end_session()
    talk.wait_for_session_end()
    assert spans.only[names.REQUEST_MODEL] == "conversational-ai-chat"


@pytest.mark.skipif(not hasattr(sdk, "AsyncConversation"), reason="this release has no asyncio conversations")
def test_an_asyncio_conversation_is_a_session(fake, spans) -> None:
    """One is ended, one's task is cancelled: both were connected."""

    class AsyncLine(sdk.AsyncAudioInterface):
        async def start(self, input_callback: Any) -> None:
            """Nothing is said."""

        async def stop(self) -> None:
            """The conversation is over."""

        async def output(self, audio: bytes) -> None:
            """The agent speaks."""

        async def interrupt(self) -> None:
            """The agent was interrupted."""

    async def begin() -> Any:
        talk = conversation(fake, AsyncLine(), sdk.AsyncConversation)
        await talk.start_session()
        await asyncio.to_thread(greeted, talk)
        return talk

    async def run() -> None:
        ended, cancelled = await begin(), await begin()
        await ended.end_session()
        await ended.wait_for_session_end()
        cancelled._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled._task

    asyncio.run(run())
    assert [found[names.SESSION_STATE] for found in spans.attributes] == ["closed", "closed"]
    assert {found[names.REQUEST_MODEL] for found in spans.attributes} == {"conversational-ai"}
