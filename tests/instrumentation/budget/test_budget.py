"""`callfare.budget` by itself: amounts, nesting, tasks, what it says, and in which contexts it holds."""

import asyncio
import contextlib
import logging
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

import callfare
from callfare import BudgetExceeded, budget, current_cost
from callfare.instrumentation.threads import ThreadsInstrumentor


def spend(money, amount, task=None) -> None:
    with money.reserve(amount, task) as reservation:
        reservation.settle(amount)


def test_spent_and_reserved_are_exact() -> None:
    """Thirty digits are thirty digits; what is reserved is neither spent nor left."""
    with budget("1.50") as money:
        spend(money, "0.100000000000000000000000000001")
        with money.reserve(Decimal("0.4")):
            assert money.reserved_usd == Decimal("0.4")
            assert money.spent_usd == Decimal("0.100000000000000000000000000001")
            assert money.remaining_usd == Decimal("0.999999999999999999999999999999")
        assert (money.spent_usd, money.reserved_usd) == (Decimal("0.500000000000000000000000000001"), 0)
    assert budget("2").utilisation == 0
    assert budget("0").utilisation == 100


def test_utilisation_is_a_percentage() -> None:
    """Of what was spent; reservations do not count."""
    with budget("2") as money:
        spend(money, "0.5")
        with money.reserve("1"):
            assert money.utilisation == 25


