"""TLS on every port with real certificates: a renewed pair, and a renewed client authority, count from the next
connection on, while the service runs.
"""

import shutil
import ssl
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from cost_exporter.settings import TlsFiles
from tests.receive import bodies
from tests.receive.conftest import Service, Start
from tests.support import certificates
from tests.support.certificates import Credential

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GOOD = bodies.body(bodies.span(1))


@pytest.fixture
def first(tmp_path: Path) -> Credential:
    """The authority by which the service's first certificate is signed."""
    return certificates.authority(tmp_path, "first")


@pytest.fixture
def second(tmp_path: Path) -> Credential:
    """Another authority: who trusts one of them only sees which certificate is served."""
    return certificates.authority(tmp_path, "second")


def over_grpc(service: Service, trusted: Credential, client: Credential | None = None) -> bool:
    """Whether an export is taken."""
    pair = (None, None) if client is None else (client.key.read_bytes(), client.certificate.read_bytes())
    credentials = grpc.ssl_channel_credentials(trusted.certificate.read_bytes(), *pair)
    with grpc.secure_channel(service.grpc_address, credentials) as channel:
        try:
            channel.unary_unary(METHOD)(GOOD, timeout=60)
        except grpc.RpcError:
            return False
        return True


def over_http(service: Service, trusted: Credential, client: Credential | None = None, host: str = "127.0.0.1") -> bool:
    context = ssl.create_default_context(cafile=str(trusted.certificate))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    url = f"https://{host}:{service.http_address.port}/v1/traces"
    headers = {"content-type": "application/x-protobuf"}
    try:
        answer = httpx.post(url, content=GOOD, headers=headers, verify=context, trust_env=False, timeout=60)
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        return False
    return answer.status_code == 200


def put(source: Credential, place: Credential) -> None:
    """Put copies in the place of a pair, as a renewal does."""
    for name in ("certificate", "key"):
        target: Path = getattr(place, name)
        Path(shutil.copy(getattr(source, name), f"{target}.new")).replace(target)


@pytest.mark.parametrize("send", [over_grpc, over_http])
def test_a_renewed_certificate_is_served_without_a_restart(
    start: Start, first: Credential, second: Credential, send: Any
) -> None:
    """By its next connection a client meets the new pair; a renewal that does not fit leaves the old one."""
    place = first.issue("served")
    service = start(tls=TlsFiles(place.certificate, place.key, look_every_seconds=0))
    assert (send(service, first), send(service, second)) == (True, False)
    put(second.issue("renewed"), place)
    assert (send(service, first), send(service, second)) == (False, True)
    place.key.write_bytes(first.key.read_bytes())
    assert (send(service, first), send(service, second)) == (False, True)
    assert len(service.store.spans) == 3


@pytest.mark.parametrize("send", [over_grpc, over_http])
def test_a_renewed_client_authority_counts_without_a_restart(
    start: Start, first: Credential, second: Credential, tmp_path: Path, send: Any
) -> None:
    """Who was let in is not any more, and the other way round."""
    served, old, new = first.issue("served"), first.issue("old"), second.issue("new")
    client_ca = Path(shutil.copy(first.certificate, tmp_path / "clients.pem"))
    service = start(tls=TlsFiles(served.certificate, served.key, client_ca, look_every_seconds=0))
    assert [send(service, first, client) for client in (None, old, new)] == [False, True, False]
    Path(shutil.copy(second.certificate, tmp_path / "clients.new")).replace(client_ca)
    assert [send(service, first, client) for client in (None, old, new)] == [False, False, True]


def test_a_client_that_names_the_host_meets_the_renewed_certificate_too(
    start: Start, first: Credential, second: Credential
) -> None:
    """With a host's name in the handshake, as browsers send it, and without, as for an address."""
    place = first.issue("served")
    service = start(tls=TlsFiles(place.certificate, place.key, look_every_seconds=0))
    put(second.issue("renewed"), place)
    assert over_http(service, second, host="localhost")
    assert over_http(service, second, host="127.0.0.1")
    assert not over_http(service, first, host="localhost")
