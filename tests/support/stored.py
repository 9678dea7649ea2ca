"""A database with a little in it, brought there by the real service: for tests of whatever reads."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import psycopg
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cost_exporter.cli.service import Service
from cost_exporter.settings import Address, Settings
from tests.support import otlp

ANYWHERE = Address(host="127.0.0.1", port=0)

SUPPORT_CALL = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
OTHER_CALL = bytes.fromhex("1bf7651916cd43dd8448eb211c80319d")

BATCH_KEY = "batch-key"

# gpt-4o-mini: 210 tokens at $0.15, 1,024 cached at $0.075 and 87 written at $0.60 a million.
CHAT_COST_USD = D("0.15") * 210 / 1_000_000 + D("0.075") * 1_024 / 1_000_000 + D("0.60") * 87 / 1_000_000
# text-embedding-3-small: 2,000 tokens at $0.02 a million.
EMBEDDING_COST_USD = D("0.02") * 2_000 / 1_000_000


def settings_for(folder: Path, **changed: Any) -> Settings:
    """Return settings of a service on free ports that reads nothing from the environment."""
    given: dict[str, Any] = {"data_dir": folder, "otlp_grpc_addr": ANYWHERE, "otlp_http_addr": ANYWHERE}
    return Settings(**(given | {"web_addr": ANYWHERE} | changed))


@contextmanager
def running_service(database_url: str, *, processes: int = 1, **changed: Any) -> Iterator[dict[str, Address]]:
    """Run the real service in this process, and in workers where more are asked for, and lend its addresses."""
    service = Service(settings_for(Path("/nowhere"), **changed), database_url, processes=processes)
    try:
        yield service.start()
    finally:
        service.stop()


@contextmanager
def filled_database(postgres_url: str, name: str) -> Iterator[str]:
    """Lend the URL of a database with two workflows in it, one of them with an unpriced call, and a dead letter."""
    with new_database(postgres_url, name) as url:
        with running_service(url) as addresses:
            send(addresses["grpc"], filling(time.time_ns()))
        yield url


@contextmanager
def new_database(postgres_url: str, name: str, *, template: str = "template1") -> Iterator[str]:
    """Lend the URL of a database that is empty, or a copy."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        statement = sql.SQL("create database {} template {} strategy file_copy")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        yield as_url(make_conninfo(postgres_url, dbname=name))
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def as_url(conninfo: str) -> str:
    """Return connection parameters as a URL: the form that settings take."""
    parts = conninfo_to_dict(conninfo)
    rest = {name: str(parts[name]) for name in ("host", "port") if name in parts}
    return f"postgresql://{parts.get('user', '')}@/{parts['dbname']}?{urlencode(rest)}"


@contextmanager
def open_folder() -> Iterator[Path]:
    """Lend a directory that PostgreSQL's own user may pass through.

    Not pytest's `tmp_path`: as root, each start of pytest closes its parent to everybody else, and a running
    server loses its data directory.
    """
    with tempfile.TemporaryDirectory(prefix="callfare-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def filling(started_at_unix_ns: int) -> bytes:
    """Return the request that fills the database."""
    acme: dict[str, str | int] = {"callfare.tenant.id": "acme", "callfare.category": "bot"}
    embedding: dict[str, str | int] = {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 2_000}
    embedding["callfare.api_key.id"] = BATCH_KEY
    model = {"gen_ai.provider.name": "openai", "gen_ai.response.model": "text-embedding-3-small"}

    def made(trace_id: bytes, span_id: int, name: str, parent: int, attributes: otlp.Attributes | None = None) -> Span:
        when = {"started_at_unix_ns": started_at_unix_ns}
        return otlp.span(trace_id, span_id, name=name, parent=parent, attributes=attributes, **when)

    spans = [
        made(SUPPORT_CALL, 1, "support-call", 0, {**acme, "callfare.workflow.name": "support-call"}),
        made(SUPPORT_CALL, 2, "openai.chat", 1, {**chat("gpt-4o-mini-2024-07-18", 1_234, 87), CACHED: 1_024, **acme}),
        made(SUPPORT_CALL, 3, "openai.chat", 1, {**chat("=no-such-model", 10, 10), **acme}),
        made(OTHER_CALL, 4, "openai.embeddings", 0, {**embedding, **model, "callfare.tenant.id": "beta"}),
        made(OTHER_CALL, 0, "openai.chat", 0),
    ]
    return otlp.request(spans)


CACHED = "gen_ai.usage.cache_read.input_tokens"


def chat(model: str, input_tokens: int, output_tokens: int) -> dict[str, str | int]:
    """Return the attributes of a chat completion."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": output_tokens,
    }


def send(address: Address, request: bytes) -> None:
    """Send one request and return after its acknowledgement."""
    with grpc.insecure_channel(str(address), options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        channel.unary_unary(otlp.METHOD)(request, timeout=60)
