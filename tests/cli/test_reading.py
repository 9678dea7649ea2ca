from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.cli import diagnosis
from cost_exporter.prices.loader import curated_files
from tests.cli.running import run_command
from tests.support.stored import CHAT_COST_USD, EMBEDDING_COST_USD, OTHER_CALL, SUPPORT_CALL


def test_trace_shows_each_line_with_price_cost_and_status(callfare: Any) -> None:
    """One workflow is shown by leg, with a total that says what it misses."""
    ran = callfare("trace", SUPPORT_CALL.hex())
    assert (ran.exit_code, ran.err) == (0, "")
    assert "support-call" in ran.out
    assert "$0.075 / 1M" in ran.out
    assert "unpriced" in ran.out
    assert "total ≥ $0.0001605 (1 unpriced)" in ran.out


@pytest.mark.parametrize("written", [SUPPORT_CALL.hex(), "0af76519-16cd-43dd-8448-eb211c80319c"])
def test_trace_id_is_taken_with_or_without_dashes(callfare: Any, written: str) -> None:
    """Both ways of writing a trace id find the workflow."""
    body = callfare("trace", written, "--json").json
    assert body["trace_id"] == SUPPORT_CALL.hex()
    assert D(body["total_cost_usd"]) == CHAT_COST_USD
    assert body["unpriced_count"] == 1
    assert {record["status"] for record in body["records"]} == {"priced", "unpriced"}


def test_trace_explains_every_step(callfare: Any) -> None:
    """`--explain` leads from the meter to the cost."""
    out = callfare("trace", SUPPORT_CALL.hex(), "--explain").out
    assert "1024 cache_read_tokens: 1024 x 0.075 / 1000000 = $0.0000768" in out


