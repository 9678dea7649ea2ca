"""Exports to S3, over real HTTP: moto's server behind pyarrow's own client."""

from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest

from cost_exporter.errors import ExportError
from cost_exporter.lake.place import Place
from cost_exporter.lake.query import query
from tests.domain.builders import call
from tests.lake.exported import Lake
from tests.store.test_journal import COST
from tests.support.waiting import RUN_SECONDS_MAX

Database = psycopg.Connection[Any]


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of a server with a bucket `costs`."""
    from moto.server import ThreadedMotoServer  # takes a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with urlopen(Request(f"http://{host}:{port}/costs", method="PUT"), timeout=RUN_SECONDS_MAX):
            yield f"{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def location(s3_address: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return f"s3://costs/{request.node.name}?scheme=http&region=us-east-1&endpoint_override={s3_address}"


def test_exports_to_a_bucket_add_up(lake: Lake, location: str) -> None:
    """Two runs, their manifests, the check, a query; then a byte is changed and a file is deleted."""
    place = Place(location)
    for trace in (b"f" * 16, b"g" * 16):
        lake.finish(call("a", trace=trace))
        files = lake.run(place).files
    assert lake.run(place).number == 0
    lake.check(place)
    assert query(place, "select sum(BilledCost) from calls where SubAccountId = 'default'").values == [(2 * COST,)]
    content = place.read(files[0].name)
    assert content is not None
    place.write(files[0].name, content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert [each.problem for each in lake.verify(place)] == ["file", "ledger"]
    place.delete(files[0].name)
    assert [each.problem for each in lake.verify(place)] == ["file", "ledger"]


def test_a_bucket_that_is_not_there_is_one_line(lake: Lake, location: str) -> None:
    """What S3 answers, and what to look at. The address is shown without its parameters."""
    with pytest.raises(ExportError, match="is the bucket there") as raised:
        lake.run(Place(location.replace("s3://costs/", "s3://nowhere/")))
    assert "endpoint_override" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("location", ["ftp://host/x", "gs://bucket/x", "s3://key:canary@costs/x"])
def test_other_addresses_are_refused(location: str) -> None:
    """Also one with a key in it, which is not shown."""
    with pytest.raises(ExportError) as raised:
        Place(location)
    assert "canary" not in str(raised.value)
