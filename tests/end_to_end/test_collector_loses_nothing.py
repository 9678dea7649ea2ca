"""Spans through the real Collector while it, or what stands behind it, fails: each arrives, on the cost side."""

from threading import Thread

import grpc
import pytest

from tests.end_to_end import otlp_sender
from tests.end_to_end.binaries import needs_go
from tests.end_to_end.otlp_sink import OtlpSink
from tests.end_to_end.running import Collector, RunCollector
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = needs_go

SPAN_COUNT = 10_000
BATCH_SIZE = 100
LAYERS = ["base", "dev"]


def test_a_killed_collector_and_a_long_refusal_lose_no_span(run_collector: RunCollector, cost: OtlpSink) -> None:
    """10,000 spans: the receiver refuses, the Collector is killed three times, and each acknowledged span arrives."""
    collector = run_collector(LAYERS)
    spans = _traffic()
    cost.refuse(grpc.StatusCode.UNAVAILABLE)
    _send_through_kills(collector, spans)
    assert not cost.arrived, "the sink refused everything so far: what arrives later comes from the disk"
    assert cost.refused > 0
    cost.accept()
    wait_until("all spans at the cost exporter", lambda: len(cost.arrived) >= SPAN_COUNT)
    assert set(cost.arrived) == _ids(spans)


def test_with_the_default_queue_the_same_kills_lose_spans(run_collector: RunCollector, cost: OtlpSink) -> None:
    """The check above can fail: with a queue in memory, what was acknowledged before the last kill is gone."""
    collector = run_collector(LAYERS, overrides={"exporters": {"otlp_grpc/cost": {"sending_queue": {"storage": None}}}})
    spans = _traffic()
    cost.refuse(grpc.StatusCode.UNAVAILABLE)
    _send_through_kills(collector, spans)
    cost.accept()
    wait_until("what is left", lambda: cost.arrived)
    wait_until("an empty queue", lambda: _queued(collector) == 0)
    assert 0 < len(cost.arrived) < SPAN_COUNT


def test_an_exporter_killed_and_restarted_is_sent_again(run_collector: RunCollector, cost: OtlpSink) -> None:
    """A receiver that takes a batch and dies before it answers gets the batch again: at least once, never less."""
    collector = run_collector(LAYERS)
    spans = _traffic(2_000)
    unanswered = iter(range(3))
    cost.fault = lambda request: cost.take_and_fail(request) if next(unanswered, None) is not None else None
    for body in otlp_sender.batches(spans, size=BATCH_SIZE):
        otlp_sender.send(collector.grpc, body)
    wait_until("repeated batches", lambda: len(cost.arrived) == len(spans) and max(cost.arrived.values()) > 1)
    assert set(cost.arrived) == _ids(spans)


def test_a_graceful_stop_during_an_outage_loses_no_span(
    run_collector: RunCollector, cost: OtlpSink, view: OtlpSink
) -> None:
    """A Collector that is rolled out anew while the cost exporter is away delivers after the restart."""
    collector = run_collector(LAYERS)
    spans = _traffic(2_000)
    cost.refuse(grpc.StatusCode.UNAVAILABLE)
    for body in otlp_sender.batches(spans, size=BATCH_SIZE):
        otlp_sender.send(collector.grpc, body)
    wait_until("a first attempt", lambda: cost.refused > 0)
    collector.stop()
    cost.accept()
    collector.start()
    wait_until("all spans after the restart", lambda: len(cost.arrived) >= len(spans))
    assert set(cost.arrived) == _ids(spans)


def test_a_dead_jaeger_refuses_nothing(run_collector: RunCollector, cost: OtlpSink) -> None:
    """With nobody behind the view and its queue full, every span is acknowledged at once and reaches the cost side."""
    tiny = {"exporters": {"otlp_grpc/view": {"sending_queue": {"queue_size": 50}}}}
    (port_of_nobody,) = free_ports(1)
    collector = run_collector(LAYERS, view=port_of_nobody, overrides=tiny)
    spans = _traffic(5_000)
    _send_all_once(collector, spans)
    wait_until("all spans at the cost exporter", lambda: len(cost.arrived) >= len(spans))
    wait_until(
        "the view to have dropped",
        lambda: collector.metric("otelcol_exporter_enqueue_failed_spans", exporter="otlp_grpc/view") > 0,
    )
    assert collector.metric("otelcol_receiver_refused_spans") == 0