def test_an_error_gives_the_reservation_back() -> None:
    """Whatever the error is, also one that is no Exception."""
    with budget("1") as money:
        for error in (ValueError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            with contextlib.suppress(error), money.reserve("1"):
                raise error
        assert (money.spent_usd, money.reserved_usd) == (0, 0)


def test_the_actual_cost_replaces_the_estimate_even_where_it_is_higher() -> None:
    """The limit may be passed by what an estimate was short of, and then nothing more goes."""
    with budget("1") as money:
        with money.reserve("0.9") as reservation:
            reservation.settle("1.25")
        assert (money.spent_usd, money.remaining_usd) == (Decimal("1.25"), Decimal("-0.25"))
        with pytest.raises(BudgetExceeded), money.reserve("0.01"):
            pass
        with money.reserve(0):
            pass  # what is free passes an exhausted budget


def test_a_reservation_is_settled_once() -> None:
    """A second amount would count twice."""
    with budget("1") as money:
        with money.reserve("0.9") as reservation:
            reservation.settle("0.5")
            with pytest.raises(RuntimeError, match="once"):
                reservation.settle("0.5")
        with pytest.raises(RuntimeError, match="inside"):
            reservation.settle("0.5")
        assert money.spent_usd == Decimal("0.5")


def test_of_four_charges_the_one_over_its_tasks_limit_is_refused() -> None:
    """.05, .30, .40 pass; the second .40 of analysis does not, and .40 of verification still does."""
    limits = {"acquisition": "0.05", "transcription": "0.30", "analysis": "0.75", "verification": "0.40"}
    with budget("1.50", limits) as money:
        spend(money, "0.05", "acquisition")
        spend(money, "0.30", "transcription")
        spend(money, "0.40", "analysis")
        with pytest.raises(BudgetExceeded) as refused, money.reserve("0.40", "analysis"):
            pass
        spend(money, "0.40", "verification")
        assert money.spent_usd == Decimal("1.15")
    error = refused.value
    assert (error.reason, error.budget, error.task) == ("exceeded", "budget", "analysis")
    assert (error.limit_usd, error.spent_usd) == (Decimal("0.75"), Decimal("0.40"))
    assert (error.reserved_usd, error.estimate_usd) == (0, Decimal("0.40"))
    assert "\n" not in str(error)
    assert "0.75" in str(error)


def test_the_task_is_the_workflows_unless_it_is_given() -> None:
    """`workflow(task=...)` names it for everything inside."""
    with budget("9", {"analysis": "0.10"}) as money, callfare.workflow(task="analysis"):
        with pytest.raises(BudgetExceeded), money.reserve("0.20"):
            pass
        with money.reserve("0.20", task="other"):
            pass


def test_nested_budgets_are_all_or_nothing() -> None:
    """What one of them refuses none of them has reserved, whichever is asked."""
    with budget("1", tier="outer") as outer, budget("2", tier="inner") as inner, inner.reserve("0.8"):
        assert (outer.reserved_usd, inner.reserved_usd) == (Decimal("0.8"), Decimal("0.8"))
        for asked in (inner, outer):
            with pytest.raises(BudgetExceeded, match="outer"), asked.reserve("0.3"):
                pass
            assert (outer.reserved_usd, inner.reserved_usd) == (Decimal("0.8"), Decimal("0.8"))
    with budget("1", tier="inner") as inner, budget("1.5", tier="tight", hard=False) as soft:
        with pytest.raises(BudgetExceeded, match="inner"), soft.reserve("2"):
            pass
        assert (inner.reserved_usd, soft.reserved_usd) == (0, 0)


def test_the_tightest_refuses() -> None:
    """Of several that do not fit, the one with the least left is named."""
    wide, tight, middle = budget("3", tier="wide"), budget("1", tier="tight"), budget("2", tier="middle")
    with wide, tight, middle, pytest.raises(BudgetExceeded, match="tight"), middle.reserve("5"):
        pass


def test_a_budget_inside_itself_counts_once() -> None:
    """Recursion is no second budget."""
    with budget("1") as money, money:
        spend(money, "0.6")
    assert money.spent_usd == Decimal("0.6")


def test_a_soft_budget_says_so_and_lets_pass(spans, caplog) -> None:
    """An event for each call, one line in the log, the callback for each."""
    called_back: list[BudgetExceeded] = []
    with spans.tracer.start_as_current_span("run"), budget("1", hard=False, on_exceeded=called_back.append) as money:
        for _ in range(3):
            spend(money, "0.6")
    assert money.spent_usd == Decimal("1.8")
    assert [error.spent_usd for error in called_back] == [Decimal("0.6"), Decimal("1.2")]
    assert [event.name for event in spans.all[0].events] == ["callfare.budget.exceeded"] * 2
    assert spans.all[0].events[0].attributes["callfare.budget.estimate_usd"] == "0.6"
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_a_shadow_budget_says_what_it_would_refuse(spans, caplog) -> None:
    """It calls nobody back: the application would act on a refusal that is none."""
    called_back: list[BudgetExceeded] = []
    with spans.tracer.start_as_current_span("run"), budget("1", hard="shadow", on_exceeded=called_back.append) as money:
        spend(money, "1.2")
    assert [event.name for event in spans.all[0].events] == ["callfare.budget.would_refuse"]
    assert called_back == []
    assert "would have refused" in caplog.text


def test_a_hard_budget_calls_back_before_it_refuses(spans, caplog) -> None:
    """A callback that raises is logged, and the refusal stays what it is."""
    called_back: list[BudgetExceeded] = []

    def hang_up(error: BudgetExceeded) -> None:
        called_back.append(error)
        raise ValueError("no line")

    money = budget("1", on_exceeded=hang_up)
    with spans.tracer.start_as_current_span("run"), pytest.raises(BudgetExceeded) as refused, money.reserve("2"):
        pass
    assert called_back == [refused.value]
    assert [event.name for event in spans.all[0].events] == ["callfare.budget.refused"]
    assert "no line" in caplog.text


def test_current_cost_is_the_innermost_budgets() -> None:
    """Outside of any it is not known, which is not 0."""
    assert current_cost() is None
    with budget("5") as outer:
        spend(outer, "1")
        with budget("2") as inner:
            assert current_cost() == 0
            spend(inner, "0.5")
            assert current_cost() == Decimal("0.5")
        assert current_cost() == Decimal("1.5")
    assert current_cost() is None


@pytest.mark.parametrize("amount", [1.5, True, None, [1]])
def test_inexact_amounts_are_refused(amount) -> None:
    """A float has lost its cents before we see it."""
    with pytest.raises(TypeError, match=r"total_usd must be .* \"1.50\""):
        budget(amount)


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "", "1 USD", "1_000", Decimal("NaN"), -1, "1e12"])
def test_impossible_amounts_are_refused(amount) -> None:
    """In the total, in a task's limit, in an estimate."""
    with pytest.raises(ValueError, match="total_usd"):
        budget(amount)
    with pytest.raises(ValueError, match=r"per_task_usd\['a'\]"):
        budget("1", {"a": amount})
    with pytest.raises(ValueError, match="estimate_usd"):
        budget("1").reserve(amount)


