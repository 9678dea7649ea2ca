import threading

import pytest

from cost_exporter.errors import Overloaded
from cost_exporter.receive.admission.admission import Admission, AdmissionLimits
from tests.support.waiting import PATIENCE_SECONDS


def admission(**limits: float) -> Admission:
    return Admission(AdmissionLimits(**({"wait_seconds_max": 0.0} | limits)))  # type: ignore[arg-type]


def test_slots_are_bounded_and_given_back() -> None:
    """As many as there are slots get in; the next waits, and is told to try again."""
    rooms = admission(slots=2)
    with rooms.enter(), rooms.enter():
        with pytest.raises(Overloaded, match="no free slot"):
            rooms.enter()
        assert rooms.try_enter() is None
    with rooms.enter(), rooms.enter():
        pass


def test_bytes_are_bounded_and_given_back_even_after_an_error() -> None:
    """What a request held is free again however it ended."""
    rooms = admission(slots=9, bytes_max=100)
    with rooms.enter() as first:
        first.hold(60)
        with rooms.enter() as second:
            second.hold(40)
            with pytest.raises(Overloaded, match="no room for its bytes"):
                second.hold(1)
        with rooms.enter() as third:
            third.hold(40)
    with rooms.enter() as alone:
        alone.hold(100)


def test_a_request_larger_than_the_budget_is_let_in_alone() -> None:
    """It would never get in otherwise."""
    rooms = admission(bytes_max=100)
    with rooms.enter() as large:
        large.hold(500)
        with pytest.raises(Overloaded), rooms.enter() as small:
            small.hold(1)


def test_who_waits_is_let_in_as_soon_as_there_is_room() -> None:
    """A slot that becomes free within the wait is taken."""
    rooms = admission(slots=1, wait_seconds_max=PATIENCE_SECONDS)
    entered = threading.Event()
    permit = rooms.enter()

    def wait_for_room() -> None:
        with rooms.enter():
            entered.set()

    waiting = threading.Thread(target=wait_for_room)
    waiting.start()
    assert not entered.is_set()
    permit.__exit__(None, None, None)
    assert entered.wait(PATIENCE_SECONDS)
    waiting.join(PATIENCE_SECONDS)
