"""An OTLP/gRPC receiver that keeps what it acknowledged and fails as it is told, in the cost exporter's place."""

from collections import Counter
from collections.abc import Callable
from concurrent import futures
from threading import Lock
from typing import Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

Fault = Callable[[ExportTraceServiceRequest], grpc.StatusCode | None]
"""Given a request, the status to refuse it with, or None to take it."""

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


class OtlpSink:
    """Counts every span it has acknowledged, by (trace id, span id)."""

    def __init__(self, *, credentials: grpc.ServerCredentials | None = None) -> None:
        self.arrived: Counter[tuple[bytes, bytes]] = Counter()
        self.resource_spans: list[ResourceSpans] = []
        self.metadata: list[dict[str, str]] = []
        self.refused = 0
        self.fault: Fault = lambda _request: None
        self._lock = Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)],
        )
        export = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),))
        if credentials is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()

    def refuse(self, status: grpc.StatusCode) -> None:
        """Refuse everything from now on."""
        self.fault = lambda _request: status

    def accept(self) -> None:
        """Take everything from now on."""
        self.fault = lambda _request: None

    def take_and_fail(self, request: ExportTraceServiceRequest) -> grpc.StatusCode:
        """What a receiver does that dies between its commit and its answer."""
        self._keep(request)
        return grpc.StatusCode.UNAVAILABLE

    @property
    def bodies(self) -> list[bytes]:
        """What was kept, as serialised requests."""
        with self._lock:
            return [
                ExportTraceServiceRequest(resource_spans=[each]).SerializeToString() for each in self.resource_spans
            ]

    @property
    def spans(self) -> list[Span]:
        with self._lock:
            return [span for rs in self.resource_spans for scope in rs.scope_spans for span in scope.spans]

    def _export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        status = self.fault(request)
        if status is not None:
            with self._lock:
                self.refused += 1
            context.abort(status, "told to fail")
        with self._lock:
            self.metadata.append({key: str(value) for key, value in context.invocation_metadata() or ()})
        self._keep(request)
        return ExportTraceServiceResponse()

    def _keep(self, request: ExportTraceServiceRequest) -> None:
        with self._lock:
            self.resource_spans.extend(request.resource_spans)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.arrived.update((span.trace_id, span.span_id) for span in scope.spans)
