"""OTLP/gRPC: `opentelemetry.proto.collector.trace.v1.TraceService/Export` on grpcio's server for asyncio.

The method is registered for raw bytes, because grpcio answers INTERNAL for a message it cannot deserialise, and
as one that takes a stream, because then a call can be refused before its message is read. On the wire that is
the unary call that every client makes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import grpc
import grpc.aio

from cost_exporter.errors import Undecodable
from cost_exporter.receive.admission.admission import Admission
from cost_exporter.receive.admission.arrivals import Arrivals
from cost_exporter.receive.answer import answer_to, success
from cost_exporter.receive.auth import TENANT_HEADER
from cost_exporter.receive.connections import OpenConnections, peer_of
from cost_exporter.receive.decoding.decode import Encoding
from cost_exporter.receive.event_loop import on_event_loop
from cost_exporter.receive.gate import place_of
from cost_exporter.receive.intake import Intake, stored
from cost_exporter.receive.listen import require_free, unavailable
from cost_exporter.receive.refusal import CountRefused
from cost_exporter.receive.senders import Senders
from cost_exporter.settings import Address, TlsFiles
from cost_exporter.store.token_directory import Authenticate

__all__ = ["GrpcReceiver"]

_LOG = logging.getLogger(__name__)
_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_OPTION: Final = "--grpc"
_READ_SECONDS_MAX: Final = 10.0
_RPCS_MAX: Final = 8_192
"""The last fuse, far above what arrivals and admission let live: what it answers makes Collectors drop their batch."""
_STREAMS_MAX: Final = 1_024
"""Calls of one connection at a time; a client holds the others back."""
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class GrpcReceiver:
    """Listens from `start` until `stop`. All its calls share the intake and the admission with other receivers."""

    def __init__(
        self,
        intake: Intake,
        *,
        authenticate: Authenticate,
        admission: Admission,
        count_refused: CountRefused,
        connections: OpenConnections | None = None,
        read_seconds_max: float = _READ_SECONDS_MAX,
    ) -> None:
        self._intake = intake
        self._senders = Senders(authenticate)
        self._admission = admission
        self._count_refused = count_refused
        self._connections = connections or OpenConnections()
        self._arrivals = Arrivals(seconds_max=read_seconds_max, grace_seconds=read_seconds_max)
        self._server: grpc.aio.Server | None = None
        self._port = 0

    def start(self, address: Address, tls: TlsFiles | None = None) -> Address:
        """Listen, and return the address with its real port. Raises `SettingsError` where that is not possible."""
        require_free(address, _OPTION)
        self._port = on_event_loop(self._start(address, tls))
        return address.with_port(self._port)

    def stop(self, grace_seconds: float = 20.0) -> None:
        """Refuse new calls, let those in flight commit and be answered, and stop."""
        server, self._server = self._server, None
        if server is not None:
            on_event_loop(self._stop(server, grace_seconds))
        self._senders.close()

    async def _start(self, address: Address, tls: TlsFiles | None) -> int:
        server = grpc.aio.server(
            handlers=[_Export(self._export)],
            options=_options(self._intake.limits.body_bytes_max),
            maximum_concurrent_rpcs=_RPCS_MAX,
        )
        port = _open_port(server, address, tls)
        await server.start()
        self._server = server
        self._connections.watch(port)
        return port

    async def _stop(self, server: grpc.aio.Server, grace_seconds: float) -> None:
        await server.stop(grace_seconds)
        self._connections.forget(self._port)

    async def _export(self, _: Any, context: Any) -> bytes:
        try:
            return await self._take(context)
        except Exception as error:  # noqa: BLE001 - grpcio would answer UNKNOWN, and clients drop for that
            answer = answer_to(error)
            self._count_refused(answer.reason)
            _LOG.debug("refused: %s, %s", answer.reason, place_of(error))
        trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", answer.status())]
        if answer.retry_delay_ms is not None:
            trailers.append(("google.rpc.retryinfo-bin", answer.retry_info()))
        await context.abort(_CODES[answer.grpc_code], answer.message, tuple(trailers))
        raise AssertionError("unreachable: abort raises")

    async def _take(self, context: Any) -> bytes:
        peer = peer_of(context.peer())
        if peer is not None:
            self._connections.used(peer)
        try:
            metadata = [(key, text) for key, text in context.invocation_metadata() if isinstance(text, str)]
            authorization = [text for key, text in metadata if key == "authorization"]
            sender = await self._senders.sender(authorization, dict(metadata).get(TENANT_HEADER))
            async with self._arrivals.arriving():
                body = await context.read()
        except asyncio.CancelledError:
            if peer is not None:
                self._connections.cancelled(peer)
            raise
        if not isinstance(body, bytes):  # or its message was too large: grpcio has answered it
            raise Undecodable("the call holds no message")
        permit = await self._admission.enter(sender.credential, len(body))
        return success(await stored(self._intake, body, Encoding.PROTOBUF, sender, permit))


class _Export(grpc.GenericRpcHandler):  # pyright: ignore[reportMissingTypeArgument] - generic in the stubs only
    """Routes the one method there is; grpcio answers UNIMPLEMENTED for others."""

    def __init__(self, export: Callable[[Any, Any], Awaitable[bytes]]) -> None:
        # No (de)serialiser: bytes in, bytes out.
        self._handler: Any = grpc.stream_unary_rpc_method_handler(cast("Any", export))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of the method that is called."""
        return self._handler if handler_call_details.method == _METHOD else None


def _options(body_bytes_max: int) -> list[tuple[str, Any]]:
    return [
        # By default a second server binds the same port silently and takes half the traffic.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", body_bytes_max),
        ("grpc.max_concurrent_streams", _STREAMS_MAX),
        # Growing windows would let each waiting sender park megabytes here: 400 senders of 1 MiB made 711 MiB,
        # without the probe 287 (measured 2026-11-22). A message that is being read gets the window it needs.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", 120_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_idle_ms", 15 * 60_000),
    ]


def _open_port(server: grpc.aio.Server, address: Address, tls: TlsFiles | None) -> int:
    try:
        if tls is None:
            port = server.add_insecure_port(str(address))
        else:
            port = server.add_secure_port(str(address), _credentials(tls))
    except RuntimeError as error:
        raise unavailable(address, _OPTION, error) from error
    if not port:
        raise unavailable(address, _OPTION, RuntimeError("grpc could not open it"))
    return port


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that ask for the files' content at each handshake."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        pair = tls.current()
        return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], pair.client_ca)

    return grpc.dynamic_ssl_server_credentials(
        configuration(), configuration, require_client_authentication=tls.asks_for_client_certificates
    )
