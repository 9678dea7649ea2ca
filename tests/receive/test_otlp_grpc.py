import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from cost_exporter.errors import Overloaded, SettingsError, StoreUnavailable
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.admission import Admission, AdmissionLimits
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.grpc.receiver import GrpcReceiver
from cost_exporter.receive.refusal import Refusal
from cost_exporter.settings import Address
from cost_exporter.store.token_directory import anyone
from tests.receive import bodies
from tests.receive.conftest import FakeStore, InThreads, Service, Start
from tests.support.waiting import PATIENCE_SECONDS, wait_until

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
UNLIMITED = [("grpc.max_send_message_length", -1)]


def export(address: str, content: bytes, *, seconds: float = 60, **options: Any) -> ExportTraceServiceResponse:
    with grpc.insecure_channel(address, options=UNLIMITED) as channel:
        return ExportTraceServiceResponse.FromString(channel.unary_unary(METHOD)(content, timeout=seconds, **options))


def is_taken(address: str, content: bytes) -> bool:
    try:
        export(address, content)
    except grpc.RpcError:
        return False
    return True


def refusal(address: str, content: bytes, **options: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        export(address, content, **options)
    return refused.value


def retry_delays_seconds(error: Any) -> list[float]:
    """Return the hint of both trailers."""
    trailers = dict(error.trailing_metadata())
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    hints = [RetryInfo.FromString(detail.value) for detail in status.details]
    assert [detail.type_url for detail in status.details] in ([], ["type.googleapis.com/google.rpc.RetryInfo"])
    if "google.rpc.retryinfo-bin" in trailers:
        hints.append(RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]))
    return [hint.retry_delay.seconds + hint.retry_delay.nanos / 1e9 for hint in hints]


def raising(error: Exception) -> Callable[[DecodedRequest], None]:
    def before(request: DecodedRequest) -> None:
        raise error

    return before


def test_spans_arrive_and_the_answer_has_no_partial_success(service: Service) -> None:
    """A good request is answered, once ingested, by a response in which partial_success is unset."""
    answer = export(service.grpc_address, bodies.body(bodies.span(1), bodies.span(2)))
    assert service.store.span_ids == [bodies.span_id(1), bodies.span_id(2)]
    assert not answer.HasField("partial_success")
    assert service.refused == []


def test_an_empty_request_is_a_success(service: Service) -> None:
    """OTLP says that a request without spans succeeds."""
    assert export(service.grpc_address, b"") == ExportTraceServiceResponse()


def test_without_tokens_the_sender_is_the_default_tenant_and_trusted(service: Service) -> None:
    """On loopback without tokens the tenant attribute is believed."""
    export(service.grpc_address, bodies.body(bodies.span(1)))
    (request,) = service.store.requests
    assert (request.namespace, request.tenant_is_trusted) == ("default", True)


def test_gzip_is_accepted(service: Service) -> None:
    """Compressed messages arrive like others."""
    export(service.grpc_address, bodies.body(*map(bodies.span, range(50))), compression=grpc.Compression.Gzip)
    assert len(service.store.span_ids) == 50


def test_one_bad_span_is_answered_with_a_warning_that_rejects_nothing(service: Service) -> None:
    """A dead letter is held, so it is not rejected: the sender is warned, and the other spans are stored."""
    deep = bodies.span(2) + bodies.event(b"deep", bodies.nested(5_000))
    answer = export(service.grpc_address, bodies.body(bodies.span(1), deep, bodies.span(3)))
    assert service.store.span_ids == [bodies.span_id(1), bodies.span_id(3)]
    assert answer.HasField("partial_success")
    assert answer.partial_success.rejected_spans == 0
    assert "1 span(s) kept as dead letters" in answer.partial_success.error_message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StoreUnavailable("the database is away"), Refusal.STORE_UNAVAILABLE),
        (Overloaded("the queue is full"), Refusal.OVERLOADED),
        (RuntimeError("canary: a bug of ours"), Refusal.OUR_FAULT),
        (KeyError("canary"), Refusal.OUR_FAULT),
        (MemoryError(), Refusal.OUR_FAULT),
    ],
)
def test_what_is_our_fault_or_passes_is_unavailable_with_both_hints(
    service: Service, error: Exception, reason: Refusal
) -> None:
    """Database away, overload, a bug: UNAVAILABLE, and RetryInfo of at most two seconds in both trailers."""
    service.store.before = raising(error)
    refused: Any = refusal(service.grpc_address, bodies.body(bodies.span(1)))
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    standard, python = retry_delays_seconds(refused)
    assert standard == python
    assert 0 < standard <= 2
    assert service.refused == [reason]
    assert "canary" not in refused.details()


