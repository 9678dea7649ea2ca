"""The reference is what the code is: current, complete, and no public name goes without a description."""

import re
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import typer

from cost_exporter.serve.metrics import ServiceMetrics
from scripts.reference import __main__ as reference
from scripts.reference import cli, database, files, http_api, metrics
from scripts.reference.markdown import ROOT, Undescribed

SOURCES = ("cost_exporter", "instrumentation/callfare")


@pytest.fixture(scope="module")
def made(postgres_url: str, template_database: str) -> dict[str, str]:
    """Every page as the code makes it now."""
    return reference.pages(psycopg.conninfo.make_conninfo(postgres_url, dbname=template_database))


@pytest.mark.parametrize("name", [*reference.PAGES, "sql.md", reference.HELP])
def test_a_page_is_current(name: str, made: dict[str, str]) -> None:
    """The page in the repository is the one that the code makes."""
    assert (reference.FOLDER / name).read_text() == made[name], "run: make reference"


def test_every_page_of_the_folder_is_made_or_linked() -> None:
    """No page in docs/reference is left out of the manual's navigation."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [path.name for path in reference.FOLDER.glob("*.md") if f"reference/{path.name}" not in navigation] == []


def test_every_variable_of_the_source_is_described(made: dict[str, str]) -> None:
    """A CALLFARE_* name that the product reads or prints stands in the page."""
    named = {
        name
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"CALLFARE_[A-Z][A-Z_]*[A-Z]", path.read_text())
    }
    assert named
    assert {name for name in named if f"`{name}`" not in made["environment.md"]} == set()


def test_every_command_and_option_is_described(made: dict[str, str]) -> None:
    """Each command has a section, and each of its options a row there."""
    sections = dict(re.findall(r"^## (callfare [^\n]+)\n(.*?)(?=^## |\Z)", made["cli.md"], re.MULTILINE | re.DOTALL))
    found = dict(cli.commands())
    assert sections.keys() == found.keys()
    assert {"callfare up", "callfare report", "callfare prices load", "callfare token create"} <= found.keys()
    assert {"callfare rerate", "callfare rerate list"} <= found.keys()  # a group that is a command itself
    assert "callfare prices lint [OPTIONS] [FILE...]" in made["cli.md"]
    for path, command in found.items():
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                assert f"`{', '.join([*parameter.opts, *parameter.secondary_opts])}`" in sections[path]


def test_every_column_of_the_database_is_listed(made: dict[str, str], database_url: str) -> None:
    """Tables, views and their columns are those of the catalogue."""
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'callfare'"
        ).fetchall()
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| (`.*) \|$", made["sql.md"], re.MULTILINE))
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", made["sql.md"], re.MULTILINE | re.DOTALL))
    partition = re.compile(r"record_\d+")
    missing = [
        (table, column)
        for table, column in columns
        if not partition.match(table) and f"`{column}`" not in sections.get(table, rows.get(table, ""))
    ]
    assert len(columns) > 100
    assert missing == []


def test_a_command_without_help_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that does not say what it does is named."""
    spoilt = typer.Typer()
    spoilt.command("silent")(lambda: None)
    spoilt.command("other")(lambda: None)
    monkeypatch.setattr(cli, "load_command", lambda _: typer.main.get_command(spoilt))
    with pytest.raises(Undescribed, match=r"callfare \w+ (silent|other) has no description"):
        cli.page()


def test_a_column_without_a_comment_is_refused(database_url: str) -> None:
    """A stable column that nobody described is named, with the file to write in."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("comment on column callfare.cost_record.leg is null")
    with pytest.raises(Undescribed, match=r"cost_record\.leg has no description; write one in .*comments\.sql"):
        database.page(database_url)


def test_a_table_without_a_comment_is_refused(database_url: str) -> None:
    """An internal table needs a line as well."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table callfare.planted (id integer)")
    with pytest.raises(Undescribed, match="planted has no description"):
        database.page(database_url)


def test_a_setting_without_a_docstring_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the service that nobody described is named."""
    known = files.fields(files.Settings)
    monkeypatch.setattr(files, "fields", lambda _: known | {"web_addr": ""})
    with pytest.raises(Undescribed, match="CALLFARE_WEB_ADDR has no description"):
        files.environment_page()


def test_a_price_key_without_a_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the reader knows and the page does not is named, and the other way round."""
    monkeypatch.setattr(files.rows, "_ROW_KEYS", files.rows._ROW_KEYS | {"planted"})
    with pytest.raises(Undescribed, match="planted"):
        files.price_page()
    monkeypatch.setattr(files.rows, "_ROW_KEYS", files.rows._ROW_KEYS - {"planted", "note"})
    with pytest.raises(AssertionError, match="note"):
        files.price_page()


def test_a_route_without_a_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new address is named until somebody describes it."""
    monkeypatch.delitem(http_api.MEANINGS, "/docs")
    with pytest.raises(Undescribed, match="/docs"):
        http_api.page()


def test_a_metric_that_is_not_shown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that the source registers and the page lacks is named."""
    monkeypatch.setattr(metrics, "registry", ServiceMetrics)
    with pytest.raises(AssertionError, match="callfare_spans_missing"):
        metrics.page()


def test_the_tenants_price_is_the_one_that_the_page_shows(made: dict[str, str]) -> None:
    """The usage on the page is priced by the tenant's row of the example, and for anybody else by the list."""
    from cost_exporter.prices import load_book
    from cost_exporter.prices.quote_line import QuoteDesk

    stated = re.search(r"^echo '(.+)' ", made["price-file.md"], re.MULTILINE)
    assert stated is not None
    desk = QuoteDesk(load_book(ROOT / "tests" / "fixtures" / "prices" / "example.yaml"))
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert "price: tenant:acme/deepgram/" in desk.answer(stated[1], now=now).explanation
    assert "price: list/deepgram/" in desk.answer(stated[1].replace("acme", "other"), now=now).explanation


def test_the_configuration_example_is_a_configuration_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example on the page can be used."""
    from cost_exporter.settings.config_file import load_config

    monkeypatch.setenv("SLACK_URL", "https://hooks.slack.example/services/x")
    example = load_config(ROOT / "tests" / "fixtures" / "config" / "example.yaml")
    assert (len(example.revenue), len(example.fees), len(example.budgets), len(example.alerts)) == (1, 1, 1, 1)


def test_a_field_of_a_body_without_a_description_is_refused() -> None:
    """A new field of a request is named until somebody describes it."""
    planted = {
        "paths": {"/v1/x": {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/X"}}}}}}}
    }
    shapes = {"X": {"description": "A body.", "properties": {"y": {"type": "string"}}}}
    with pytest.raises(Undescribed, match=r"X\.y has no description; write one in .*budget_shapes\.py"):
        http_api.bodies(planted | {"components": {"schemas": shapes}})


def test_the_price_example_is_a_price_file() -> None:
    """The example on the page can be loaded."""
    from cost_exporter.prices.price_file import read_price_file

    example = read_price_file(Path(ROOT / "tests" / "fixtures" / "prices" / "example.yaml"))
    assert (len(example.rows), len(example.factors), len(example.aliases)) == (2, 1, 1)
