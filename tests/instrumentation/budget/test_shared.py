"""Budgets of a service as an application meets them: leases, the end of a budget, and a service that is away."""

import queue
from collections.abc import Callable, Iterator
from decimal import Decimal as D
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context

from callfare import BudgetExceeded, budget, workflow
from callfare import attributes as names
from callfare.budget import channel, shared
from callfare.budget.errors import BudgetUnavailable
from callfare.budget.gate import BudgetGate
from callfare.budget.hook import pre_instrument
from callfare.budget.shared import SharedBudgets, unchecked_count
from callfare.calls.admission import admit, gate_in, set_gate_of_process
from callfare.calls.span import CallRequest, open_call
from callfare.guards.guarded import guard
from tests.instrumentation.budget.conftest import TEN_CENTS
from tests.instrumentation.budget.service import Database, Service, held, set_budget
from tests.support.waiting import PATIENCE_SECONDS, wait_until

CALL = {"input": TEN_CENTS, "model": "tts-1", "voice": "alloy"}
DIME = D("0.10")
CHARACTERS = names.INPUT_CHARACTERS
ACME = ("acme", "", "", "", "openai", "tts-1")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine takes longer than a quarter of a second: what waits is not what is tested here."""
    monkeypatch.setattr(channel, "WAIT_SECONDS_MAX", 30.0)
    # A lease whose answer came too late stays held, and fewer calls pass: right, and not what is counted here.
    monkeypatch.setattr(channel, "_REQUEST_SECONDS_MAX", 30.0)


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch, patience: None) -> Iterator[Callable[..., SharedBudgets]]:
    """Let this process share the budgets of a service."""

    def to(url: str, **given: Any) -> SharedBudgets:
        made = SharedBudgets(url, **given)
        monkeypatch.setattr(shared, "_shared", made)
        monkeypatch.setattr(shared, "_is_read", True)
        set_gate_of_process(BudgetGate(()))
        return made

    yield to
    set_gate_of_process(None)


def states(database: Database) -> list[tuple[str, str]]:
    return database.execute("select kind, state from callfare.reservation order by kind").fetchall()


def admitted(budgets: SharedBudgets, count: int, estimate: D | None = DIME) -> int:
    """How many of these calls pass. Each costs what was estimated."""
    passed = 0
    for _ in range(count):
        try:
            hold = budgets.admit(ACME, estimate)
        except BudgetExceeded:
            continue
        passed += 1
        if hold is not None:
            hold.settle(estimate or D(0), is_known=estimate is not None)
    return passed


def test_fifty_calls_of_ten_cents_under_a_dollar_fifty_admit_fifteen(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """One by one, because so few are left; all of it is held until the spans arrive."""
    set_budget(database, "1.50")
    assert admitted(share(service.url), 50) == 15
    wait_until("held", lambda: held(database) == D("1.50"))


def test_a_larger_budget_is_leased_and_used_to_the_last_cent(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """By leases first, and one by one at the end."""
    set_budget(database, "6.00")
    assert admitted(share(service.url), 100) == 60
    wait_until("held", lambda: held(database) == D("6.00"))
    assert database.execute("select count(*) from callfare.reservation where kind = 'lease'").fetchone() != (0,)


def test_the_vendor_is_not_called_and_the_span_carries_the_id(  # noqa: PLR0917 - fixtures
    database: Database, service: Service, share: Callable[..., SharedBudgets], fake, spans, client, monkeypatch
) -> None:
    """No code in the application: the gate is that of the process."""
    set_budget(database, "0.35", tenant="globex")
    monkeypatch.setenv("CALLFARE_TENANT", "globex")
    share(service.url)
    for _ in range(3):
        client.audio.speech.create(**CALL)
    with pytest.raises(BudgetExceeded) as refused:
        client.audio.speech.create(**CALL)
    assert (refused.value.budget, refused.value.limit_usd, refused.value.estimate_usd) == ("acme", D("0.35"), DIME)
    assert (refused.value.window, refused.value.reason) == ("total", "exceeded")
    assert fake.request_count == 3
    ids = {span.attributes[names.BUDGET_RESERVATION_ID] for span in spans.all}
    known = database.execute("select reservation_id::text from callfare.reservation").fetchall()
    assert ids <= {row[0] for row in known}


def test_the_span_of_an_sdk_names_what_the_library_around_it_reserved(
    database: Database, service: Service, share: Callable[..., SharedBudgets], spans
) -> None:
    """LiteLLM's own call has no span: without the id on the SDK's, its money stays held beside its cost."""
    set_budget(database, "0.50")
    share(service.url)
    request = CallRequest(operation="text_to_speech", provider="openai", model="tts-1", quantities={CHARACTERS: 10})
    guarded = guard(lambda *_: request, lambda *_: None)(spans.provider.get_tracer("none"))

    def sdk() -> None:
        tracer = spans.provider.get_tracer("opentelemetry.instrumentation.openai")
        with tracer.start_as_current_span("chat", attributes={names.REQUEST_MODEL: "tts-1"}):
            guarded(lambda: None, None, (), {})

    with workflow(tenant="acme"):
        guarded(sdk, None, (), {})
    known = database.execute("select reservation_id::text from callfare.reservation where kind = 'call'").fetchall()
    assert [(span.attributes[names.BUDGET_RESERVATION_ID],) for span in spans.all] == known


def test_a_budget_of_the_process_and_one_of_the_service_apply_both(  # noqa: PLR0917 - fixtures
    database: Database, service: Service, share: Callable[..., SharedBudgets], fake, client, monkeypatch
) -> None:
    """What the one refuses the other does not hold."""
    set_budget(database, "0.15", tenant="globex")
    monkeypatch.setenv("CALLFARE_TENANT", "globex")
    share(service.url)
    with budget("5") as money:
        client.audio.speech.create(**CALL)
        with pytest.raises(BudgetExceeded):
            client.audio.speech.create(**CALL)
        assert (money.spent_usd, money.reserved_usd) == (DIME, 0)
    with budget("0.05"), pytest.raises(BudgetExceeded):
        client.audio.speech.create(**CALL)
    assert fake.request_count == 1


def test_a_process_learns_of_its_budgets_before_its_first_call(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """So that this one need not wait for a connection. It takes nothing yet."""
    set_budget(database, "6.00")
    budgets = share(service.url)
    budgets.greet("acme")
    wait_until("a lease", lambda: [each for each in budgets._leases.values() if each.mode])
    assert held(database) == 0
    assert admitted(budgets, 100) == 60


def test_where_no_budget_applies_calls_pass_unheld(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """And their lease is none."""
    set_budget(database, "0.01", tenant="globex")
    assert admitted(share(service.url), 3) == 3
    assert held(database) == 0


def test_what_has_no_price_is_refused_or_assumed(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """As the tightest of the budgets says."""
    set_budget(database, "0.10")
    budgets = share(service.url)
    with pytest.raises(BudgetExceeded) as refused:
        budgets.admit(ACME, None)
    assert refused.value.reason == "unpriced"
    set_budget(database, "0.10", unpriced="assume", assumed_usd=D("0.04"))
    assert admitted(share(service.url), 5, None) == 2


def test_an_unknown_cost_keeps_what_was_held(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """In the lease and at the service."""
    set_budget(database, "0.50")
    budgets = share(service.url)
    for _ in range(5):
        hold = budgets.admit(ACME, DIME)
        assert hold is not None
        hold.settle(D(0), is_known=False)
    with pytest.raises(BudgetExceeded):
        budgets.admit(ACME, DIME)


def test_a_call_that_never_went_out_gives_its_money_back(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """Whether it was leased or reserved."""
    set_budget(database, "0.10")
    budgets = share(service.url)
    hold = budgets.admit(ACME, DIME)
    assert hold is not None
    assert held(database) == DIME
    hold.release()
    wait_until("given back", lambda: held(database) == 0)


def test_a_socket_extends_its_reservation_at_the_service(
    database: Database, service: Service, share: Callable[..., SharedBudgets], spans
) -> None:
    """One id on every span; what was reported and what comes next is held, and the total at the end."""
    set_budget(database, "5", tenant="acme")
    budgets, notices = share(service.url), queue.Queue()
    hold = budgets.admit(("acme", "", "", "", "deepgram", "nova-3"), D("0.60"), goes_on=True)
    assert hold is not None
    first_id = hold.reservation_id
    for spent in ("0.60", "0.60"):
        hold.extend(D("0.60"), D(spent), notices.put)
    wait_until("extended", lambda: held(database) == D("1.80"))
    hold.settle(D("0.10"))
    wait_until("settled", lambda: held(database) == D("1.30"))
    assert hold.reservation_id == first_id
    assert notices.empty()
    assert database.execute("select kind, state from callfare.reservation").fetchall() == [("session", "settled")]


def test_a_socket_that_the_service_refuses_more_goes_on_and_is_reported(
    database: Database, service: Service, share: Callable[..., SharedBudgets], spans
) -> None:
    """`on_exceeded` of the application's own budget hears of it; the reservation stays as it was."""
    set_budget(database, "1.50", tenant="acme")
    share(service.url)
    called: queue.Queue[BudgetExceeded] = queue.Queue()
    request = CallRequest(operation="text_to_speech", provider="openai", model="tts-1", quantities={CHARACTERS: 12})
    with workflow(tenant="acme"), budget("100", on_exceeded=called.put):
        hold = admit(request, context_api.get_current())
        assert hold is not None
        hold.extend({CHARACTERS: 12}, {CHARACTERS: 12})  # five cents each: 0.60 spent, 0.60 ahead
        wait_until("extended", lambda: held(database) == D("1.20"))
        hold.extend({CHARACTERS: 12}, {CHARACTERS: 12})
        error = called.get(timeout=PATIENCE_SECONDS)
        assert (error.budget, error.limit_usd, error.reason) == ("acme", D("1.50"), "exceeded")
        assert held(database) == D("1.20")
        hold.settle({CHARACTERS: 1})
        wait_until("settled", lambda: held(database) == D("1.25"))


