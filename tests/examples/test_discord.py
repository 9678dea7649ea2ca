"""`examples/discord_cost.py`: Discord's own way of asking, signed, answered with the figures of a running service."""

import importlib.util
import json
import time
from decimal import Decimal as D
from types import ModuleType
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from cost_exporter.store.tokens import TokenScope, create
from tests.examples.documents import ROOT
from tests.support.stored import CHAT_COST_USD, filling, running_service, send

DISCORD = Ed25519PrivateKey.generate()
COMMAND = {"type": 2, "data": {"name": "cost"}}


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("discord_cost", ROOT / "examples" / "discord_cost.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    public = DISCORD.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    monkeypatch.setenv("DISCORD_PUBLIC_KEY", public)
    return TestClient(example().app)


def post(client: TestClient, interaction: dict[str, Any], key: Ed25519PrivateKey = DISCORD, **changed: str) -> Any:
    body, timestamp = json.dumps(interaction), str(int(time.time()))
    headers = {
        "x-signature-ed25519": key.sign((timestamp + body).encode()).hex(),
        "x-signature-timestamp": timestamp,
    }
    return client.post("/interactions", content=body, headers=headers | changed)


def test_only_discord_is_answered(client: TestClient) -> None:
    """Its ping is; another key, another time, no signature and one that is no hex are refused."""
    ping = {"type": 1}
    assert post(client, ping).json() == {"type": 1}
    refused = [
        post(client, ping, Ed25519PrivateKey.generate()),
        post(client, ping, **{"x-signature-timestamp": "1"}),
        post(client, ping, **{"x-signature-ed25519": "zz"}),
        client.post("/interactions", json=ping),
    ]
    assert [each.status_code for each in refused] == [401] * 4
    assert post(client, {"type": 2, "data": {"name": "other"}}).status_code == 400


def test_the_command_answers_with_the_tenants_figures(
    client: TestClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token decides whose: the other tenant's call is not in it, and a call without a price makes it a bound."""
    with running_service(database_url) as addresses:
        send(addresses["grpc"], filling(time.time_ns()))
        with psycopg.connect(database_url, autocommit=True) as connection:
            token = create(connection, ["acme"], [TokenScope.READ])
        monkeypatch.setenv("CALLFARE_URL", f"http://{addresses['web']}")
        monkeypatch.setenv("CALLFARE_TOKEN", token)
        answer = post(client, COMMAND).json()
    assert (answer["type"], answer["data"]["flags"]) == (4, 64)
    today, month, link = answer["data"]["content"].split("\n")
    figure = f"≥ ${D(CHAT_COST_USD):.4f}, 1 calls of unknown cost (UTC)"
    assert (today, month) == (f"Today: {figure}", f"30 days: {figure}")
    assert link == f"<http://{addresses['web']}/spend>"
