"""What may stand in an attribute: JSON and Python texts with odd keys, odd numbers and any nesting, and odd values.

Mutated bytes (`test_fuzz.py`) hardly ever hit a well-formed text with something impossible in it; this makes them.
"""

import json
import random
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_exporter.read.layout import WANTED
from cost_exporter.read.strip import JSON_KEYS
from tests.receive import bodies

KEYS: Final = tuple(sorted(WANTED))
WITH_JSON: Final = tuple(sorted(JSON_KEYS))
NAMES: Final = (
    *("usage", "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens", "seconds"),
    *("prompt_tokens_details", "cached_tokens", "cache_read_input_tokens", "cache_creation", "server_tool_use"),
    *("model", "id", "service_tier", "type", "duration", "metadata", "stream", "total", "input"),
    *("", " ", "\0", "\ud800", "é" * 200, "a" * 5_000, "__class__", "1", "null", "NaN"),
)
NUMBERS: Final = (
    *(0, 1, -1, 7, 1.5, -0.0, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 10**18, 2**63, -(2**63) - 1),
    *(10**40, 10**4_200, True, False, None),
)
TEXTS: Final = (
    *("", "12", "-3", "1e3", "1e999", "NaN", "١٢", "duration", "\0", "\ud800", "x" * 10_000, "[" * 500, "{'a': 1}"),
    *('{"a":', "openai", "gpt-4o", "true", "None", "9" * 5_000),
)
LITERALS: Final = (
    *("{1: 2}", "{[1]: 2}", "{{}: 1}", "{None: 1}", "{(1, [2]): 3}", "{1, 2}", "{b'a': b'b'}", "{...: ...}", "{1j: 1}"),
    *("{True: False, 'a': {2: {3: 4}}}", "{'prompt_tokens': 3, 4: 5}", "{'a': {1}}", "{**{}}", "{'a': 1}[0]", "{"),
    *("{'a': 0x" + "f" * 8_000 + "}", "{'a': 1_0}", "{'a': 1e999}", "{'a':" + "-" * 8_000 + "1}", "{'a': f''}"),
    *("{'a':" + "(" * 60 + ")" * 60 + "}", "{'a':" + "lambda:" * 900 + "1}", "{'a': 'b' 'c'}", "{'\\ud800': 1}"),
    *('{"a": 1, "a": 2}', '{"a": Infinity}', '{"a": 1e999}', '{"a": ' + "9" * 5_000 + "}", '{"\\ud800": "\\ud800"}'),
    *('{"a":' * 60 + "1" + "}" * 60, "[" * 2_000, '{"usage": [[[]]]}', "[1, 2]", '"text"', "null", "\ufeff{}"),
)


def structure(rng: random.Random, depth: int = 0) -> Any:
    """Return something that JSON can say, and a little that only Python can."""
    roll = rng.random()
    if depth < 6 and roll < 0.45:
        return {rng.choice(NAMES): structure(rng, depth + 1) for _ in range(rng.randint(0, 5))}
    if depth < 6 and roll < 0.6:
        return [structure(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return rng.choice(NUMBERS) if roll < 0.85 else rng.choice(TEXTS)


def odd_keys(rng: random.Random, content: Any) -> Any:
    """Return a structure in which some keys are no texts, as a Python repr may have them."""
    if isinstance(content, list):
        return tuple(odd_keys(rng, each) for each in content)
    if not isinstance(content, dict):
        return content
    keys = (1, -1, 1.5, True, None, b"a", (1, "a"), 2**70, 1j)
    return {rng.choice(keys) if rng.random() < 0.4 else name: odd_keys(rng, each) for name, each in content.items()}


def text(rng: random.Random) -> str:
    """Return the text of an attribute."""
    makers: tuple[Callable[[], str], ...] = (
        lambda: json.dumps({rng.choice(NAMES): structure(rng), "usage": structure(rng)}),
        lambda: json.dumps(structure(rng)),
        lambda: repr({rng.choice(NAMES): odd_keys(rng, structure(rng))}),
        lambda: repr(odd_keys(rng, structure(rng))),
        lambda: rng.choice(LITERALS),
        lambda: rng.choice(TEXTS),
    )
    try:
        return rng.choice(makers)()
    except ValueError:  # 10**4_200 is near to what Python still writes; a sum of such is beyond it
        return "{}"


def any_value(rng: random.Random, depth: int = 0) -> AnyValue:
    """Return a value of any kind, a text in every second case."""
    makers: tuple[Callable[[], AnyValue], ...] = (
        *[lambda: AnyValue(string_value=text(rng).encode("utf-8", "replace").decode())] * 6,
        lambda: AnyValue(int_value=rng.choice((0, 1, -1, 2**63 - 1, -(2**63)))),
        lambda: AnyValue(double_value=rng.choice((0.0, 1.5, -1.0, 1e308, float("nan"), float("inf")))),
        lambda: AnyValue(bool_value=rng.random() < 0.5),
        lambda: AnyValue(bytes_value=rng.randbytes(5)),
        AnyValue,
        lambda: AnyValue(array_value=ArrayValue(values=[any_value(rng, depth + 1) for _ in range(2)])),
        lambda: AnyValue(
            kvlist_value=KeyValueList(values=[KeyValue(key=rng.choice(KEYS), value=any_value(rng, depth + 1))])
        ),
    )
    return rng.choice(makers[:6] if depth > 30 else makers)()


def attributes(rng: random.Random, count: int = 6) -> list[KeyValue]:
    """Return attributes that somebody reads, with any content. Those that hold JSON are taken often."""
    names = {rng.choice(WITH_JSON if rng.random() < 0.5 else KEYS) for _ in range(count)}
    return [KeyValue(key=name, value=any_value(rng)) for name in sorted(names)]


def span(rng: random.Random, number: int) -> bytes:
    """Return a span of a call with such attributes, which in one case of three the decoder refuses as a whole."""
    message = Span.FromString(bodies.span(number))
    named = {each.key: each for each in message.attributes} | {each.key: each for each in attributes(rng)}
    del message.attributes[:]
    message.attributes.extend(named.values())
    broken = (b"", b"", b"", b"", bodies.field(11, b"\x0a\x7f"), bodies.field(5, b"\xff"))
    return message.SerializeToString() + rng.choice(broken)
