"""Twilio's calls and messages: places and sends them, ends calls when told, and works out the price later."""

from email.utils import formatdate
from typing import Any

from aiohttp import web

from tests.instrumentation.fakes.server import FakeServer

ACCOUNT = "AC00000000000000000000000000000000"


class FakeTwilio(FakeServer):
    """Holds calls and messages as Twilio does: strings, a price that is null and then negative."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        base = f"/2010-04-01/Accounts/{ACCOUNT}"
        return [
            web.post(f"{base}/Calls.json", self.create),
            web.get(f"{base}/Calls/{{sid}}.json", self.fetch),
            web.post(f"{base}/Calls/{{sid}}.json", self.update),
            web.post(f"{base}/Messages.json", self.send),
            web.get(f"{base}/Messages/{{sid}}.json", self.message),
            web.post(f"{base}/Messages/{{sid}}.json", self.cancel),
        ]

    def end(self, sid: str, *, seconds: int | None, status: str = "completed") -> None:
        """The caller hangs up."""
        self.calls[sid] |= {"status": status, "duration": None if seconds is None else str(seconds)}

    def charge(self, sid: str, price: str) -> None:
        """Minutes later."""
        self.calls[sid] |= {"price": price, "price_unit": "USD"}

    def status_callback(self, sid: str) -> dict[str, str]:
        """The form Twilio posts to a StatusCallback."""
        call = self.calls[sid]
        form = {
            "AccountSid": ACCOUNT, "CallSid": sid, "CallStatus": call["status"], "Direction": call["direction"],
            "From": call["from"], "To": call["to"], "Caller": call["from"], "Called": call["to"],
            "CallerCity": "SPRINGFIELD", "ApiVersion": "2010-04-01", "SequenceNumber": "0",
            "Timestamp": formatdate(usegmt=True),
        }  # fmt: skip
        if call["duration"] is not None:
            form |= {"CallDuration": call["duration"], "Duration": str(-(-int(call["duration"]) // 60))}
        return form

    def add(self, direction: str, *, to: str = "+15550006789", from_: str = "+15550001234") -> str:
        """A call that exists; returns its SID."""
        sid = f"CA{len(self.calls):032x}"
        self.calls[sid] = {
            "sid": sid, "account_sid": ACCOUNT, "status": "queued", "duration": None, "price": None,
            "price_unit": "USD", "direction": direction, "to": to, "from": from_, "to_formatted": to,
            "from_formatted": from_, "parent_call_sid": None, "start_time": formatdate(usegmt=True),
            "end_time": None, "date_created": None, "date_updated": None, "uri": "", "subresource_uris": {},
        }  # fmt: skip
        return sid

    async def create(self, request: web.Request) -> web.Response:
        form = await request.post()
        sid = self.add("outbound-api", to=str(form["To"]), from_=str(form["From"]))
        return web.json_response(self.calls[sid], status=201)

    async def fetch(self, request: web.Request) -> web.Response:
        return web.json_response(self.calls[request.match_info["sid"]])

    async def update(self, request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        if (await request.post()).get("Status") == "completed":
            self.end(sid, seconds=61)
        return web.json_response(self.calls[sid])

    async def send(self, request: web.Request) -> web.Response:
        form = await request.post()
        sid = f"SM{len(self.messages):032x}"
        by_service = "MessagingServiceSid" in form  # has no sender yet, and so no segments
        segments = 0 if by_service else -(-len(str(form.get("Body", ""))) // 160)
        self.messages[sid] = {
            "sid": sid, "account_sid": ACCOUNT, "status": "accepted" if by_service else "queued",
            "num_segments": str(segments), "num_media": str(len(form.getall("MediaUrl", []))), "price": None,
            "price_unit": "USD", "direction": "outbound-api", "to": form["To"], "from": form.get("From"),
            "body": form.get("Body"), "date_created": formatdate(usegmt=True), "date_sent": None,
            "date_updated": None, "error_code": None, "uri": "", "subresource_uris": {},
        }  # fmt: skip
        return web.json_response(self.messages[sid], status=201)

    async def message(self, request: web.Request) -> web.Response:
        return web.json_response(self.messages[request.match_info["sid"]])

    async def cancel(self, request: web.Request) -> web.Response:
        message = self.messages[request.match_info["sid"]]
        if (await request.post()).get("Status") == "canceled":
            message |= {"status": "canceled"}
        return web.json_response(message)