def test_unknown_trace_is_one_line_and_exit_1(callfare: Any) -> None:
    """A trace that nobody sent is found wrong, not empty."""
    ran = callfare("trace", "f" * 32)
    assert (ran.exit_code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: no workflow {'f' * 32}")
    assert ran.err.count("\n") == 1


def test_wrong_trace_id_is_wrong_usage(callfare: Any) -> None:
    """What cannot be a trace id exits 2 and says how one is written."""
    ran = callfare("trace", "12345")
    assert ran.exit_code == 2
    assert "32 hex digits" in ran.err


def test_report_sums_exactly(callfare: Any) -> None:
    """The report's total is the sum of its groups, and of the records."""
    body = callfare("report", "--group-by", "tenant", "--json").json
    seconds = {"audio_seconds": "0", "call_seconds": "0", "characters": 0}
    acme = {"unpriced_count": 1, "cost_is_lower_bound": True, "request_count": 2, "total_tokens": 1_234 + 87 + 20}
    beta = {"unpriced_count": 0, "cost_is_lower_bound": False, "request_count": 1, "total_tokens": 2_000}
    assert body["groups"] == [
        {"tenant_id": "acme", "cost_usd": "0.0001605", **acme, **seconds},
        {"tenant_id": "beta", "cost_usd": "0.00004", **beta, **seconds},
    ]
    assert D(body["total_cost_usd"]) == CHAT_COST_USD + EMBEDDING_COST_USD
    assert body["unpriced_count"] == 1


@pytest.mark.parametrize(
    "group_by",
    ["day", "user", "task,tier", "api_key", "model,operation", "provider,category", "hour", "week,tier", "month"],
)
def test_report_by_any_dimension_has_the_same_total(callfare: Any, group_by: str) -> None:
    """Rollups and records give the same total, and the same quantities, whatever it is divided by."""
    body = callfare("report", "--group-by", group_by, "--json").json
    assert (D(body["total_cost_usd"]), body["unpriced_count"]) == (CHAT_COST_USD + EMBEDDING_COST_USD, 1)
    assert sum(group["request_count"] for group in body["groups"]) == 3
    assert sum(group["total_tokens"] for group in body["groups"]) == 1_234 + 87 + 20 + 2_000


@pytest.mark.parametrize("group_by", ["model", "model,user"])
def test_a_model_of_which_nothing_is_priced_has_no_cost(callfare: Any, group_by: str) -> None:
    """From the rollup and from the records alike: null in JSON, a dash in a table, never 0."""
    groups = callfare("report", "--group-by", group_by, "--json").json["groups"]
    (unknown,) = [group for group in groups if group["model"] == "=no-such-model"]
    assert (unknown["cost_usd"], unknown["unpriced_count"], unknown["request_count"]) == (None, 1, 1)
    lines = callfare("report", "--group-by", group_by).out.splitlines()
    (line,) = [line for line in lines if line.startswith("=no-such-model")]
    assert line.split()[1:] == ["-", "1", "20", "1"]


def test_report_in_csv_neutralises_formulas(callfare: Any) -> None:
    """A model named like a formula reaches a spreadsheet as text."""
    out = callfare("report", "--group-by", "model", "--format", "csv").out
    assert out.splitlines()[0].startswith("model,cost_usd,unpriced_count,cost_is_lower_bound,request_count,")
    assert "'=no-such-model,,1,true,1,20,0,0,0" in out.splitlines()


def test_report_in_markdown_has_a_total(callfare: Any) -> None:
    """The markdown form is a table with the total below."""
    out = callfare("report", "--format", "markdown").out
    assert "| --- |" in out
    assert "**total ≥ $0.0002005 (1 unpriced)**" in out


def test_report_of_one_tenant_leaves_others_out(callfare: Any) -> None:
    """`--tenant` shows that tenant alone."""
    body = callfare("report", "--tenant", "beta", "--group-by", "tenant", "--json").json
    assert [group["tenant_id"] for group in body["groups"]] == ["beta"]


def test_report_of_an_empty_month_is_zero(callfare: Any) -> None:
    """A month without calls cost nothing, and nothing of it is unknown."""
    body = callfare("report", "--month", "2020-01", "--json").json
    assert body == {"total_cost_usd": "0", "unpriced_count": 0, "groups": []}


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["--month", "2026"], "YYYY-MM"),
        (["--month", "2026-01", "--since", "2026-01-01"], "leave out"),
        (["--since", "yesterday"], "YYYY-MM-DD"),
        (["--since", "2026-02-01", "--until", "2026-02-01"], "exclusive"),
        (["--until", "0001-01-01"], "the years 1 to 9999"),
        (["--month", "9999-12"], "the years 1 to 9999"),
        (["--group-by", "color"], "choose from day, tenant"),
        (["--round", "many"], "neither exact nor a number"),
        (["--round", "13"], "0 to 12"),
        (["--sort", "colour"], "choose from cost, calls"),
        (["--compare", "last"], "write --compare previous"),
        (["--compare", "previous", "--group-by", "day"], "leave time out"),
        (["--format", "pdf"], "markdown"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_wrong_option_is_one_line_that_says_how_to_fix_it(callfare: Any, arguments: list[str], fix: str) -> None:
    """Wrong usage exits 2 with one line on standard error and nothing on standard output."""
    ran = callfare("report", *arguments)
    assert (ran.exit_code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert fix in ran.err


def test_top_begins_with_the_dearest(callfare: Any) -> None:
    """Workflows come most expensive first."""
    body = callfare("top", "--json").json
    assert [workflow["trace_id"] for workflow in body["workflows"]] == [SUPPORT_CALL.hex(), OTHER_CALL.hex()]
    assert "≥ $0.0001605 (1 unpriced)" in callfare("top", "--by", "cost").out


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--by", "duration"], {SUPPORT_CALL.hex(), OTHER_CALL.hex()}),
        (["--by", "unpriced"], {SUPPORT_CALL.hex()}),
        (["--limit", "1"], {SUPPORT_CALL.hex()}),
        (["--tenant", "beta"], {OTHER_CALL.hex()}),
        (["--since", "2020-01-01", "--until", "2020-02-01"], set[str]()),
    ],
)
def test_top_takes_a_period_a_tenant_a_count_and_a_measure(
    callfare: Any, arguments: list[str], found: set[str]
) -> None:
    """What is asked for, and nothing else."""
    assert {workflow["trace_id"] for workflow in callfare("top", *arguments, "--json").json["workflows"]} == found


