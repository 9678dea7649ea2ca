"""OTLP/gRPC: `opentelemetry.proto.collector.trace.v1.TraceService/Export` on grpcio's synchronous server.

The method is registered for raw bytes, because grpcio answers INTERNAL for a message it cannot deserialise, and
as one that takes a stream, because then a call can be refused before its message is read. On the wire that is
the unary call that every client makes.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import grpc

from cost_exporter.errors import Overloaded, Undecodable
from cost_exporter.receive.admission.admission import Admission
from cost_exporter.receive.admission.watchdog import Watchdog
from cost_exporter.receive.answer import SlowSender, answer_to, success
from cost_exporter.receive.auth import TENANT_HEADER, sender_of
from cost_exporter.receive.decoding.decode import Encoding
from cost_exporter.receive.gate import place_of
from cost_exporter.receive.grpc.bounded_pool import BoundedPool, is_overflow_thread
from cost_exporter.receive.ingest import CountRefused
from cost_exporter.receive.intake import Intake
from cost_exporter.receive.listen import require_free, unavailable
from cost_exporter.settings import Address, TlsFiles
from cost_exporter.store.token_directory import Authenticate

__all__ = ["GrpcReceiver"]

_LOG = logging.getLogger(__name__)
_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_OPTION: Final = "--grpc"
_READ_SECONDS_MAX: Final = 10.0
_RPCS_MAX: Final = 4_096
"""The last fuse, far above what the lanes let live: what it answers makes Collectors drop their batch."""
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class _Gone(Exception):
    """The sender hung up: there is nobody to answer."""


class GrpcReceiver:
    """Listens from `start` until `stop`. All its calls share the intake and the admission with other receivers."""

    def __init__(
        self,
        intake: Intake,
        *,
        authenticate: Authenticate,
        admission: Admission,
        count_refused: CountRefused,
        read_seconds_max: float = _READ_SECONDS_MAX,
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intake = intake
        self._authenticate = authenticate
        self._admission = admission
        self._count_refused = count_refused
        self._watchdog = Watchdog(read_seconds_max, monotonic_seconds)
        self._pool = BoundedPool(threads=2 * admission.limits.slots, queued_max=2 * admission.limits.slots)
        self._server: grpc.Server | None = None

    def start(self, address: Address, tls: TlsFiles | None = None) -> Address:
        """Listen, and return the address with its real port. Raises `SettingsError` where that is not possible."""
        require_free(address, _OPTION)
        server = grpc.server(
            self._pool,
            handlers=[_Export(self._export)],
            options=_options(self._intake.limits.body_bytes_max),
            maximum_concurrent_rpcs=_RPCS_MAX,
        )
        port = _open_port(server, address, tls)
        self._watchdog.start()
        server.start()
        self._server = server
        return address.with_port(port)

    def stop(self, grace_seconds: float = 20.0) -> None:
        """Refuse new calls, let those in flight commit and be answered, and stop."""
        if self._server is not None:
            self._server.stop(grace_seconds).wait()
            self._server = None
        self._watchdog.stop()
        self._pool.shutdown(wait=False)

    def _export(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        try:
            return self._take(messages, context)
        except _Gone:
            return b""
        except Exception as error:  # grpcio would answer UNKNOWN, and clients drop for that
            self._refuse(error, context)
            raise AssertionError("unreachable: abort raises") from error

    def _take(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        if is_overflow_thread():
            raise Overloaded("too busy (too many calls); try again")
        metadata = _texts(context)
        authorization = [text for key, text in metadata if key == "authorization"]
        sender = sender_of(self._authenticate, authorization, dict(metadata).get(TENANT_HEADER))
        with self._admission.enter() as permit:
            body = self._message(messages, context)
            permit.hold(len(body))
            return success(self._intake.take(body, Encoding.PROTOBUF, sender))

    def _message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Return the one message of the call, as long as it comes in time."""
        with self._watchdog.watch(context.cancel) as watched:
            try:
                return next(messages)
            except StopIteration:
                pass  # a call without a message, or one whose message was too large: grpcio has answered it
            except Exception as error:
                if not watched.has_expired:
                    raise _Gone from error
        if watched.has_expired:
            self._count_refused(answer_to(SlowSender("")).reason)
            raise _Gone
        if not context.is_active():
            raise _Gone
        raise Undecodable("the call holds no message")

    def _refuse(self, error: Exception, context: grpc.ServicerContext) -> None:
        answer = answer_to(error)
        self._count_refused(answer.reason)
        _LOG.debug("refused: %s, %s", answer.reason, place_of(error))
        trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", answer.status())]
        if answer.retry_delay_ms is not None:
            trailers.append(("google.rpc.retryinfo-bin", answer.retry_info()))
        context.set_trailing_metadata(tuple(trailers))
        context.abort(_CODES[answer.grpc_code], answer.message)


class _Export(grpc.GenericRpcHandler):  # pyright: ignore[reportMissingTypeArgument] - generic in the stubs only
    """Routes the one method there is; grpcio answers UNIMPLEMENTED for others."""

    def __init__(self, export: Callable[[Iterator[bytes], grpc.ServicerContext], bytes]) -> None:
        # No (de)serialiser: bytes in, bytes out.
        self._handler: Any = grpc.stream_unary_rpc_method_handler(cast("Any", export))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of the method that is called."""
        return self._handler if handler_call_details.method == _METHOD else None


def _texts(context: grpc.ServicerContext) -> list[tuple[str, str]]:
    return [(key, value) for key, value in context.invocation_metadata() if isinstance(value, str)]


def _options(body_bytes_max: int) -> list[tuple[str, Any]]:
    return [
        # By default a second server binds the same port silently and takes half the traffic.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", body_bytes_max),
        # Growing windows would let each waiting sender park megabytes here: 400 senders of 1 MiB made 711 MiB,
        # without the probe 287 (measured 2026-11-22). A message that is being read gets the window it needs.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", 120_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_idle_ms", 15 * 60_000),
    ]


def _open_port(server: grpc.Server, address: Address, tls: TlsFiles | None) -> int:
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
