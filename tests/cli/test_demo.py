import os
import re
import signal
from decimal import Decimal as D
from pathlib import Path

import psutil
import pytest

from cost_exporter.cli import demo
from cost_exporter.domain.money import to_plain
from tests.cli.running import ROOT, Ran, run_command, run_program, start_program
from tests.instrumentation.instrumented_app import metadata_folder
from tests.support.waiting import RUN_SECONDS_MAX, wait_until

pytestmark = pytest.mark.slow

# What the README shows, computed by hand from what the fakes answer and receive, and the list prices in US dollars.
EMBEDDING = D("0.02") * 2_000 / 1_000_000
ANSWER = D("0.15") * (1_234 - 1_024) / 1_000_000 + D("0.075") * 1_024 / 1_000_000 + D("0.60") * 87 / 1_000_000
SUMMARY = D("2.50") * 900 / 1_000_000 + D(10) * 120 / 1_000_000
SPOKEN = D("0.05") * len("Your order left our warehouse this morning and arrives on Thursday before noon.") / 1_000
# Interrupted while it was spoken: the whole text had been sent, so all of it is billed.
INTERRUPTED = D("0.05") * len("Yes, you can. Before I change anything, let me read you our terms of delivery.") / 1_000
TRANSCRIBED = D("0.0048") * (12 + 8) / 60
CALL = D("0.0085") * 2  # 73 s are billed as two minutes; Twilio says the same, later
BOT = EMBEDDING + ANSWER + SPOKEN + INTERRUPTED + TRANSCRIBED + CALL
# "Where is my order?", its role and its keys are 6 tokens by their length; the answer may have 500.
NEXT = to_plain(D("2.50") * 6 / 1_000_000 + D(10) * 500 / 1_000_000)
README_COLUMNS = 100
REVENUE = D("4.99")
FEE = D("2.9") / 100 * REVENUE + D("0.30")


def run_demo(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Run the demo as a program of its own, with callfare's entry points at hand as an installation has them."""
    site = folder.parent / f"{folder.name}-site"
    if not site.exists():
        metadata_folder(site)
    path = os.pathsep.join([str(site), str(ROOT), str(ROOT / "instrumentation")])
    return run_program("demo", *arguments, TMPDIR=str(folder), PYTHONPATH=path, **environment)


@pytest.fixture
def folder(data_dir: Path) -> Path:
    """Where the demo keeps what it needs while it runs: as long a path as some systems' temporary directories."""
    folder = data_dir.with_name("temporary-files-of-this-person")
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def test_demo_prices_each_leg_as_computed_by_hand(folder: Path) -> None:
    """Every leg of the call has its cost, its reason for having none, or 0 because it was refused."""
    body = run_demo(folder, "--json").json
    found = [
        (record["leg"], record["model"], record["category"], record["status"], record["cost_usd"])
        for record in body["records"]
    ]
    assert found == [
        ("llm", "text-embedding-3-small", "bot", "priced", to_plain(EMBEDDING)),
        ("llm", "gpt-4o-mini-2024-07-18", "bot", "priced", to_plain(ANSWER)),
        ("llm", "gpt-4.1", "bot", "priced", "0"),
        ("llm", "gpt-4o-mini-2024-07-18", "bot", "no_usage", None),
        ("llm", "gpt-4o-2024-08-06", "insights", "priced", to_plain(SUMMARY)),
        ("tts", "eleven_flash_v2_5", "bot", "priced", to_plain(SPOKEN)),
        ("tts", "eleven_flash_v2_5", "bot", "priced", to_plain(INTERRUPTED)),
        ("stt", "nova-3", "bot", "priced", to_plain(TRANSCRIBED)),
        ("telephony", "voice-inbound", "bot", "reported", to_plain(CALL)),
        ("telephony", "voice-inbound", "bot", "duplicate", None),
    ]
    assert body["by_category"] == {"bot": to_plain(BOT), "insights": to_plain(SUMMARY)}
    assert D(body["total_cost_usd"]) == BOT + SUMMARY == D("0.0301005")
    assert (body["unpriced_count"], body["tenant_id"], body["workflow_name"]) == (1, "acme", "support-call")
    assert (D(body["revenue_usd"]), D(body["fee_usd"])) == (REVENUE, FEE)
    assert D(body["profit_usd"]) == REVENUE - FEE - (BOT + SUMMARY)
    assert {record["tenant_id"] for record in body["records"]} == {"acme"}
    assert {record["service_name"] for record in body["records"]} == {"voice-agent", "insights"}


def test_demo_prints_bounds_and_leaves_nothing_behind(folder: Path) -> None:
    """What is unknown makes bounds of the totals; no directory, no process is left, the person's settings unused."""
    mine = {"CALLFARE_DATABASE_URL": "postgresql://127.0.0.1:1/mine", "OPENAI_BASE_URL": "http://127.0.0.1:1"}
    ran = run_demo(folder, COLUMNS=str(README_COLUMNS), **mine)
    assert (ran.exit_code, ran.err) == (0, "")
    assert max(map(len, readme_demo().splitlines())) <= README_COLUMNS
    for line in (
        "priced (interrupted,",
        f"total ≥ ${to_plain(BOT + SUMMARY)} (1 unpriced)",
        f"category bot       ≥ ${to_plain(BOT)} (1 unpriced)",
        f"category insights  ${to_plain(SUMMARY)}",
        f"revenue            ${REVENUE}",
        f"payment fee        ${to_plain(FEE)}",
        f"profit             ≤ ${to_plain(REVENUE - FEE - BOT - SUMMARY)}",
        "budget acme-trial of acme: ≥ 86 % (over 80 %) of 0.035 USD in all",
        f"next call of acme: refused before it was sent: {NEXT} USD estimated, {D('0.035') - BOT - SUMMARY} USD left",
        "Checked: each of 8 quantities",
    ):
        assert line in ran.out
    *shown, next_step = lines_of(ran.out)
    assert shown == lines_of(readme_demo())
    assert next_step.startswith("Run `callfare up`")
    assert list(folder.iterdir()) == []
    assert not [process for process in psutil.process_iter(["cmdline"]) if mentions(process, folder)]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(each, marks=pytest.mark.full) for each in (signal.SIGHUP, signal.SIGINT))]
)
def test_demo_that_is_told_to_end_leaves_nothing_behind(folder: Path, number: signal.Signals) -> None:
    """A time limit's SIGTERM, a closed terminal, Ctrl-C: its database is stopped and its directory is gone."""
    site = folder.parent / f"{folder.name}-site"
    metadata_folder(site)
    path = os.pathsep.join([str(site), str(ROOT), str(ROOT / "instrumentation")])
    with start_program("demo", TMPDIR=str(folder), PYTHONPATH=path) as process:
        wait_until("its database", lambda: list(folder.glob("callfare-demo-*/postgres/postmaster.pid")))
        process.send_signal(number)
        process.send_signal(number)
        out, err = process.communicate(timeout=RUN_SECONDS_MAX)
    assert (process.returncode, out, err) == (128 + number, "", "")
    assert list(folder.iterdir()) == []
    assert not [process for process in psutil.process_iter(["cmdline"]) if mentions(process, folder)]