def test_report_can_be_sorted_cut_and_compared(callfare: Any) -> None:
    """The most expensive first, the total of all, and beside it what the same groups cost before."""
    asked = ("report", "--group-by", "tenant", "--sort", "cost", "--limit", "1", "--compare", "previous")
    body = callfare(*asked, "--json").json
    (group,) = body["groups"]
    assert (group["tenant_id"], group["previous_cost_usd"], group["change_usd"]) == ("acme", "0", None)
    assert (body["total_cost_usd"], body["omitted_group_count"]) == ("0.0002005", 1)
    assert body["previous_total_cost_usd"] == "0"
    assert "with 1 more groups; from " in callfare(*asked).out


@pytest.mark.parametrize("columns", ["60", "80", "120"])
@pytest.mark.parametrize("command", [["top"], ["report"], ["report", "--group-by", "tenant,category,provider,model"]])
def test_tables_fit_the_terminal(
    callfare: Any, monkeypatch: pytest.MonkeyPatch, command: list[str], columns: str
) -> None:
    """No line is wider than the terminal, no trace id is split, every exact figure is there; --wide folds nothing."""
    monkeypatch.setenv("COLUMNS", columns)
    out = callfare(*command).out
    assert max(map(len, out.splitlines())) <= int(columns)
    assert "$0.0001605" in out
    if command == ["top"]:
        assert SUPPORT_CALL.hex() in out
    assert len(callfare(*command, "--wide").out.splitlines()) <= len(out.splitlines())


@pytest.mark.parametrize(("rounding", "total"), [("2", "≥ $0.00"), ("5", "≥ $0.00020"), ("exact", "≥ $0.0002005")])
def test_money_is_rounded_only_where_it_is_asked_for(callfare: Any, rounding: str, total: str) -> None:
    """In tables and markdown; CSV and JSON stay exact."""
    assert f"total {total} (1 unpriced)" in callfare("report", "--round", rounding).out
    assert f"total {total} (1 unpriced)" in callfare("report", "--round", rounding, "--format", "markdown").out
    assert ",0.0001605," in callfare("report", "--round", rounding, "--format", "csv").out
    assert callfare("report", "--round", rounding, "--json").json["total_cost_usd"] == "0.0002005"


def test_verify_of_a_sound_ledger_exits_0(callfare: Any) -> None:
    """Where every rollup is the sum of its records there is nothing to say."""
    ran = callfare("verify", "--json")
    assert (ran.exit_code, ran.json) == (0, {"is_sound": True, "mismatches": []})
    assert "sound" in callfare("verify").out


def test_verify_deep_decides_and_prices_every_call_again(callfare: Any) -> None:
    """It says how much it checked, and goes on after a trace."""
    ran = callfare("verify", "--deep", "--json")
    assert (ran.exit_code, ran.json["is_sound"], ran.json["mismatches"]) == (0, True, [])
    assert ran.json["deep"]["traces"] >= 2
    assert ran.json["deep"]["unknown_book_count"] == 0
    assert f"{ran.json['deep']['records']} records of" in callfare("verify", "--deep").out
    rest = callfare("verify", "--deep", "--after", "f" * 32, "--json")
    assert rest.json["deep"]["traces"] == 0
    assert callfare("verify", "--after", "f" * 32).exit_code == 2


def test_verify_names_a_database_that_was_replaced(callfare: Any, filled: str) -> None:
    """Until it is accepted; what is in the ledger is another question."""
    assert callfare("verify").exit_code == 0
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("update callfare.ledger_identity set ledger_id = gen_random_uuid()")
    for _ in range(2):
        ran = callfare("verify", "--json")
        assert (ran.exit_code, [row["problem"] for row in ran.json["mismatches"]]) == (1, ["replaced_database"])
    assert callfare("verify", "--accept-database").exit_code == 0
    assert callfare("verify").exit_code == 0