def test_what_is_undecodable_is_refused_for_good(service: Service) -> None:
    """Garbage is INVALID_ARGUMENT without a hint: sending it again cannot help."""
    refused: Any = refusal(service.grpc_address, b"\xff\xff nonsense")
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert retry_delays_seconds(refused) == []
    assert service.refused == [Refusal.UNDECODABLE]


def test_too_many_spans_are_refused_for_good(service: Service) -> None:
    """A span bomb is RESOURCE_EXHAUSTED without a hint."""
    refused: Any = refusal(service.grpc_address, bodies.field(1, bodies.field(2, b"\x12\x00" * 50_001)))
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_delays_seconds(refused) == []
    assert service.refused == [Refusal.TOO_LARGE]
    assert service.store.requests == []


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_an_oversized_message_is_refused_for_good(service: Service, compression: grpc.Compression) -> None:
    """More bytes than the limit, on the wire or inflated, are RESOURCE_EXHAUSTED, and the service goes on."""
    too_large = bodies.body(bodies.span(1) + bodies.attribute(b"a", bodies.field(1, b"x" * 65 * 1024 * 1024)))
    refused: Any = refusal(service.grpc_address, too_large, compression=compression)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service.store.requests == []
    export(service.grpc_address, bodies.body(bodies.span(1)))
    assert len(service.store.span_ids) == 1


def test_a_message_of_more_than_grpcs_default_limit_is_accepted(service: Service) -> None:
    """Collectors send batches of 8,000 spans, more than the 4 MiB that gRPC takes by default."""
    content = bodies.body(*[bodies.span(n) + bodies.attribute(b"a", bodies.field(1, b"x" * 600)) for n in range(8_192)])
    assert len(content) > 5 * 1024 * 1024
    export(service.grpc_address, content)
    assert len(service.store.span_ids) == 8_192


