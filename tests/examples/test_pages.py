"""Commands of pages that begin where a service runs and has calls: against one service that they share."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import callfare
from cost_exporter.settings.config_file import load_config
from tests.alerts.receiver import Receiver, receiving
from tests.collector_config.test_alerts import RULES, promtool
from tests.examples.documents import blocks
from tests.examples.shell import Shell
from tests.support import otlp
from tests.support.stored import chat, new_database, running_service, send

__all__ = ["promtool"]
pytestmark = pytest.mark.slow

NOVEMBER_UNIX_NS = 1_794_700_800 * 10**9  # 2026-11-15, as the pages ask for November
PROMPT = "Where is my order?"


@pytest.fixture(scope="module")
def slack() -> Iterator[Receiver]:
    """Where alerts arrive, in place of Slack and the like."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def reader(postgres_url: str, tmp_path_factory: pytest.TempPathFactory, slack: Receiver) -> Iterator[Shell]:
    """A terminal beside a running service with one call of November."""
    home = tmp_path_factory.mktemp("reader")
    with new_database(postgres_url, "callfare_pages") as url, running_service(url) as addresses:
        send(addresses["grpc"], otlp.request([a_call()]))
        variables = {"CALLFARE_DATABASE_URL": url, "OPS_SLACK": slack.url, "SECRET": f"whsec_{'a' * 43}="}
        yield Shell(home, variables, {"127.0.0.1:4319": str(addresses["web"])})


def a_call() -> Span:
    attributes = {
        **chat("gpt-4o-mini", 1_234, 87),
        "callfare.tenant.id": "acme",
        "callfare.api_key.id": "key_17",
        "callfare.category": "bot",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]),
    }
    return otlp.span(bytes(15) + b"\1", 1, name="chat", attributes=attributes, started_at_unix_ns=NOVEMBER_UNIX_NS)


def test_charge_back_by_key(reader: Shell) -> None:
    """docs/how-to/api-keys.md: as a table, as a file and over the API."""
    page = blocks("api-keys")
    shown = reader.run(page["verify costs"])
    assert "key_17" in shown
    assert json.loads(shown[shown.index("{") :])["data"]["groups"][0]["model"] == "gpt-4o-mini"
    assert "key_17,gpt-4o-mini" in (reader.folder / "keys.csv").read_text(encoding="utf-8")
    assert "total" in reader.run(page["verify"])


def test_lists_of_the_api(reader: Shell) -> None:
    """docs/how-to/pages-and-api.md: costs, workflows, and both kinds of file."""
    reader.run(blocks("pages-and-api")["verify lists"])
    assert (reader.folder / "workflows.csv").read_text(encoding="utf-8").count("\n") == 2
    assert json.loads((reader.folder / "calls.ndjson").read_text(encoding="utf-8"))["tenant_id"] == "acme"


def test_metrics_for_grafana(reader: Shell, promtool: Path) -> None:
    """docs/how-to/grafana.md: the metric is there, and Prometheus takes the configuration."""
    page = blocks("grafana")
    assert 'tenant="acme"' in reader.run(page["verify"])
    (reader.folder / "rules.yaml").write_bytes(RULES.read_bytes())
    (reader.folder / "prometheus.yml").write_text(page["file prometheus"], encoding="utf-8")
    checked = reader.run(f"{promtool} check config {reader.folder}/prometheus.yml")
    assert "is valid prometheus config" in checked


def test_hints(reader: Shell) -> None:
    """docs/how-to/hints.md: with calls that give none."""
    assert "Nothing to hint at." in reader.run(blocks("hints")["verify"])


def test_rerating(reader: Shell) -> None:
    """docs/explain/rerating.md: a price, re-rated, put back, and the price withdrawn by the row of the page."""
    page = blocks("../explain/rerating")
    row = yaml.safe_load(page["file withdrawn"])
    del row["prices"][0]["valid_to"]
    price = reader.folder / "price.yaml"
    price.write_text(yaml.safe_dump(row), encoding="utf-8")
    cost = "callfare report --since 2026-11-01 --until 2026-12-01 --json"
    before = reader.run(cost)
    reader.run(f"callfare prices load {price}")
    *commands, undo = page["verify rerate"].strip().splitlines()
    shown = reader.run("\n".join(commands))
    assert reader.run(cost) != before
    number = json.loads(reader.run("callfare rerate list --json"))["rerates"][0]["id"]
    assert str(number) in shown
    reader.run(undo.replace("--undo 1", f"--undo {number}"))
    assert reader.run(cost) == before
    price.write_text(page["file withdrawn"], encoding="utf-8")
    reader.run(f"callfare prices load {price}\n{commands[1]}")
    assert reader.run(cost) == before