def test_dead_letters_are_listed_without_their_content(callfare: Any) -> None:
    """A span without an id is held as a dead letter, and listed with its reason."""
    (letter,) = callfare("deadletter", "list", "--json").json["dead_letters"]
    assert letter["reason"] == "bad_id"
    assert "payload" not in letter
    assert "bad_id" in callfare("deadletter", "list").out


def test_replay_of_what_still_cannot_be_stored_exits_1(callfare: Any) -> None:
    """A letter whose span still has no id stays a dead letter, and the command says so."""
    (letter,) = callfare("deadletter", "list", "--json").json["dead_letters"]
    ran = callfare("deadletter", "replay", "--json")
    assert ran.exit_code == 1
    assert ran.json == {"replayed": [{"dead_letter_id": letter["dead_letter_id"], "error": "refused again"}]}


@pytest.mark.parametrize(("letter_id", "exit_code"), [("999999", 1), (str(2**63), 2), ("0", 2)])
def test_replay_of_a_letter_that_does_not_exist_is_an_error(callfare: Any, letter_id: str, exit_code: int) -> None:
    """A mistyped number is not a success in which there was nothing to do."""
    ran = callfare("deadletter", "replay", letter_id)
    assert ran.exit_code == exit_code
    assert ran.err.count("\n") == 1


def test_migrate_of_an_up_to_date_schema_does_nothing(callfare: Any) -> None:
    """Migrating again changes nothing and says so."""
    assert callfare("migrate", "--json").json == {"applied": []}
    assert "up to date" in callfare("migrate").out


def test_doctor_finds_a_sound_installation(callfare: Any, filled: str) -> None:
    """Nothing is wrong with this installation but that the tests' PostgreSQL may run without fsync, which is found."""
    with psycopg.connect(filled) as connection:
        is_safe = connection.execute("show fsync").fetchone() == ("on",)
    ran = callfare("doctor", "--json")
    wrong = [finding["text"] for finding in ran.json["findings"] if finding["level"] == "wrong"]
    assert [text.partition(":")[0] for text in wrong] == ([] if is_safe else ["fsync is off"])
    assert ran.exit_code == (0 if is_safe else 1)
    subjects = {finding["subject"] for finding in ran.json["findings"] if finding["level"] == "ok"}
    assert {"database", "clock", "configuration"} <= subjects
    assert "prices" in {finding["subject"] for finding in ran.json["findings"]}


@pytest.mark.parametrize(("age_days", "level"), [(0, "ok"), (45, "ok"), (46, "note")])
def test_doctor_notes_prices_that_nobody_has_checked_for_long(age_days: int, level: str) -> None:
    """Counted from the newest check of any price that is shipped."""
    newest = max(date.fromisoformat(str(row.checked)) for file in curated_files() for row in file.rows if row.checked)
    finding = next(diagnosis._prices(newest + timedelta(days=age_days)))
    assert (finding.level, str(newest) in finding.text) == (level, True)


def test_doctor_says_how_old_each_source_of_prices_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Curated rows, both imported lists, and what was loaded into the database here."""
    texts = [
        one["text"] for one in run_command(capsys, "doctor", "--json").json["findings"] if one["subject"] == "prices"
    ]
    assert [text.split(":")[0].split()[0] for text in texts[:3]] == ["curated", "genai-prices", "voice-prices"]
    assert all("days ago" in text for text in texts)


@pytest.mark.parametrize(("offset_seconds", "found"), [(-3, 3), (0, 0), (5, 0), (10, 0), (12.5, 2.5)])
def test_doctor_takes_a_slow_answer_for_no_wrong_clock(offset_seconds: float, found: float) -> None:
    """The database's time may be any of the ten seconds that its answer took."""
    asked = datetime(2026, 11, 30, 23, 59, 55, tzinfo=UTC)
    moment = asked + timedelta(seconds=offset_seconds)
    assert diagnosis._seconds_outside(moment, asked, asked + timedelta(seconds=10)) == found


