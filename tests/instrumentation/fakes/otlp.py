"""An OTLP/HTTP receiver that keeps every span it is sent, as often as it is sent."""

import gzip

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.instrumentation.fakes.server import FakeServer


class OtlpFake(FakeServer):
    """`spans` in the order of arrival, duplicates included."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/traces", self.export)]

    async def export(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response(body=b"", content_type="application/x-protobuf")

    def named(self, name: str) -> list[dict]:
        """Attributes of all spans of a name."""
        return [attributes_of(span) for span in self.spans if span.name == name]


def attributes_of(span: Span) -> dict:
    """Plain values by attribute name."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}
