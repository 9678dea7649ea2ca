"""Benchmark of pricing: quotes a second on one core, load time and memory of the whole book.

Run: `python benchmarks/prices.py`. Limits: 50,000 quotes/s, load under 300 ms, under 60 MB for all models, and
the cost of a lookup independent of how many versions of a price are kept. Times are those of the processor, so
that a busy machine does not count.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal

import psutil

from cost_exporter.domain import PriceBook, PriceRow, UsageRecord
from cost_exporter.prices import load_book

NOON = 1_795_176_000 * 10**9
DAY = 86_400 * 10**9
MIX = [
    ("openai", "gpt-4o-mini", {"input_tokens": 1_200, "output_tokens": 300}),
    ("openai", "gpt-4o-mini", {"input_tokens": 1_200, "cache_read_tokens": 900, "output_tokens": 300}),
    ("anthropic", "claude-sonnet-4-5", {"input_tokens": 250_000, "cache_write_5m_tokens": 900, "output_tokens": 30}),
    ("elevenlabs", "eleven_flash_v2_5", {"characters": 47}),
    ("deepgram", "nova-2", {"audio_seconds": Decimal("8.4"), "channels": 2}),
    ("twilio", "voice", {"call_seconds": 127, "calls": 1}),
    ("deepseek", "deepseek-v4-flash", {"input_tokens": 1_200, "output_tokens": 300}),
    ("openai", "text-embedding-3-small", {"input_tokens": 512}),
]


def quotes_per_second(book: PriceBook, usages: list[UsageRecord]) -> float:
    for usage in usages[:1000]:
        book.price(usage)
    price = book.price
    best = 0.0
    for _ in range(5):
        started = time.process_time()
        for usage in usages:
            price(usage)
        best = max(best, len(usages) / (time.process_time() - started))
    return best


def usages_of(mix: list[tuple[str, str, dict[str, int | Decimal]]], count: int) -> list[UsageRecord]:
    return [
        UsageRecord(provider=provider, model=model, quantities=quantities, at_unix_ns=NOON + n)
        for n in range(count)
        for provider, model, quantities in [mix[n % len(mix)]]
    ]


def versions(count: int) -> PriceBook:
    """Return a book that keeps so many versions of one price."""
    rows = [
        PriceRow(
            provider="acme", model="nova", unit=unit, price_usd=Decimal(n), valid_from_unix_ns=NOON - (count - n) * DAY
        )
        for n in range(count)
        for unit in ("input_tokens", "output_tokens")
    ]
    return PriceBook.of(rows)


def timed_ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1_000


def memory_mib() -> float:
    return psutil.Process().memory_info().rss / 2**20


def main() -> None:
    if sys.argv[1:] == ["memory"]:
        before = memory_mib()
        book = load_book()
        assert list(book.rows)
        print(f"{memory_mib() - before:.1f}")
        return
    print(f"load of the book            {timed_ms(load_book):8.1f} ms (limit 300)")
    book = load_book()
    print(f"all {sum(1 for _ in book.rows):,} rows compiled    {timed_ms(lambda: list(load_book().rows)):8.1f} ms")
    used = subprocess.run([sys.executable, __file__, "memory"], capture_output=True, text=True, check=True).stdout
    print(f"memory for all models       {used.strip():>8} MiB (limit 60)")
    print(
        f"mixed usages                {quotes_per_second(book, usages_of(MIX, 20_000)):8,.0f} quotes/s (limit 50,000)"
    )
    for count in (1, 100, 10_000):
        usages = usages_of([("acme", "nova", {"input_tokens": 1_200, "output_tokens": 300})], 20_000)
        print(f"{count:>6,} versions of a price  {quotes_per_second(versions(count), usages):8,.0f} quotes/s")


if __name__ == "__main__":
    main()