def test_doctor_finds_what_never_arrived_and_what_is_not_taken(callfare: Any, filled: str) -> None:
    """Holes in a producer's numbers, and spans that wait for the forward endpoint, are findings."""
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(
            "insert into callfare.producer (namespace, producer_id, highest_sequence, seen_count, last_seen_at)"
            " values ('default', 'p', 9, 7, now() - interval '1 hour')"
        )
        connection.execute(
            "insert into callfare.outbox (waiting_since, span_count, request)"
            " values (now() - interval '5 minutes', 1, '')"
        )
        connection.execute("update callfare.outbox_given_up set span_count = 3")
        try:
            out = callfare("doctor", "--json").json
        finally:
            connection.execute("delete from callfare.producer")
            connection.execute("delete from callfare.outbox")
            connection.execute("update callfare.outbox_given_up set span_count = 0")
    texts = " ".join(each["text"] for each in out["findings"])
    assert "2 billable spans of 1 processes never arrived" in texts
    assert "1 spans wait for it" in texts
    assert "3 spans were dropped" in texts


def test_doctor_finds_a_misspelt_setting(callfare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that nobody reads is found wrong."""
    monkeypatch.setenv("CALLFARE_DATABSE_URL", "postgresql://nowhere/")
    ran = callfare("doctor")
    assert ran.exit_code == 1
    assert "CALLFARE_DATABSE_URL is no setting" in ran.out


def test_commands_without_a_database_say_how_to_get_one(no_database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where callfare was never started, a reading command says so in one line and makes nothing."""
    ran = run_command(capsys, "top")
    assert (ran.exit_code, ran.out) == (1, "")
    assert "run `callfare up` first" in ran.err
    assert not no_database.exists()


NEEDS_DATABASE = (
    *(["top"], ["trace", "f" * 32], ["verify"], ["migrate"], ["token", "list"], ["prices", "list"]),
    *(["prices", "show", "gpt-4o"], ["prices", "import"], ["deadletter", "replay"], ["serve"]),
)


@pytest.mark.parametrize("command", NEEDS_DATABASE, ids=" ".join)
def test_unreachable_database_is_one_line_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """A database that does not answer is one line, which does not show the password."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", "postgresql://me:geheim@127.0.0.1:1/nowhere")
    ran = run_command(capsys, *command)
    assert (ran.exit_code, ran.out) == (1, "")
    assert ran.err.startswith("error: cannot reach the database (connection failed: ")
    assert "Connection refused" in ran.err
    assert ran.err.count("\n") == 1
    assert "geheim" not in ran.err


@pytest.mark.parametrize("command", NEEDS_DATABASE, ids=" ".join)
@pytest.mark.parametrize("url", ["postgresql://me:geheim@[::1/x", "postgresql://me:geheim@127.0.0.1/x?nonsense=1"])
def test_url_that_cannot_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, command: list[str]
) -> None:
    """What the library says of it would show the password."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", url)
    ran = run_command(capsys, *command)
    assert (ran.exit_code, ran.out) == (1, "")
    assert ran.err.startswith("error: the database's URL cannot be read; write postgresql://")
    assert ran.err.count("\n") == 1
    assert "geheim" not in ran.err
    assert "geheim" not in run_command(capsys, "doctor").out


@pytest.mark.parametrize(
    "arguments", [[], ["prices"], ["token"], ["deadletter"]], ids=lambda words: words[0] if words else "alone"
)
def test_a_command_without_its_arguments_shows_its_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Whoever types `callfare` to see what there is sees it, as lines and not as one."""
    ran = run_command(capsys, *arguments)
    assert (ran.exit_code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: callfare")
    assert "\nCommands:\n" in ran.err


def test_doctor_refuses_a_configuration_without_effect(
    callfare: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A section that nothing reads is wrong to the doctor as it is to the service."""
    path = tmp_path / "callfare.yaml"
    path.write_text("limits: []\n")
    monkeypatch.setenv("CALLFARE_CONFIG", str(path))
    ran = callfare("doctor", "--json")
    assert ran.exit_code != 0
    assert f"{path}:1: limits: " in ran.out
