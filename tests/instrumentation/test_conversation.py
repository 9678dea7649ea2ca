"""How a conversation goes, from who begins and stops to speak."""

from callfare import attributes as names
from callfare.calls.conversation import Conversation
from callfare.calls.voice_call import VoiceCall, conversation_in, state_conversation


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def talked(*events: tuple[float, str, bool]) -> dict:
    """Who began or stopped when."""
    clock = Clock()
    conversation = Conversation(clock)
    for seconds, side, is_speaking in events:
        clock.seconds = seconds
        getattr(conversation, side)(is_speaking=is_speaking)
    return conversation.attributes()


def test_nobody_speaks_between_the_turns() -> None:
    """Neither before the first word nor after the last; what is reported twice counts once."""
    found = talked(
        (5.0, "agent", True), (6.0, "agent", False), (7.5, "caller", True), (7.6, "caller", True),
        (9.0, "caller", False), (9.0, "caller", False), (9.5, "agent", True), (12.0, "agent", False),
    )  # fmt: skip
    assert found == {names.CALL_TURNS: 1, names.CALL_INTERRUPTIONS: 0, names.CALL_DEAD_AIR_SECONDS: 2.0}


def test_who_speaks_into_the_agents_words_interrupts() -> None:
    """That is no dead air, and it is not counted where the framework counts."""
    events = ((0.0, "agent", True), (1.0, "caller", True), (1.5, "agent", False), (2.0, "caller", False))
    assert talked(*events) == {names.CALL_TURNS: 1, names.CALL_INTERRUPTIONS: 1, names.CALL_DEAD_AIR_SECONDS: 0.0}
    conversation = Conversation(Clock())
    conversation.agent(is_speaking=True)
    conversation.caller(is_speaking=True, is_counted=False)
    conversation.caller(is_speaking=False, is_counted=False)
    conversation.add_turn()
    conversation.add_interruption()
    found = conversation.attributes()
    assert (found[names.CALL_TURNS], found[names.CALL_INTERRUPTIONS]) == (1, 1)


def test_what_is_not_reported_is_unknown() -> None:
    """Of an agent that nobody reports, neither interruptions nor dead air."""
    assert talked((0.0, "caller", True), (1.0, "caller", False)) == {names.CALL_TURNS: 1}
    assert talked((0.0, "agent", True)) == {}
    assert talked() == {}


def test_a_voice_call_says_how_it_went(spans) -> None:
    """With its outcome, at its end."""
    call = VoiceCall.open(spans.tracer, call_id="7")
    assert call is not None
    conversation_in(call.context).caller(is_speaking=True)
    conversation_in(call.context).caller(is_speaking=False)
    state_conversation(call.context)
    assert spans.all == ()
    call.end("completed")
    assert spans.only[names.CALL_TURNS] == 1


def test_outside_of_any_workflow_nobody_asks() -> None:
    """And nothing is written anywhere."""
    conversation_in().add_turn()
    state_conversation()