def test_another_method_is_unimplemented(service: Service) -> None:
    """Metrics and logs sent here by mistake are refused by name."""
    with grpc.insecure_channel(service.grpc_address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")(b"", timeout=60)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_a_call_without_a_message_is_refused(service: Service) -> None:
    """A stream that ends before it began is INVALID_ARGUMENT, not a crash."""
    with grpc.insecure_channel(service.grpc_address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(METHOD)(iter([]), timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]


def test_a_sender_that_does_not_send_is_cut_off(start: Start) -> None:
    """An open call without a message loses its slot in bounded time; clients retry what it is answered."""
    service = start(grpc_options={"read_seconds_max": 0.2}, limits=AdmissionLimits(slots=1))
    release = threading.Event()

    def never() -> Iterator[bytes]:
        release.wait(PATIENCE_SECONDS)
        yield b""

    with grpc.insecure_channel(service.grpc_address) as channel:
        call = channel.stream_unary(METHOD).future(never(), timeout=PATIENCE_SECONDS)
        assert call.exception(timeout=PATIENCE_SECONDS).code() in (
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.UNAVAILABLE,
        )
        release.set()
    wait_until("it is counted", lambda: service.refused)  # once the call is cancelled, which its sender may know before
    assert set(service.refused) == {Refusal.SLOW_SENDER}  # gRPC itself may have tried the call again
    # Its message may be late as well, where this process has to wait for a processor: then it is sent again.
    wait_until("room for another", lambda: is_taken(service.grpc_address, bodies.body(bodies.span(1))))


def test_overload_is_only_ever_unavailable(start: Start) -> None:
    """400 calls at once on two slots: some are stored, all others are told to try again, none is lost silently."""
    service = start(limits=AdmissionLimits(slots=2, wait_seconds_max=0.3))
    release = threading.Event()
    service.store.before = lambda _: release.wait(PATIENCE_SECONDS) and None
    refusals: list[Any] = []

    def send(channel: grpc.Channel, number: int) -> bool:
        try:
            channel.unary_unary(METHOD)(bodies.body(bodies.span(number)), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            refusals.append(error)
            return False
        return True

    with grpc.insecure_channel(service.grpc_address) as channel, ThreadPoolExecutor(400) as senders:
        sent = [senders.submit(send, channel, number) for number in range(400)]
        wait_until("nearly all are refused", lambda: sum(each.done() for each in sent) >= 390)
        release.set()
        stored = [number for number, each in enumerate(sent) if each.result(timeout=PATIENCE_SECONDS)]
    assert {error.code() for error in refusals} == {grpc.StatusCode.UNAVAILABLE}
    assert {len(retry_delays_seconds(error)) for error in refusals} == {2}
    assert len(stored) >= 2
    assert sorted(service.store.span_ids) == [bodies.span_id(number) for number in stored]
    assert set(service.refused) == {Refusal.OVERLOADED}


def test_stopping_lets_calls_in_flight_commit_and_refuses_new_ones(service: Service) -> None:
    """SIGTERM drains: what was taken is answered; what comes later is UNAVAILABLE."""
    is_in_flight, release = threading.Event(), threading.Event()

    def block(request: DecodedRequest) -> None:
        is_in_flight.set()
        assert release.wait(PATIENCE_SECONDS)

    service.store.before = block
    with grpc.insecure_channel(service.grpc_address) as channel:
        in_flight = channel.unary_unary(METHOD).future(bodies.body(bodies.span(1)), timeout=PATIENCE_SECONDS)
        assert is_in_flight.wait(PATIENCE_SECONDS)
        stopping = threading.Thread(target=service.grpc.stop, args=(PATIENCE_SECONDS,))
        stopping.start()
        late: Any = None
        while late is None:  # the stop reaches the port a moment later
            try:
                export(service.grpc_address, b"", seconds=0.5)
            except grpc.RpcError as error:
                late = error if error.code() is grpc.StatusCode.UNAVAILABLE else None  # type: ignore[attr-defined]
        release.set()
        assert in_flight.result(timeout=PATIENCE_SECONDS) == b""
        stopping.join(PATIENCE_SECONDS)
        assert not stopping.is_alive()
    assert service.store.span_ids == [bodies.span_id(1)]


def receiver() -> GrpcReceiver:
    return GrpcReceiver(
        InThreads(Gate(FakeStore())), authenticate=anyone, admission=Admission(), count_refused=lambda _reason: None
    )


def test_an_address_in_use_is_one_line_that_says_how_to_fix_it(service: Service) -> None:
    """A second server does not silently share the port: it refuses to start."""
    with pytest.raises(SettingsError, match=r"^--grpc: .* is already in use; stop what listens there, or choose"):
        receiver().start(Address.parse(service.grpc_address))


def test_an_address_of_another_machine_is_one_line() -> None:
    """An address that is not ours is refused with the mend."""
    with pytest.raises(SettingsError, match="choose an address of this machine"):
        receiver().start(Address(host="192.0.2.1", port=4317))
    with pytest.raises(SettingsError, match="name one of this machine"):
        receiver().start(Address(host="no-such-host.invalid", port=4317))


def test_the_port_is_known_where_the_system_chose_it() -> None:
    """Port 0 gives a free one, and its number."""
    server = receiver()
    address = server.start(Address(host="127.0.0.1", port=0))
    try:
        assert address.port > 0
        assert export(str(address), b"") == ExportTraceServiceResponse()
    finally:
        server.stop(1)