def test_no_prompt_is_kept(reader: Shell) -> None:
    """docs/explain/privacy.md: the dump has the model of a call and not its words."""
    path = blocks("../operations/backup")["app path"]
    prompts, models = reader.run(path + blocks("../explain/privacy")["verify dump"]).split()
    assert (prompts, int(models) > 0) == ("0", True)


def test_alerts(reader: Shell, slack: Receiver) -> None:
    """docs/how-to/alerts.md: its files are read, a test message arrives, and a report is shown and sent."""
    page = blocks("alerts")
    config = reader.folder / "callfare.yaml"
    finance, _, reports = page["file reports"].partition("\n")[2].partition("reports:")
    text = f"{page['file alerts']}{finance}reports:{reports}"
    for kind in ("slack", "discord", "email"):  # those of the page are on the Internet, these are on this machine
        text = text.replace(f"kind: {kind}", "allow_private: true, kind: webhook")
    # Two lists of the page have a receiver of the same name; one is enough in one file.
    text = "\n".join(dict.fromkeys(text.splitlines()))
    config.write_text(text, encoding="utf-8")
    commands = page["verify alerts"].replace("DISCORD_URL=…", "DISCORD_URL=$OPS_SLACK FINANCE_MAIL=$OPS_SLACK")
    commands = commands.replace("SLACK_URL=…", "SLACK_URL=$OPS_SLACK").replace("ACME_SECRET=…", "ACME_SECRET=$SECRET")
    assert "ops" in reader.run(commands)
    (message,) = [json.loads(body) for _, _, body in slack.got]
    assert message["type"] == "callfare.test"
    shown = reader.run(commands.splitlines()[0] + "\n" + page["verify reports"])
    assert "Spend" in shown


def test_budgets_of_the_service(reader: Shell) -> None:
    """docs/how-to/service-budgets.md: from a file and by a command; a reservation is granted."""
    page = blocks("service-budgets")
    assert [each["name"] for each in yaml.safe_load(page["file budgets"])["budgets"]] == ["acme-day", "each-month"]
    config = reader.folder / "budgets.yaml"
    config.write_text(page["file budgets"], encoding="utf-8")
    assert len(load_config(config).budgets) == 2
    reader.run(page["verify set"])
    assert "acme-bots" in reader.run(page["verify"])
    assert json.loads(reader.run(page["verify reserve"]))["data"]["reservation_id"]


def test_a_reservation_in_code() -> None:
    """docs/how-to/budgets.md: what the work cost replaces its estimate."""

    class Pages:
        cost_usd = "0.013"

    with callfare.budget("0.05", {"ocr": "0.04"}) as money:
        names = {"money": money, "document": b"", "recognise": lambda _: Pages}
        exec(blocks("budgets")["code reserve"], names)
    assert str(money.spent_usd).rstrip("0") == "0.013"


def test_the_doctor(reader: Shell) -> None:
    """docs/operations/one-machine.md: nothing is wrong beside a running service."""
    shown = reader.run(f"{blocks('../operations/one-machine')['verify'].strip()} || true")
    wrong = [line for line in shown.splitlines() if line.startswith("WRONG")]
    assert [line for line in wrong if "fsync is off" not in line] == []  # which the tests' server may do without
    assert "schema is up to date" in shown


def test_tokens_and_editors(postgres_url: str, tmp_path: Path) -> None:
    """docs/how-to/mcp.md and pages-and-api.md: a token is made, and the files start a command that there is."""
    with new_database(postgres_url, "callfare_page_tokens") as url, running_service(url):
        reader = Shell(tmp_path, {"CALLFARE_DATABASE_URL": url})
        for name in ("mcp", "pages-and-api"):
            assert reader.run(blocks(name)["verify token"]).startswith("cf_")
        with psycopg.connect(url) as connection:
            assert len(connection.execute("select from callfare.token").fetchall()) == 2
    for where, key in (("editor vscode", "servers"), ("editor others", "mcpServers")):
        entry = json.loads(blocks("mcp")[where])[key]["callfare"]
        assert [entry["command"], *entry["args"]] == ["callfare", "mcp"]
        assert "--url" in reader.run("callfare mcp --help")
