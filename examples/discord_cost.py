"""A Discord command: `/cost` answers what was spent today and in the last 30 days, and only its sender sees it.

    pip install 'callfare[exporter]' cryptography
    export DISCORD_PUBLIC_KEY=...                       # of the application, in Discord's developer portal
    export CALLFARE_URL=https://costs.example CALLFARE_TOKEN=cf_...       # a token of scope `read`, of one tenant
    uvicorn --app-dir examples discord_cost:app

Discord posts each command to the "Interactions Endpoint URL", signed. What is not signed by Discord is refused; Discord
tries that itself before it takes the URL.
"""

import json
import os
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PING, COMMAND = 1, 2
PONG, MESSAGE = 1, 4
ONLY_TO_SENDER = 64


async def interactions(request: Request) -> Response:
    body = await request.body()
    if not is_from_discord(request, body):
        return Response("the signature is not Discord's", 401)
    interaction = json.loads(body)
    if interaction["type"] == PING:
        return JSONResponse({"type": PONG})
    if interaction["type"] != COMMAND or interaction["data"]["name"] != "cost":
        return Response("unknown command", 400)
    text = await run_in_threadpool(answer)
    return JSONResponse({"type": MESSAGE, "data": {"content": text, "flags": ONLY_TO_SENDER}})


def is_from_discord(request: Request, body: bytes) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(os.environ["DISCORD_PUBLIC_KEY"]))
        signature = bytes.fromhex(request.headers["x-signature-ed25519"])
        key.verify(signature, request.headers["x-signature-timestamp"].encode() + body)
    except (InvalidSignature, KeyError, ValueError):
        return False
    return True


def answer() -> str:
    """Return the two figures; `≥` where the cost of a call is not known."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    lines = [
        f"{name}: {spent(tomorrow - timedelta(days=days), tomorrow)} (UTC)"
        for name, days in (("Today", 1), ("30 days", 30))
    ]
    return "\n".join([*lines, f"<{os.environ['CALLFARE_URL']}/spend>"])


def spent(start_date, end_date) -> str:
    url = f"{os.environ['CALLFARE_URL']}/v1/costs?start_date={start_date}&end_date={end_date}&group_by=day"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ.get('CALLFARE_TOKEN', '')}"})
    with urllib.request.urlopen(request, timeout=2) as response:  # Discord waits for three seconds
        costs = json.load(response)["data"]
    bound = "≥ " if costs["cost_is_lower_bound"] else ""
    unknown = f", {costs['unpriced_count']} calls of unknown cost" if costs["unpriced_count"] else ""
    return f"{bound}${Decimal(costs['total_cost_usd']):.4f}{unknown}"


app = Starlette(routes=[Route("/interactions", interactions, methods=["POST"])])
