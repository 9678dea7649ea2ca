"""A local fake of Twilio's call resource: a call comes in, is hung up, and has its price some requests later."""

from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

__all__ = ["FakeTwilio"]

_CALL_SECONDS: Final = 73
_PRICE: Final = "-0.0170"
"""The price of two started minutes of an inbound call."""
_FETCHES_UNTIL_PRICE: Final = 2

Call = dict[str, Any]


class FakeTwilio:
    """Holds the calls as Twilio does: strings, and a price that is null until it was worked out."""

    account_sid = "AC00000000000000000000000000000000"

    def __init__(self) -> None:
        """Nobody has called yet."""
        self._calls: dict[str, Call] = {}
        self._fetch_counts: dict[str, int] = {}

    @property
    def call_seconds(self) -> int:
        """Seconds of all calls that ended."""
        return sum(int(call["duration"]) for call in self._calls.values() if call["duration"] is not None)

    def routes(self) -> list[BaseRoute]:
        """The responses of the API."""
        path = f"/2010-04-01/Accounts/{self.account_sid}/Calls/{{sid}}.json"
        return [Route(path, self._fetch, methods=["GET"]), Route(path, self._update, methods=["POST"])]

    def ring(self) -> str:
        """Somebody calls: return the call's SID, which Twilio posts to the application's webhook."""
        sid = f"CA{len(self._calls):032x}"
        self._fetch_counts[sid] = 0
        self._calls[sid] = {
            "sid": sid,
            "account_sid": self.account_sid,
            "status": "in-progress",
            "direction": "inbound",
            "from": "+15550001234",
            "to": "+15550006789",
            "start_time": formatdate(usegmt=True),
            "duration": None,
            "price": None,
            "price_unit": "USD",
        }
        return sid

    async def _fetch(self, request: Request) -> JSONResponse:
        sid = request.path_params["sid"]
        call = self._calls[sid]
        if call["status"] == "completed":
            self._fetch_counts[sid] += 1
            if self._fetch_counts[sid] >= _FETCHES_UNTIL_PRICE:
                call["price"] = _PRICE
        return JSONResponse(call)

    async def _update(self, request: Request) -> JSONResponse:
        call = self._calls[request.path_params["sid"]]
        if parse_qs((await request.body()).decode()).get("Status") == ["completed"]:
            call |= {"status": "completed", "duration": str(_CALL_SECONDS)}
        return JSONResponse(call)
