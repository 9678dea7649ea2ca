"""Reading through PgBouncer in transaction mode: tenants stay apart though they share connections of the server."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Period, ReaderPool
from tests.domain.builders import OTHER_TRACE, call, price_by_sum
from tests.store.requests import request
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_SECONDS, wait_until

Database = psycopg.Connection[Any]
SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "pgbouncer.sh"
CONFIGURATION: Final = """
[databases]
pooled = host={host} port={port} dbname={dbname} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
ignore_startup_parameters = extra_float_digits
"""


@pytest.fixture
def pooled_url(database: Database) -> Iterator[str]:
    """The URL of a PgBouncer before the database, with one connection to it."""
    found = subprocess.run([SCRIPT, "--path"], check=False, capture_output=True, text=True)
    if found.returncode:
        assert not os.environ.get("CI"), "no PgBouncer, which .ci/run fetches by scripts/pgbouncer.sh"
        pytest.skip("no PgBouncer: scripts/pgbouncer.sh fetches it")
    info = database.info
    server = {"host": info.host, "port": info.port, "dbname": info.dbname, "user": info.user}
    (port,) = free_ports(1)
    # Root is refused by PgBouncer; the server's socket is for the account of the server only.
    account = _owner(Path(info.host))
    folder = Path(tempfile.mkdtemp(prefix="callfare-pgbouncer-"))
    program = shutil.copytree(Path(found.stdout.strip()).parent, folder / "program") / "pgbouncer"
    (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(**server, listen_port=port))
    for each in (folder, *folder.rglob("*")):
        os.chown(each, account.pw_uid, account.pw_gid)
    bouncer = subprocess.Popen(
        [program, folder / "pgbouncer.ini"],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        stderr=subprocess.DEVNULL,
    )
    url = f"postgresql://callfare@127.0.0.1:{port}/pooled"
    try:
        wait_until("PgBouncer", lambda: _answers(url))
        yield url
    finally:
        bouncer.terminate()
        bouncer.wait(PATIENCE_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _owner(path: Path) -> pwd.struct_passwd:
    return pwd.getpwuid(path.stat().st_uid)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def test_tenants_share_a_connection_and_see_their_own(ledger: LedgerStore, database: Database, pooled_url: str) -> None:
    """Again and again, so that a statement would be prepared, and a setting that stayed would show."""
    calls = [
        call("a", attribution=Attribution(tenant="acme")),
        call("b", trace=OTHER_TRACE, attribution=Attribution(tenant="globex")),
    ]
    ledger.commit([request(*calls)], price_by_sum)
    asked = [frozenset({"acme"}), frozenset({"globex"}), frozenset[str](), frozenset({"acme", "globex"}), None]
    pools = [ReaderPool(pooled_url) for _ in range(2)]
    try:
        for _ in range(8):
            for pool in pools:
                for tenants in asked:
                    with pool.lend_to(tenants) as reader:
                        seen = {row["tenant_id"] for row in reader.spend(Period.always(), ("tenant_id",))}
                        assert seen == ({"acme", "globex"} if tenants is None else tenants)
    finally:
        for pool in pools:
            pool.close()