@pytest.mark.full
def test_demo_whose_figures_are_not_the_vendors_fails(folder: Path) -> None:
    """With an instrumentor switched off, what that vendor received is missing from the records: exit 1, one line."""
    without_deepgram = folder.parent / "without-deepgram"
    entries = metadata_folder(without_deepgram) / "callfare-0.0.0.dist-info" / "entry_points.txt"
    lines = entries.read_text(encoding="utf-8").splitlines()
    entries.write_text("\n".join(line for line in lines if "deepgram" not in line), encoding="utf-8")
    path = os.pathsep.join([str(without_deepgram), str(ROOT), str(ROOT / "instrumentation")])
    ran = run_program("demo", TMPDIR=str(folder), PYTHONPATH=path)
    assert ran.exit_code == 1
    assert ran.err == (
        "error: the demo's figures are not what the vendors received: deepgram audio_seconds 20 received, 0 recorded\n"
    )


@pytest.mark.parametrize(
    ("package", "extra"), [("deepgram", "demo"), ("twilio", "demo"), ("opentelemetry.instrumentation.openai", "openai")]
)
def test_a_missing_part_is_one_line_that_names_the_extra(
    package: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of the SDKs nothing is started; the error says what to install."""
    find = demo.find_spec
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == package else find(name))
    ran = run_command(capsys, "demo")
    assert ran.exit_code == 2
    assert ran.err == (
        f"error: the demo (its part {package!r} is missing) needs the extra {extra!r}:"
        f" pip install 'callfare[{extra}]'\n"
    )


def readme_demo() -> str:
    """What the README shows below `make demo`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition("$ make demo\n")[2].partition("\n```")[0]


def lines_of(output: str) -> list[str]:
    """The lines without what differs each time, the ids, and the widths that follow from them."""
    masked = re.sub(r"\b(?:[0-9a-f]{32}|[0-9a-f]{16})\b", "ID", output)
    return [re.sub(r" {2,}", "  ", re.sub("─+", "─", line)).rstrip() for line in masked.rstrip().splitlines()]


def mentions(process: psutil.Process, path: Path) -> bool:
    return process.pid != os.getpid() and str(path) in " ".join(process.info["cmdline"] or [])