def test_other_arguments_are_checked() -> None:
    """A misspelt mode would be a budget that refuses nothing."""
    with pytest.raises(ValueError, match="shadow"):
        budget("1", hard="soft")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tasks"):
        budget("1", "0.5")  # type: ignore[arg-type]


def test_an_error_travels_between_processes() -> None:
    """Pools pickle what a worker raises."""
    with budget("1") as money, pytest.raises(BudgetExceeded) as refused, money.reserve("2"):
        pass
    copied = pickle.loads(pickle.dumps(refused.value))
    assert (str(copied), copied.__dict__) == (str(refused.value), refused.value.__dict__)


def test_each_call_of_a_decorated_function_has_a_budget_of_its_own() -> None:
    """Plain functions, coroutines and generators of either kind; around the function nothing applies."""

    @budget("1")
    def plain() -> Decimal | None:
        with budget("9") as inner:
            spend(inner, "0.7")
        return current_cost()

    @budget("1")
    async def coroutine() -> Decimal | None:
        await asyncio.sleep(0)
        return plain()

    @budget("1")
    def generator():
        yield plain()
        yield current_cost()

    @budget("1")
    async def asynchronous_generator():
        yield plain()
        yield current_cost()

    async def collect() -> list[Decimal | None]:
        return [cost async for cost in asynchronous_generator()]

    for _ in range(3):
        assert plain() == Decimal("0.7")
        assert asyncio.run(coroutine()) == Decimal("0.7")
        costs = generator()
        assert next(costs) == Decimal("0.7")
        assert current_cost() is None
        assert next(costs) == Decimal("0.7")
        assert asyncio.run(collect()) == [Decimal("0.7")] * 2


@pytest.fixture
def threads() -> object:
    instrumentor = ThreadsInstrumentor()
    instrumentor.instrument()
    yield
    instrumentor.uninstrument()


def test_threads_executors_and_tasks_share_a_budget(threads) -> None:
    """Fifty calls of a dime under 1.50 are fifteen, wherever they are made."""

    def dime(held: threading.Event) -> bool:
        with budget("99") as inner:
            try:
                with inner.reserve("0.10"):
                    held.wait(timeout=60)
            except BudgetExceeded:
                return False
            return True

    async def dimes_in_tasks() -> list[bool]:
        async def one() -> bool:
            await asyncio.sleep(0)
            return await asyncio.to_thread(dime, held)

        return await asyncio.gather(*(one() for _ in range(50)))

    with budget("1.50") as money, ThreadPoolExecutor(50) as pool:
        held = threading.Event()
        held.set()
        passed = list(pool.map(dime, [held] * 50))
        assert passed.count(True) == 15
        assert (money.spent_usd, money.reserved_usd) == (Decimal("1.50"), 0)
    with budget("1.50") as money:
        assert asyncio.run(dimes_in_tasks()).count(True) == 15
        assert (money.spent_usd, money.reserved_usd) == (Decimal("1.50"), 0)


def test_one_object_is_entered_in_several_threads_at_once() -> None:
    """Each leaves its own entry."""
    money, together, costs = budget("1.50"), threading.Barrier(8), []

    def run() -> None:
        with money:
            together.wait(timeout=60)
            spend(money, "0.10")
        costs.append(current_cost())

    running = [threading.Thread(target=run) for _ in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert costs == [None] * 8
    assert money.spent_usd == Decimal("0.80")


def test_the_tier_is_on_the_spans_inside(attributed) -> None:
    """It names the budget."""
    with budget("1", tier="premium"):
        attributed.tracer.start_span("inside").end()
    assert attributed.only["callfare.tier"] == "premium"


@pytest.mark.parametrize("first", ["import callfare.budget.budget", "callfare.BudgetExceeded", "callfare.current_cost"])
def test_the_name_is_a_function_whatever_was_imported_first(first) -> None:
    """A package of that name lies beside it."""
    program = f"import callfare; {first}; print(callfare.budget('1').remaining_usd)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=600)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_without_prices_the_extra_is_named() -> None:
    """One clear line, as the budget is made and not in the first call."""
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "import callfare\n"
        "try: callfare.budget('1')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=600)
    assert "pip install 'callfare[exporter]'" in done.stdout, done.stderr
