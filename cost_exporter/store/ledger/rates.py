"""The numbers of rates in the database of a connection: read where a line names one, given where one is wanted.

A rate gets its number in a transaction of its own, after the one that wrote it out: so a number that is stored with a
record is that of a rate that is stored, whatever is rolled back.
"""

import logging
from decimal import Decimal
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.rows import tuple_row

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.quote import Rate
from cost_exporter.store.codec.rate_numbers import RateNumbers
from cost_exporter.store.database.statements import statement

__all__ = ["give_numbers", "rates_of", "read_numbers"]

_log = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]
_known: Final[WeakKeyDictionary[Connection, RateNumbers]] = WeakKeyDictionary()


def rates_of(connection: Connection) -> RateNumbers:
    """Return what is known of the database of this connection."""
    numbers = _known.get(connection)
    if numbers is None:
        numbers = _known[connection] = RateNumbers()
    return numbers


def read_numbers(connection: Connection, *, again: bool = False) -> None:
    """Learn all numbers there are: a few thousand at most, as many as a book has prices that were ever used.

    `again` forgets what was known before, for who doubts what is stored.
    """
    if again:
        _known.pop(connection, None)
    rates_of(connection).learn(_stored(connection))


def give_numbers(connection: Connection) -> None:
    """Give the rates that were written out a number, for the next time. What fails is tried then."""
    numbers = rates_of(connection)
    if not numbers.wanted:
        return
    try:
        rows = sorted((each.unit, _text(each.price_usd), _text(each.per), each.price_id) for each in numbers.wanted)
        units, prices, pers, price_ids = (list(column) for column in zip(*rows, strict=True))
        parameters = {"unit": units, "price_usd": prices, "per": pers, "price_id": price_ids}
        connection.execute(statement("insert_rates"), parameters)
        stored = _stored(connection)
        connection.commit()
    except psycopg.Error as error:
        _log.debug("no numbers for %d rates: %s", len(numbers.wanted), error)
        if not connection.closed:
            connection.rollback()
    else:
        numbers.learn(stored)


def _stored(connection: Connection) -> list[tuple[int, Rate]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [
            (number, Rate(unit=unit, price_usd=Decimal(price_usd), per=Decimal(per), price_id=price_id))
            for number, unit, price_usd, per, price_id in cursor.execute(statement("rates"))
        ]


def _text(amount: Decimal | None) -> str:
    assert amount is not None  # what has no price has no row of a book either
    return to_plain(amount)
