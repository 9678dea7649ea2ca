"""The body of an HTTP request: read within bounds of size and time, or thrown away when the request is refused."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from cost_exporter.receive.admission.arrivals import Arrivals
from cost_exporter.receive.admission.bounds import Limits, require_size

__all__ = ["Body"]

_DRAIN_SECONDS_MAX: Final = 5.0


class Body:
    """The rest of a request body, whether it has a length or is chunked."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_complete = False

    async def read(self, limits: Limits, arrivals: Arrivals) -> bytes:
        """Return the whole body. Raises `TooLarge`, `SlowSender` or `ClientDisconnect`."""
        body = bytearray()
        async with arrivals.arriving() as deadline:
            while not self._is_complete:
                chunk = await self._chunk()
                require_size(len(body) + len(chunk), limits)
                body += chunk
                deadline.received(len(body))
        return bytes(body)

    async def drain(self, bytes_max: int) -> None:
        """Throw the rest away, within bounds: a client that is still sending would not see its answer."""
        seen_bytes = 0
        try:
            async with asyncio.timeout(_DRAIN_SECONDS_MAX):
                while not self._is_complete and seen_bytes <= bytes_max:
                    seen_bytes += len(await self._chunk())
        except (TimeoutError, ClientDisconnect):
            return  # enough was done for it

    async def _chunk(self) -> bytes:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            self._is_complete = True
            raise ClientDisconnect
        self._is_complete = not message.get("more_body", False)
        return message.get("body", b"")
