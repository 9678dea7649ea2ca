"""OTLP/HTTP: `POST /v1/traces` in protobuf or JSON, as a Starlette application.

A client is answered in its own content type. The event loop only moves bytes: compressed ones are inflated in a few
threads, and the intake decodes and stores. Bodies may come in chunks without a length, as from JavaScript.
"""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import UnsupportedMedia
from cost_exporter.receive.admission.admission import Admission, Permit
from cost_exporter.receive.admission.arrivals import Arrivals
from cost_exporter.receive.admission.bounds import require_size
from cost_exporter.receive.admission.inflate import inflate, require_known
from cost_exporter.receive.answer import Answer, answer_to, success
from cost_exporter.receive.auth import TENANT_HEADER
from cost_exporter.receive.connections import OpenConnections
from cost_exporter.receive.decoding.decode import Encoding
from cost_exporter.receive.gate import place_of
from cost_exporter.receive.http.body import Body
from cost_exporter.receive.intake import Intake, stored
from cost_exporter.receive.refusal import CountRefused, Refusal
from cost_exporter.receive.senders import Senders
from cost_exporter.store.token_directory import Authenticate

__all__ = ["HttpReceiver"]

_LOG = logging.getLogger(__name__)
_BODY_SECONDS_MAX: Final = 60.0
_INFLATERS: Final = 2
"""Inflating takes a processor: more at a time would only hold more memory."""
_CONTENT_TYPES: Final = {
    "application/x-protobuf": Encoding.PROTOBUF,
    "application/protobuf": Encoding.PROTOBUF,
    "application/json": Encoding.JSON,
}


class HttpReceiver:
    """The application; `server.py` serves it. Shares intake and admission with other receivers."""

    def __init__(
        self,
        intake: Intake,
        *,
        authenticate: Authenticate,
        admission: Admission,
        count_refused: CountRefused,
        connections: OpenConnections | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._intake = intake
        self._senders = Senders(authenticate)
        self._admission = admission
        self._count_refused = count_refused
        self._connections = connections or OpenConnections()
        self._arrivals = arrivals or Arrivals(seconds_max=_BODY_SECONDS_MAX)
        self._inflaters = ThreadPoolExecutor(_INFLATERS, "otlp-inflate")
        self.app = Starlette(routes=[Route("/v1/traces", self._export, methods=["POST"])])

    def close(self) -> None:
        """Let the threads end, once the server is stopped."""
        self._inflaters.shutdown(wait=False)
        self._senders.close()

    async def _export(self, request: Request) -> Response:
        encoding = _CONTENT_TYPES.get(_media_type(request))
        body = Body(request)
        try:
            return _succeeded(await self._take(request, body, encoding), encoding)
        except ClientDisconnect:
            return Response(status_code=503)  # nobody reads it
        except Exception as error:  # noqa: BLE001 - clients drop their batch for 500
            answer = answer_to(error)
            self._count_refused(answer.reason)
            _LOG.debug("refused: %s, %s", answer.reason, place_of(error))
            if answer.reason is not Refusal.SLOW_SENDER:
                await body.drain(self._intake.limits.body_bytes_max)
            return _refused(answer, encoding)

    async def _take(self, request: Request, body: Body, encoding: Encoding | None) -> Receipt:
        if request.client is not None:
            self._connections.used((request.client.host, request.client.port))
        if encoding is None:
            raise UnsupportedMedia("content-type must be application/x-protobuf or application/json")
        headers = request.headers
        content_encoding = headers.get("content-encoding", "").strip().lower()
        require_known(content_encoding)
        length = headers.get("content-length", "")
        require_size(int(length) if length.isdecimal() else 0, self._intake.limits)
        sender = await self._senders.sender(headers.getlist("authorization"), headers.get(TENANT_HEADER))
        content = await body.read(self._intake.limits, self._arrivals)
        permit = await self._admission.enter(sender.credential, len(content))
        if content_encoding not in ("", "identity"):
            content = await self._inflated(content, content_encoding, permit)
        return await stored(self._intake, content, encoding, sender, permit)

    async def _inflated(self, body: bytes, content_encoding: str, permit: Permit) -> bytes:
        """Return the body without its encoding. Gives the permit back where that fails."""
        inflating = asyncio.get_running_loop().run_in_executor(
            self._inflaters, inflate, body, content_encoding, self._intake.limits.body_bytes_max, permit.hold
        )
        try:
            return await asyncio.shield(inflating)
        except asyncio.CancelledError:
            inflating.add_done_callback(lambda _: permit.leave())
            raise
        except BaseException:
            permit.leave()
            raise


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _succeeded(receipt: Receipt, encoding: Encoding | None) -> Response:
    if encoding is not Encoding.JSON:
        return Response(success(receipt), media_type=Encoding.PROTOBUF)
    warning = {"partialSuccess": {"errorMessage": receipt.warning}} if receipt.warning else {}
    return Response(json.dumps(warning), media_type=encoding)


def _refused(answer: Answer, encoding: Encoding | None) -> Response:
    body = answer.status()
    if encoding is Encoding.JSON:
        body = json.dumps({"code": answer.grpc_code, "message": answer.message}).encode()
    response = Response(body, status_code=answer.http_status, media_type=encoding or Encoding.PROTOBUF)
    if answer.retry_after_seconds is not None:
        response.headers["retry-after"] = str(answer.retry_after_seconds)
    if answer.http_status == 401:  # noqa: PLR2004 - HTTP wants the challenge beside it
        response.headers["www-authenticate"] = "Bearer"
    return response
