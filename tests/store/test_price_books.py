"""Price books in PostgreSQL: appended, superseding, seen at once by who asks for the version."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.domain import Factor, PriceBook, UsageRecord
from cost_exporter.errors import PriceFileError
from cost_exporter.prices import load_book
from cost_exporter.prices.loader import shipped_snapshot
from cost_exporter.prices.price_file import PriceFile, parse_price_file
from cost_exporter.prices.snapshot import dump_snapshot
from cost_exporter.store.price_books import (
    BookKeeper,
    PastBooks,
    current_book,
    latest_snapshot,
    latest_version,
    load_new_files,
    loaded_prices,
    save_price_file,
    save_snapshot,
)
from tests.prices.test_price_file import FULL

NOON = 1_795_176_000 * 10**9  # 2026-11-20T12:00Z
OVERRIDE = """
prices:
  - {{provider: openai, model: gpt-4o, unit: input_tokens, price: "{price}", per: "1000000"}}
inherit: list
"""

Connection = psycopg.Connection[Any]


def load(connection: Connection, text: str) -> int:
    return save_price_file(connection, parse_price_file(text, "prices.yaml"))


def input_price(book: PriceBook) -> str:
    usage = UsageRecord(provider="openai", model="gpt-4o", quantities={"input_tokens": 1_000_000}, at_unix_ns=NOON)
    return str(book.price(usage).amount_usd).rstrip("0").rstrip(".")


def test_everything_a_file_says_comes_back(database: Connection) -> None:
    """Rows, factors and aliases read back are equal to those that were written."""
    file = parse_price_file(FULL, "full.yaml")
    assert save_price_file(database, file) == 1
    back = loaded_prices(database)
    assert (back.rows, back.factors, back.aliases) == (file.rows, file.factors, file.aliases)


def test_without_anything_loaded_the_shipped_book_is_in_force(database: Connection) -> None:
    """An empty database adds nothing."""
    assert latest_version(database) == 0
    assert latest_snapshot(database) is None
    assert current_book(database).version == load_book().version


def test_a_later_load_supersedes_an_equal_row_and_both_stay(database: Connection) -> None:
    """History is kept; the row loaded last is in force."""
    load(database, OVERRIDE.format(price="1"))
    load(database, OVERRIDE.format(price="3"))
    assert input_price(current_book(database)) == "3"
    assert database.execute("select price::int from callfare.price order by version_id").fetchall() == [(1,), (3,)]
    assert database.execute("select price::int from callfare.price_in_force").fetchall() == [(3,)]


def test_a_file_of_the_operator_takes_part_in_the_one_history(database: Connection, tmp_path: Path) -> None:
    """`CALLFARE_PRICES` is loaded when it says something new: what is loaded after it supersedes it, and stays."""
    path = written(tmp_path / "prices.yaml", "7")
    load(database, OVERRIDE.format(price="1"))
    assert input_price(BookKeeper(database, [path]).book) == "7"
    load(database, OVERRIDE.format(price="3"))
    for _ in range(2):  # every later start, and every command
        assert input_price(BookKeeper(database, [path]).book) == "3"
        assert input_price(current_book(database, [path])) == "3"
    assert latest_version(database) == 3
    written(path, "8")
    assert input_price(current_book(database, [path])) == "8"
    written(path, "7")  # back to what it said two versions ago: that is a change too
    assert input_price(current_book(database)) == "8"
    assert input_price(current_book(database, [path])) == "7"


def test_what_is_new_is_decided_by_what_a_file_says(database: Connection, tmp_path: Path) -> None:
    """Neither its path, nor comments and layout, nor an empty file make a version."""
    path = written(tmp_path / "prices.yaml", "7")
    assert list(load_new_files(database, [path]).values()) == [1]
    copy = tmp_path / "copy.yaml"
    copy.write_text(f"# the same\n{path.read_text()}\n\n")
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing yet\n")
    for paths in ([copy], [path], [empty], [path, copy, empty]):
        assert load_new_files(database, paths) == {}
    assert list(load_new_files(database, [written(copy, "8")]).values()) == [2]
    (tmp_path / "broken.yaml").write_text("prices: 7")
    with pytest.raises(PriceFileError):
        load_new_files(database, [written(path, "9"), tmp_path / "broken.yaml"])
    assert latest_version(database) == 2


def test_many_processes_that_start_at_once_load_a_file_once(
    database: Connection, database_url: str, tmp_path: Path
) -> None:
    """Workers and commands look under one lock."""
    path = written(tmp_path / "prices.yaml", "7")

    def start(_: int) -> str:
        with psycopg.connect(database_url, autocommit=True) as connection:
            return input_price(BookKeeper(connection, [path]).book)

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(start, range(12))) == {"7"}
    assert latest_version(database) == 1


def written(path: Path, price: str) -> Path:
    path.write_text(OVERRIDE.format(price=price))
    return path


def test_a_running_service_sees_a_new_version(database: Connection) -> None:
    """The keeper of the book loads it anew when the version changes, and only then."""
    keeper = BookKeeper(database)
    book = keeper.book
    assert not keeper.refresh(database)
    assert keeper.book is book
    load(database, OVERRIDE.format(price="1"))
    assert keeper.refresh(database)
    assert input_price(keeper.book) == "1"


def test_import_is_kept_once(database: Connection) -> None:
    """An import that changes nothing makes no version; a changed one is in force, and its rows can be queried."""
    text = dump_snapshot([], origin="genai-prices 9", imported_on="2026-12-01")
    version = save_snapshot(database, text)
    assert version is not None
    assert save_snapshot(database, text) is None
    assert input_price(current_book(database)) == "None"
    shipped = shipped_snapshot()._text
    assert save_snapshot(database, shipped) == version + 1
    assert input_price(current_book(database)) == "2.5"
    query = (
        "select count(*) from callfare.price_in_force where is_imported and model = 'gpt-4o' and unit = 'input_tokens'"
    )
    counted = database.execute(query).fetchone()
    assert counted is not None
    assert counted[0] >= 1
    assert loaded_prices(database).rows == []


@pytest.mark.parametrize("change", ["update callfare.price set price = 0", "delete from callfare.price_book_version"])
def test_prices_are_append_only(database: Connection, change: str) -> None:
    """The database itself refuses to change or delete a price."""
    load(database, OVERRIDE.format(price="1"))
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        database.execute(change)  # pyright: ignore[reportArgumentType]


def test_a_failed_load_leaves_nothing(database: Connection) -> None:
    """A file is loaded whole or not at all."""
    file = parse_price_file(FULL, "full.yaml")
    impossible = Factor(book="operator", factor=D(-1))
    broken = PriceFile(name="broken", rows=file.rows, factors=[impossible])
    with pytest.raises(psycopg.errors.CheckViolation):
        save_price_file(database, broken)
    assert latest_version(database) == 0


def test_books_of_past_versions_are_made_again_once(database: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces name versions in any order: what was asked for last is kept, however many versions there are."""
    monkeypatch.setattr("cost_exporter.store.price_books._PAST_BOOKS_MAX", 2)
    made: list[str] = []

    def counted(**options: Any) -> PriceBook:
        book = load_book(**options)
        made.append(book.version)
        return book

    shipped = current_book(database).version
    load(database, OVERRIDE.format(price="1"))
    first = current_book(database).version
    load(database, OVERRIDE.format(price="2"))
    second = current_book(database).version
    books = PastBooks(database)
    monkeypatch.setattr("cost_exporter.store.price_books.load_book", counted)
    for version in (first, second, first, second, shipped, second, first, second):
        assert books.price(version) is not None
    assert made == [second, first, second, shipped, first]
    assert books.price("unheard of") is None
