"""Each guard catches its fault: a loss-prone default planted into a sound configuration is named."""

import copy
from typing import Any

import pytest

from tests.collector_config import guards, layers

MISSING = object()
"""Planted as a value: takes the setting out, so that the Collector's default holds."""

COST = "exporters > otlp_grpc/cost"
KAFKA_OUT = "exporters > kafka/cost"
KAFKA_IN = "receivers > kafka/cost"

FAULTS: list[tuple[str, str, Any, str]] = [
    ("production", f"{COST} > retry_on_failure > max_elapsed_time", MISSING, "max_elapsed_time must be 0"),
    ("production", f"{COST} > retry_on_failure > max_elapsed_time", "600s", "max_elapsed_time must be 0"),
    ("production", f"{COST} > retry_on_failure > enabled", False, "max_elapsed_time must be 0"),
    ("production", f"{COST} > retry_on_failure > max_interval", "10m", "max_interval over a minute"),
    ("production", f"{COST} > timeout", MISSING, "timeout under 15 s"),
    ("production", f"{COST} > sending_queue > storage", MISSING, "queue in memory"),
    ("production", f"{COST} > sending_queue > block_on_overflow", MISSING, "block_on_overflow must be true"),
    ("production", f"{COST} > sending_queue > sizer", MISSING, "bounded in items or bytes"),
    ("production", f"{COST} > sending_queue > batch", MISSING, "batch.max_size is missing"),
    ("production", f"{COST} > sending_queue > enabled", False, "without a queue only behind Kafka"),
    ("production", f"{COST} > tls > insecure", True, "tls insecure"),
    ("production", f"{COST} > auth", MISSING, "no auth"),
    ("production", f"{COST} > tls", {"insecure": True}, "auth needs TLS"),
    ("production", "receivers > otlp > protocols > grpc > tls", MISSING, "otlp grpc: no tls"),
    ("production", "receivers > otlp > protocols > http > auth", MISSING, "otlp http: no auth"),
    ("production", "extensions > file_storage/cost > fsync", MISSING, "fsync must be true"),
    ("production", "extensions > file_storage/cost > recreate", True, "recreate starts an empty queue"),
    ("production", "extensions > bearertokenauth/cost > token", "s3cret", "a secret stands in the file"),
    ("production", "service > extensions", ["health_check"], "used but not started"),
    ("production", "processors > filter/billable > error_mode", "propagate", "error_mode must be ignore"),
    ("production", "processors > transform/mark > error_mode", MISSING, "error_mode must be ignore"),
    ("production", "processors > redaction/cost > blocked_key_patterns", [".*token.*"], "turn numbers into text"),
    (
        "production",
        "receivers > otlp > protocols > grpc > max_recv_msg_size_mib",
        MISSING,
        "max_recv_msg_size_mib under 64",
    ),
    (
        "production",
        "receivers > otlp > protocols > http > max_request_body_size",
        MISSING,
        "max_request_body_size under",
    ),
    (
        "production",
        "service > pipelines > traces/in > processors",
        ["resource/tenant"],
        "memory_limiter must come first",
    ),
    ("production", "service > pipelines > traces/in > exporters", ["forward/view"], "never reaches a cost exporter"),
    ("production", "service > pipelines > traces/in > exporters", ["forward/cots"], "no exporter forward/cots"),
    (
        "production",
        "service > pipelines > traces/cost > exporters",
        ["otlp_grpc/view"],
        "never reaches a cost exporter",
    ),
    ("production", "service > pipelines > traces/cost > processors", ["batch/show"], "holds acknowledged spans"),
    (
        "production-sampled",
        "service > pipelines > traces/cost > processors",
        ["tail_sampling"],
        "sampler tail_sampling",
    ),
    (
        "production-sampled",
        "service > pipelines > traces/in > processors",
        ["memory_limiter", "tail_sampling"],
        "sampler tail_sampling",
    ),
    ("production", "service > pipelines > traces/show > processors", [], "a full view queue refuses"),
    ("production", "exporters > otlp_grpc/view > sending_queue > block_on_overflow", True, "stops the cost branch"),
    ("dev", "receivers > otlp > protocols > grpc > endpoint", "0.0.0.0:4317", "listens on every address"),
    ("scale-out", f"{KAFKA_OUT} > producer > required_acks", MISSING, "required_acks must be -1"),
    ("scale-out", f"{KAFKA_OUT} > producer > allow_auto_topic_creation", MISSING, "a topic made by itself"),
    ("scale-out", f"{KAFKA_OUT} > producer > max_message_bytes", MISSING, "max_message_bytes drops"),
    ("scale-out", f"{KAFKA_OUT} > sending_queue > storage", MISSING, "queue in memory"),
    ("scale-out", f"{KAFKA_OUT} > tls", MISSING, "kafka without tls"),
    ("scale-out-consumer", f"{KAFKA_IN} > tls", MISSING, "kafka without tls"),
    ("scale-out-consumer", f"{KAFKA_IN} > tls > insecure", True, "kafka without tls"),
    ("scale-out-consumer-sasl", f"{KAFKA_IN} > tls", MISSING, "kafka without tls"),
    ("scale-out-sasl", f"{KAFKA_OUT} > auth > plain_text", {"username": "u"}, "deprecated"),
    ("scale-out-sasl", f"{KAFKA_OUT} > auth > sasl > password", "s3cret", "a secret stands in the file"),
    ("scale-out-consumer-sasl", f"{KAFKA_IN} > auth > sasl > password", "s3cret", "a secret stands in the file"),
    ("scale-out-consumer", f"{KAFKA_IN} > message_marking > on_permanent_error", True, "message_marking must be"),
    ("scale-out-consumer", f"{KAFKA_IN} > message_marking > after", MISSING, "message_marking must be"),
    ("scale-out-consumer", f"{KAFKA_IN} > message_marking > on_error", True, "message_marking must be"),
    ("scale-out-consumer", f"{KAFKA_IN} > initial_offset", MISSING, "initial_offset must be earliest"),
    ("scale-out-consumer", f"{KAFKA_IN} > error_backoff > max_elapsed_time", MISSING, "error_backoff must be"),
]


@pytest.mark.parametrize(
    ("shape", "path", "value", "finding"),
    FAULTS,
    ids=[f"{f[0]}: {f[1]}={'nothing' if f[2] is MISSING else f[2]}" for f in FAULTS],
)
def test_a_planted_fault_is_found(shape: str, path: str, value: Any, finding: str) -> None:
    """The guards name the fault, and were silent before it was planted."""
    sound, exposed = layers.merged(layers.shapes()[shape]), not shape.startswith("dev")
    assert guards.findings(sound, exposed=exposed) == []
    assert any(finding in text for text in guards.findings(_planted(sound, path, value), exposed=exposed))


def test_every_rule_is_shown_to_catch_something() -> None:
    """No rule is left that no planted fault has tried."""
    caught: set[str] = set()
    for shape, path, value, _ in FAULTS:
        faulty = _planted(layers.merged(layers.shapes()[shape]), path, value)
        caught |= {rule.__name__ for rule in guards.RULES if list(rule(faulty))}
    assert caught == {rule.__name__ for rule in guards.RULES}


def _planted(config: guards.Config, path: str, value: Any) -> guards.Config:
    faulty = copy.deepcopy(config)
    *parents, last = path.split(" > ")
    where = faulty
    for parent in parents:
        where = where[parent]
    if value is MISSING:
        del where[last]
    else:
        where[last] = value
    return faulty