def test_a_socket_leaves_a_lease_that_has_no_room(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """It gets a reservation of its own, and what it held of the lease is free for other calls."""
    set_budget(database, "100")
    budgets, notices = share(service.url), queue.Queue()
    hold = budgets.admit(ACME, DIME, goes_on=True)
    assert hold is not None
    lease_id = hold.reservation_id
    hold.extend(D(20), DIME, notices.put)
    wait_until("moved", lambda: hold.reservation_id != lease_id)
    wait_until("held", lambda: held(database) >= 20)
    assert database.execute("select kind from callfare.reservation order by kind").fetchall() == [
        ("lease",),
        ("session",),
    ]
    hold.extend(D(90), D(20), notices.put)
    assert notices.get(timeout=PATIENCE_SECONDS).budget == "acme"
    hold.release()
    wait_until("released", lambda: held(database) < 20)


def test_the_span_names_the_money_that_its_cost_was_counted_in(
    database: Database, service: Service, share: Callable[..., SharedBudgets], spans
) -> None:
    """A call that outgrew its lease: the id of the lease would leave the reservation held until the window ends."""
    set_budget(database, "100")
    share(service.url)
    request = CallRequest(operation="text_to_speech", provider="openai", model="tts-1", quantities={CHARACTERS: 1})
    with workflow(tenant="acme"):
        hold = admit(request, context_api.get_current())
        assert hold is not None
        lease_id = hold.reservation_id
        call = open_call(spans.provider.get_tracer("test"), request, hold=hold)
        call.raise_hold(CHARACTERS, 400)  # 20 dollars
        call.add(CHARACTERS, 400)
        wait_until("moved", lambda: held(database) >= 20 and hold.shared.reservation_id != lease_id)  # type: ignore[attr-defined]
        call.end()
    wait_until("settled", lambda: states(database) == [("lease", "open"), ("session", "settled")])
    (stated,) = [span.attributes[names.BUDGET_RESERVATION_ID] for span in spans.all]
    known = database.execute("select reservation_id::text from callfare.reservation where kind = 'session'").fetchone()
    assert (stated,) == known


def test_a_child_of_a_fork_does_not_end_what_its_parent_reserved(
    database: Database, service: Service, share: Callable[..., SharedBudgets]
) -> None:
    """Whatever the hooks of a fork do first: neither what it gives back nor what it settles arrives."""
    set_budget(database, "0.50")
    budgets = share(service.url)
    holds = [budgets.admit(ACME, DIME) for _ in range(2)]
    budgets.reset_after_fork()
    for hold, end in zip(holds, ("release", "settle"), strict=True):
        assert hold is not None
        getattr(hold, end)(*([D("0.01")] if end == "settle" else []))
    worked_off: queue.Queue[object] = queue.Queue()
    budgets._channel.send("/v1/budgets/return", {"returns": []}, lambda *answer: worked_off.put(answer))
    worked_off.get(timeout=PATIENCE_SECONDS)
    assert held(database) == D("0.20")


def test_a_service_that_was_never_reached(share: Callable[..., SharedBudgets], caplog) -> None:
    """Unset and 1 let calls pass, say so once and count them; 0 refuses."""
    before = unchecked_count()
    for fails_open in (None, True):
        assert admitted(share("http://127.0.0.1:1", fails_open=fails_open), 3) == 3
    assert unchecked_count() == before + 6
    assert caplog.text.count("does not answer") == 2
    with pytest.raises(BudgetUnavailable) as refused:
        share("http://127.0.0.1:1", fails_open=False).admit(ACME, DIME)
    assert refused.value.reason == "unreachable"


@pytest.mark.parametrize(
    ("enforcement", "fails_open", "passes"),
    [("hard", None, False), ("hard", False, False), ("hard", True, True), ("soft", None, True), ("soft", False, True)],
)
def test_a_service_that_goes_away(
    database: Database, database_url: str, share: Callable[..., SharedBudgets], enforcement, fails_open, *, passes: bool
) -> None:
    """What was leased may still be spent; after that hard budgets refuse."""
    set_budget(database, "8", enforcement=enforcement)
    service = Service(database_url)
    budgets = share(service.url, fails_open=fails_open)
    assert admitted(budgets, 1) == 1
    service.stop()
    passed = admitted(budgets, 30)
    assert (passed == 30) == passes
    assert passed >= 3  # the lease was four calls


def test_no_call_waits_longer_than_it_says() -> None:
    """Nothing timed decides: the bound is a constant, and one that waits gets None for an answer."""
    assert channel.WAIT_SECONDS_MAX == 0.25


@pytest.mark.parametrize(
    ("url", "disabled", "decides"), [("http://127.0.0.1:1", "", True), ("", "", False), ("x", "1", False)]
)
def test_one_variable_lets_the_service_decide(monkeypatch, url: str, disabled: str, *, decides: bool) -> None:
    """What `opentelemetry-instrument` calls; nothing where no service is named."""
    monkeypatch.setenv("CALLFARE_BUDGET_URL", url)
    monkeypatch.setenv("CALLFARE_DISABLED", disabled)
    monkeypatch.setattr(shared, "_shared", None)
    monkeypatch.setattr(shared, "_is_read", True)
    pre_instrument()
    found = gate_in(Context())
    set_gate_of_process(None)
    assert (found is not None) == decides
