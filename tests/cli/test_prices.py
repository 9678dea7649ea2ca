"""`callfare prices`: each command, its JSON, and its exit code."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import psycopg
import pytest
import typer
from psycopg.conninfo import conninfo_to_dict

from cost_exporter.cli.prices import prices
from cost_exporter.errors import CallfareError

OVERRIDE = """
prices:
  - {provider: deepgram, model: nova-2, unit: audio_seconds, price: "0.43", per: "60"}
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Environment variables of the command; none of ours but those that the test sets."""
    for name in [name for name in os.environ if name.startswith("CALLFARE_")]:
        monkeypatch.delenv(name)
    with monkeypatch.context() as patched:
        yield _Environment(patched, CALLFARE_DATA_DIR=str(tmp_path / "data"))


class _Environment(dict[str, str]):
    def __init__(self, patched: pytest.MonkeyPatch, **variables: str) -> None:
        super().__init__()
        self._patched = patched
        for name, text in variables.items():
            self[name] = text

    def __setitem__(self, name: str, text: str) -> None:
        super().__setitem__(name, text)
        self._patched.setenv(name, text)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(environment: dict[str, str], *arguments: str, given: str = "") -> Done:
    """Run a command in this process, with its own streams."""
    out, err, original = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(given.encode()))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = _exit_code(arguments, err)
    finally:
        sys.stdin = original
    return Done(code, out.getvalue(), err.getvalue())


def _exit_code(arguments: tuple[str, ...], err: io.StringIO) -> int:
    try:
        return prices(list(arguments), standalone_mode=False) or 0
    except typer.TyperException as error:
        return error.exit_code
    except CallfareError as error:
        err.write(f"error: {error}\n")
        return 1


def as_url(dsn: str) -> str:
    """Return a connection string as the URL that settings take."""
    parts = conninfo_to_dict(dsn)
    name = parts.pop("dbname")
    return f"postgresql:///{name}?{urlencode(parts)}"


def json_of(done: Done) -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_quote_needs_no_database(environment: dict[str, str]) -> None:
    """Each line is answered in order; exit 1 where one could not be read."""
    usage = '{"provider": "openai", "model": "gpt-4o", "usage": {"input_tokens": 1000000}}'
    done = run(environment, "quote", given=f"{usage}\n\n{usage}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["status"], one["amount"]) for one in answers] == [
        ("priced", "2.5"),
        ("invalid", None),
        ("priced", "2.5"),
    ]
    assert done.returncode == 1
    assert run(environment, "quote", given=usage + "\n").returncode == 0
    assert run(environment, "quote").returncode == 0
    assert "1,000,000 x $2.5 / 1,000,000 = $2.5" in run(environment, "quote", "--explain", given=usage).stdout


def test_quote_takes_the_files_of_the_environment(environment: dict[str, str], tmp_path: Path) -> None:
    """`CALLFARE_PRICES` is over the list; a bad file is one error line and exit 1."""
    path = tmp_path / "prices.yaml"
    path.write_text(OVERRIDE)
    environment["CALLFARE_PRICES"] = str(path)
    usage = '{"provider": "deepgram", "model": "nova-2", "usage": {"audio_seconds": 60}}\n'
    assert json.loads(run(environment, "quote", given=usage).stdout)["amount"] == "0.43"
    path.write_text(OVERRIDE.replace('"0.43"', "0.43"))
    done = run(environment, "quote", given=usage)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"{path}:3:" in done.stderr
    assert 'quote it: price: "0.43"' in done.stderr


def test_quote_goes_on_without_the_database(environment: dict[str, str], tmp_path: Path) -> None:
    """No database is needed; where the one that is set does not answer, that is said and the files are used."""
    path = tmp_path / "prices.yaml"
    path.write_text(OVERRIDE)
    environment["CALLFARE_PRICES"] = str(path)
    environment["CALLFARE_DATABASE_URL"] = "postgresql://127.0.0.1:1/none"
    usage = '{"provider": "deepgram", "model": "nova-2", "usage": {"audio_seconds": 60}}\n'
    done = run(environment, "quote", given=usage)
    assert json.loads(done.stdout)["amount"] == "0.43"
    assert "quoting by the shipped prices and CALLFARE_PRICES alone" in done.stderr


def test_show_and_list(environment: dict[str, str]) -> None:
    """A model's rows at a time, at every provider that has it; a near name where there is none."""
    rows = json_of(run(environment, "show", "gpt-5.6-sol", "--at", "2026-08-20", "--provider", "openai", "--json"))
    base = [r for r in rows if r["unit"] == "input_tokens" and not r["conditions"] and not r["context_tier"]]
    assert [(row["price"], row["per"]) for row in base] == [("5", "1000000")]
    assert {row["provider"] for row in json_of(run(environment, "show", "gpt-4o-mini", "--json"))} >= {"openai"}
    unknown = run(environment, "show", "gpt-4oo")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "did you mean gpt-4o" in unknown.stderr
    assert run(environment, "show", "gpt-4o", "--at", "soon").returncode != 0
    listed = json_of(run(environment, "list", "--provider", "ElevenLabs", "--json"))
    assert {row["provider"] for row in listed} == {"elevenlabs"}
    assert "nova-3" in run(environment, "list", "--provider", "deepgram").stdout