def test_without_the_firewall_a_dead_jaeger_would_refuse(run_collector: RunCollector, cost: OtlpSink) -> None:
    """The same with `batch/show` taken out: requests are refused. It stands there for a reason."""
    tiny = {
        "exporters": {"otlp_grpc/view": {"sending_queue": {"queue_size": 50}}},
        "service": {"pipelines": {"traces/show": {"processors": []}}},
    }
    (port_of_nobody,) = free_ports(1)
    collector = run_collector(LAYERS, view=port_of_nobody, overrides=tiny)
    with pytest.raises(grpc.RpcError):
        _send_all_once(collector, _traffic(5_000))


def test_an_oversized_batch_arrives_in_pieces(run_collector: RunCollector, cost: OtlpSink, view: OtlpSink) -> None:
    """A request of 20 MB, five times what gRPC takes by default, is taken, cut and delivered whole."""
    collector = run_collector(LAYERS)
    long_prompt = {**otlp_sender.CHAT, "gen_ai.input.messages": "x" * 4_000}
    spans = [span for trace in range(1, 1_001) for span in otlp_sender.conversation(trace, attributes=long_prompt)]
    spans += [otlp_sender.span(2_000 + n, 1, attributes=long_prompt) for n in range(2_000)]
    body = otlp_sender.request(spans)
    assert len(body) > 20_000_000
    otlp_sender.send_once(collector.grpc, body)
    wait_until("every piece", lambda: len(cost.arrived) >= len(spans))
    assert set(cost.arrived) == _ids(spans)
    assert len(cost.metadata) > 1


def test_a_permanent_refusal_shows_in_the_metric_that_the_alert_reads(
    run_collector: RunCollector, cost: OtlpSink, view: OtlpSink
) -> None:
    """What nobody can save is counted: spans refused for good raise otelcol_exporter_send_failed_spans."""
    collector = run_collector(LAYERS)
    cost.refuse(grpc.StatusCode.UNAUTHENTICATED)
    otlp_sender.send(collector.grpc, otlp_sender.request(otlp_sender.conversation(1)))
    lost = wait_until(
        "the count of lost spans",
        lambda: collector.metric("otelcol_exporter_send_failed_spans", exporter="otlp_grpc/cost"),
    )
    assert lost == len(otlp_sender.conversation(1))


def _ids(spans: list[otlp_sender.Span]) -> set[tuple[bytes, bytes]]:
    return {(span.trace_id, span.span_id) for span in spans}


def _traffic(span_count: int = SPAN_COUNT) -> list[otlp_sender.Span]:
    return [span for trace in range(1, span_count // 5 + 1) for span in otlp_sender.conversation(trace)]


def _queued(collector: Collector) -> float:
    return collector.metric("otelcol_exporter_queue_size", exporter="otlp_grpc/cost")


def _send_through_kills(collector: Collector, spans: list[otlp_sender.Span]) -> None:
    """Send everything until acknowledged while the Collector is killed at a quarter, a half and three quarters."""
    bodies = list(otlp_sender.batches(spans, size=BATCH_SIZE))
    kills = {len(bodies) // 4, len(bodies) // 2, len(bodies) * 3 // 4}
    for number, body in enumerate(bodies):
        restart = Thread(target=collector.start)
        if number in kills:
            collector.kill()
            restart.start()
        otlp_sender.send(collector.grpc, body)
        if number in kills:
            restart.join()


def _send_all_once(collector: Collector, spans: list[otlp_sender.Span]) -> None:
    for body in otlp_sender.batches(spans, size=BATCH_SIZE):
        otlp_sender.send_once(collector.grpc, body)
