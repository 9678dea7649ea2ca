"""What a call takes on disk, table by table: the figures of docs/operations/scale.md.

    python benchmarks/size.py             or   python benchmarks/size.py --traces 400

Stores traces of ten chat calls with two lines each in an embedded PostgreSQL, and prints bytes with indexes.
"""

import argparse
import sys
from collections.abc import Iterator

import psycopg
from long_trace import call, link, own_ledger, request, size_of  # beside this file

from cost_exporter.domain.span import Call, Link
from cost_exporter.prices import load_book

CALLS_PER_TRACE = 10
TRACES_PER_COMMIT = 40
PER_CALL = ("record", "provider_call", "provider_call_old")
PER_TRACE = ("trace", "workflow_rollup")


def main() -> int:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=4_000)
    traces: int = parser.parse_args().traces
    price = load_book().price_of_call
    with own_ledger() as (url, ledger):
        for first in range(0, traces, TRACES_PER_COMMIT):
            ledger.commit([request(spans_of(range(first, min(traces, first + TRACES_PER_COMMIT))))], price)
        with psycopg.connect(url, autocommit=True) as connection:
            for table in PER_CALL:
                print(f"{table}: {size_of(connection, table) / (traces * CALLS_PER_TRACE):.0f} bytes a call")
            for table in PER_TRACE:
                print(f"{table}: {size_of(connection, table) / traces:.0f} bytes a trace")
    return 0


def spans_of(numbers: range) -> Iterator[Call | Link]:
    """Yield the spans of traces."""
    for number in numbers:
        yield link(number + 1)
        yield from (call(number + 1, each) for each in range(CALLS_PER_TRACE))


if __name__ == "__main__":
    sys.exit(main())