def test_show_says_when_a_model_has_a_price(environment: dict[str, str], tmp_path: Path) -> None:
    """A model that is known and has no price at that time is not taken for a misspelt one."""
    path = tmp_path / "prices.yaml"
    path.write_text(
        "prices:\n  - {provider: acme, model: model-z, unit: characters, price: '1', per: '1',"
        " valid_from: 2026-02-01T00:00:00Z, valid_to: 2026-03-01T00:00:00Z}\n"
    )
    environment["CALLFARE_PRICES"] = str(path)
    assert run(environment, "show", "model-z", "--at", "2026-02-10").returncode == 0
    for at in ("2026-01-31", "2026-03-01"):
        done = run(environment, "show", "Model-Z", "--at", at)
        assert done.returncode == 1
        assert f"at {at}; it has one from 2026-02-01 on until 2026-03-01 at acme: choose another --at" in done.stderr


def test_lint(environment: dict[str, str], tmp_path: Path) -> None:
    """The shipped book has no findings; an implausible file has, and exits 1."""
    assert run(environment, "lint").stdout == "no findings\n"
    path = tmp_path / "prices.yaml"
    path.write_text(OVERRIDE)
    done = run(environment, "lint", str(path))
    assert done.returncode == 1
    assert "cents written as dollars" in done.stdout
    assert {one["code"] for one in json_of(run(environment, "lint", str(path), "--json"))} == {
        "off_list",
        "implausible",
    }


def test_diff_against_other_lists(environment: dict[str, str], tmp_path: Path) -> None:
    """Each disagreement names both prices and both dates; LiteLLM's list is a file of the user's."""
    voice = json_of(run(environment, "diff", "--against", "voice", "--json"))
    assert voice["equal_count"] > 300
    assert {one["provider"] for one in voice["disagreements"]} <= {"aws", "deepgram", "azure"}
    assert all(one["ours_checked"] and one["theirs_checked"] for one in voice["disagreements"])
    path = tmp_path / "litellm.json"
    path.write_text('{"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 5e-06}}')
    done = run(environment, "diff", "--against", "litellm", "--file", str(path))
    assert "1 differ, 0 are equal, 0 are not in this book" in done.stdout
    assert "$2.5" in done.stdout
    assert run(environment, "diff", "--file", str(path)).returncode == 2
    assert run(environment, "diff", str(path), "--against", "voice").returncode == 2


def test_diff(environment: dict[str, str], tmp_path: Path) -> None:
    """What a file would change; without one, what an import would change: nothing, as long as it is fresh."""
    path = tmp_path / "prices.yaml"
    path.write_text(OVERRIDE)
    assert json_of(run(environment, "diff", str(path), "--json"))[0]["kind"] == "added"
    assert run(environment, "diff").stdout.endswith(" changes\n")


def test_import_to_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    """The import can be written to a file, which is how the shipped snapshot is made."""
    target = tmp_path / "snapshot.json"
    assert run(environment, "import", "--to", str(target)).returncode == 0
    assert json.loads(target.read_text())["format"] == 1
    assert json_of(run(environment, "import", "--to", str(target), "--json")) == {"written_to": str(target)}
    done = run(environment, "import", "--to", str(tmp_path / "nowhere" / "snapshot.json"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "choose another file" in done.stderr


def test_load_and_import_into_the_database(environment: dict[str, str], tmp_path: Path, database_url: str) -> None:
    """Loaded rows are in force for every command; warnings go to standard error."""
    environment["CALLFARE_DATABASE_URL"] = as_url(database_url)
    path = tmp_path / "prices.yaml"
    path.write_text(OVERRIDE)
    done = run(environment, "load", str(path))
    assert done.returncode == 0
    assert done.stdout.startswith("loaded 1 rows, 0 factors as version 1\nre-priced no record")
    assert "cents written as dollars" in done.stderr
    assert done.stderr.startswith("warning: ")
    assert json_of(run(environment, "load", str(path), "--json"))["version_id"] == 2
    rows = json_of(run(environment, "list", "--book", "operator", "--json"))
    assert [row["price"] for row in rows] == ["0.43"]
    assert json_of(run(environment, "import", "--json"))["is_new"]
    assert run(environment, "import").stdout == "nothing changed since the last import\n"
    with psycopg.connect(database_url) as connection:
        versions = connection.execute("select kind from callfare.price_book_version order by 1, version_id").fetchall()
    assert versions == [("import",), ("load",), ("load",)]


def test_a_database_without_our_schema_is_said(environment: dict[str, str], empty_database_url: str) -> None:
    """One line that says to migrate."""
    environment["CALLFARE_DATABASE_URL"] = as_url(empty_database_url)
    done = run(environment, "list")
    assert done.returncode == 1
    assert "callfare migrate" in done.stderr
