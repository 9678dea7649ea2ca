"""A local OTLP/gRPC receiver that counts the spans it takes: the far end of a benchmark of forwarding."""

from concurrent import futures
from threading import Lock
from typing import Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
REQUEST_BYTES_MAX = 64 << 20


class OtlpSink:
    """Takes everything from `__enter__` to `__exit__`, in the benchmark's own process."""

    def __init__(self) -> None:
        """Bind a free port; nothing is taken yet."""
        self.span_count = 0
        self._lock = Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", REQUEST_BYTES_MAX)]
        )
        export = grpc.unary_unary_rpc_method_handler(self._export)  # bytes in, bytes out
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),))
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()

    def _export(self, body: bytes, _context: grpc.ServicerContext) -> bytes:
        request = ExportTraceServiceRequest.FromString(body)
        count = sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        with self._lock:
            self.span_count += count
        return b""
