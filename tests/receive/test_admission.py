"""Turns and shares: nobody waits for who floods, and nothing is held without bound."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cost_exporter.errors import Overloaded
from cost_exporter.receive.admission.admission import Admission, AdmissionLimits, Permit
from tests.support.waiting import PATIENCE_SECONDS


def admission(**limits: float) -> Admission:
    return Admission(AdmissionLimits(**({"wait_seconds_max": 0.0} | limits)))  # type: ignore[arg-type]


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), PATIENCE_SECONDS)

    asyncio.run(bounded())


async def waiting(rooms: Admission, credential: str, size_bytes: int) -> "asyncio.Task[Permit]":
    """A request that waits for its turn."""
    task = asyncio.ensure_future(rooms.enter(credential, size_bytes))
    await asyncio.sleep(0)
    assert not task.done()
    return task


def test_slots_are_bounded_and_given_back() -> None:
    """As many as there are slots get in; the next waits, and is told to try again."""

    async def work() -> None:
        rooms = admission(slots=2)
        first, second = await rooms.enter("a", 1), await rooms.enter("a", 1)
        with pytest.raises(Overloaded, match="no free slot"):
            await rooms.enter("a", 1)
        first.leave()
        second.leave()
        with await rooms.enter("a", 1), await rooms.enter("a", 1):
            pass

    run(work)


def test_bytes_are_bounded_and_given_back_even_after_an_error() -> None:
    """What a request held is free again however it ended, also what it became after it was let in."""

    async def work() -> None:
        rooms = admission(bytes_max=100)
        with await rooms.enter("a", 30) as first:
            first.hold(30)
            with await rooms.enter("a", 40) as second:
                with pytest.raises(Overloaded, match="no room for its bytes"):
                    second.hold(1)
                with pytest.raises(Overloaded, match="no room for its bytes"):
                    await rooms.enter("a", 1)
            with await rooms.enter("a", 40):
                pass
        with await rooms.enter("a", 100):
            pass

    run(work)


def test_a_request_larger_than_the_budget_is_let_in_alone() -> None:
    """It would never get in otherwise."""

    async def work() -> None:
        rooms = admission(bytes_max=100, working_bytes_max=100)
        with await rooms.enter("a", 500), pytest.raises(Overloaded):
            await rooms.enter("a", 1)

    run(work)


def test_who_waits_is_let_in_as_soon_as_there_is_room() -> None:
    """A slot that becomes free within the wait is taken."""

    async def work() -> None:
        rooms = admission(slots=1, wait_seconds_max=PATIENCE_SECONDS)
        permit = await rooms.enter("a", 1)
        task = await waiting(rooms, "a", 1)
        permit.leave()
        with await task:
            pass

    run(work)


def test_a_turn_goes_to_who_has_least_at_work() -> None:
    """However many of a flood wait, and since when: the honest one is next."""

    async def work() -> None:
        rooms = admission(working_bytes_max=20, share_bytes_max=20, wait_seconds_max=PATIENCE_SECONDS)
        at_work = [await rooms.enter("flood", 10) for _ in range(2)]
        flood = [await waiting(rooms, "flood", 10) for _ in range(30)]
        honest = await waiting(rooms, "honest", 10)
        at_work[0].leave()
        with await honest:
            assert not any(each.done() for each in flood)
        assert (await flood[0]) is not None
        at_work[1].leave()
        for each in flood[1:]:
            each.cancel()

    run(work)


def test_while_others_send_a_flood_has_a_share_and_no_more() -> None:
    """So that an honest request does not wait behind all that a flood may have at work."""
    now_seconds = [0.0]

    async def work() -> None:
        limits = AdmissionLimits(working_bytes_max=100, share_bytes_max=20, wait_seconds_max=0.0)
        rooms = Admission(limits, monotonic_seconds=lambda: now_seconds[0])
        alone = [await rooms.enter("flood", 10) for _ in range(10)]
        for permit in alone:
            permit.leave()
        (await rooms.enter("honest", 10)).leave()
        beside = [await rooms.enter("flood", 10) for _ in range(2)]
        with pytest.raises(Overloaded):
            await rooms.enter("flood", 10)
        with await rooms.enter("honest", 10):
            pass
        now_seconds[0] = 60.0  # nobody else has sent for long
        (await rooms.enter("flood", 10)).leave()
        for permit in beside:
            permit.leave()

    run(work)


def test_half_of_all_bytes_is_for_others() -> None:
    """What waits of a flood leaves room for what arrives from others."""

    async def work() -> None:
        rooms = admission(bytes_max=100, working_bytes_max=10, wait_seconds_max=PATIENCE_SECONDS)
        (await rooms.enter("honest", 1)).leave()
        permit = await rooms.enter("flood", 10)
        tasks = [await waiting(rooms, "flood", 10) for _ in range(4)]
        with pytest.raises(Overloaded, match="no room for its bytes"):
            await rooms.enter("flood", 10)
        honest = await waiting(rooms, "honest", 40)
        for task in (*tasks, honest):
            task.cancel()
        permit.leave()

    run(work)


def test_who_hangs_up_while_waiting_leaves_nothing_behind() -> None:
    """Neither a place in the queue nor bytes, also where its turn came at the same moment."""

    async def work() -> None:
        rooms = admission(slots=1, bytes_max=10, wait_seconds_max=PATIENCE_SECONDS)
        permit = await rooms.enter("a", 5)
        gone, late = await waiting(rooms, "a", 2), await waiting(rooms, "a", 2)
        gone.cancel()
        permit.leave()
        late.cancel()  # it has its slot and does not know yet
        await asyncio.gather(gone, late, return_exceptions=True)
        with await rooms.enter("a", 10):
            pass

    run(work)


def test_what_waits_is_bounded() -> None:
    """Tiny requests too: each is an open call."""

    async def work() -> None:
        rooms = admission(slots=1, waiting_max=2, wait_seconds_max=PATIENCE_SECONDS)
        permit = await rooms.enter("a", 1)
        tasks = [await waiting(rooms, "a", 1) for _ in range(2)]
        with pytest.raises(Overloaded, match="too many requests wait"):
            await rooms.enter("a", 1)
        for task in tasks:
            task.cancel()
        permit.leave()

    run(work)
