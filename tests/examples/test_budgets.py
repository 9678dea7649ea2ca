"""docs/how-to/budgets.md: the third sentence never arrives; docs/how-to/cut-off-call.md: a call is hung up."""

import pytest

from tests.examples.documents import blocks, check_output
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.instrumentation.fakes.twilio import ACCOUNT, FakeTwilio

pytestmark = pytest.mark.slow


def test_budgets(application) -> None:
    """The vendor hears two sentences, and the program prints what the document shows."""
    with OpenAIFake() as fake:
        application.variables["OPENAI_BASE_URL"] = f"{fake.url}/v1"
        check_output("budgets", application.run(blocks("budgets")["app budget"]))
        assert fake.request_count == 2
        assert fake.characters == 24 + 23


def test_cut_off_call(application) -> None:
    """The leg is ended at Twilio, and Deepgram hears no more, within seconds of audio that would go on for ever."""
    with FakeTwilio() as twilio, FakeDeepgram() as deepgram:
        application.variables |= {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": "k",
            "TWILIO_BASE_URL": twilio.url,
            "DEEPGRAM_API_KEY": "k",
            "DEEPGRAM_HOST": deepgram.url.removeprefix("http://"),
        }
        check_output("cut-off-call", application.run(blocks("cut-off-call")["app cut-off"]))
        assert [call["status"] for call in twilio.calls.values()] == ["completed"]
        assert len(deepgram.audio_bytes) == 1
        assert 0 < deepgram.audio_bytes[0] < 32_000 * 60
