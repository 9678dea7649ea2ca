import ssl
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from cost_exporter.errors import StoreUnavailable, Unauthenticated
from cost_exporter.receive.refusal import Refusal
from cost_exporter.settings import TlsFiles
from cost_exporter.store.tokens import Credential, TokenScope
from tests.receive import bodies
from tests.receive.conftest import Service, Start

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "tls"
GOOD = bodies.body(bodies.span(1))
CREDENTIALS = {
    "+".join(scopes): Credential(tenants=frozenset({"acme"}), scopes=frozenset(scopes))
    for scopes in [*((scope,) for scope in TokenScope), (TokenScope.INGEST, TokenScope.READ)]
}


def authenticate(token: str | None) -> Credential | None:
    """Each scope's name is a token of it, several with a plus; `away` finds the database away."""
    if token == "away":
        raise StoreUnavailable("cannot read the tokens")
    if token not in CREDENTIALS:
        raise Unauthenticated("a token is needed")
    return CREDENTIALS[token]


@pytest.fixture
def guarded(start: Start) -> Service:
    return start(authenticate=authenticate)


def over_grpc(service: Service, metadata: dict[str, str]) -> grpc.StatusCode:
    with grpc.insecure_channel(service.grpc_address) as channel:
        try:
            channel.unary_unary(METHOD)(GOOD, timeout=60, metadata=tuple(metadata.items()))
        except grpc.RpcError as error:
            return error.code()  # type: ignore[attr-defined]
        return grpc.StatusCode.OK


def over_http(service: Service, headers: dict[str, str], body: bytes = GOOD) -> httpx.Response:
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        return client.post(service.url, content=body, headers={"content-type": "application/x-protobuf"} | headers)


@pytest.mark.parametrize(
    ("headers", "code", "status", "namespace"),
    [
        ({}, grpc.StatusCode.UNAUTHENTICATED, 401, None),
        ({"authorization": "Bearer wrong"}, grpc.StatusCode.UNAUTHENTICATED, 401, None),
        ({"authorization": "Basic ingest"}, grpc.StatusCode.UNAUTHENTICATED, 401, None),
        ({"authorization": "ingest"}, grpc.StatusCode.UNAUTHENTICATED, 401, None),
        ({"authorization": "Bearer read"}, grpc.StatusCode.PERMISSION_DENIED, 403, None),
        ({"authorization": "Bearer admin"}, grpc.StatusCode.PERMISSION_DENIED, 403, None),
        ({"authorization": "Bearer away"}, grpc.StatusCode.UNAVAILABLE, 503, None),
        ({"authorization": "Bearer ingest"}, grpc.StatusCode.OK, 200, "acme"),
        ({"authorization": "bearer  ingest"}, grpc.StatusCode.OK, 200, "acme"),
        ({"authorization": "Bearer ingest", "x-callfare-tenant": "other"}, grpc.StatusCode.OK, 200, "acme"),
        ({"authorization": "Bearer ingest+read"}, grpc.StatusCode.OK, 200, "acme"),
        ({"authorization": "Bearer ingest+read", "x-callfare-tenant": "other"}, grpc.StatusCode.OK, 200, "acme"),
        ({"authorization": "Bearer relay"}, grpc.StatusCode.OK, 200, "acme"),
        ({"authorization": "Bearer relay", "x-callfare-tenant": "other"}, grpc.StatusCode.OK, 200, "other"),
        (
            {"authorization": "Bearer relay", "x-callfare-tenant": "x" * 257},
            grpc.StatusCode.PERMISSION_DENIED,
            403,
            None,
        ),
    ],
)
def test_the_tenant_comes_from_the_credential_alone(
    guarded: Service, headers: dict[str, str], code: grpc.StatusCode, status: int, namespace: str | None
) -> None:
    """Who has no right token stores nothing; a tenant is stated by a relay only; attributes are not trusted."""
    assert over_grpc(guarded, headers) is code
    answer = over_http(guarded, headers)
    assert answer.status_code == status
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    stored = [(request.namespace, request.tenant_is_trusted) for request in guarded.store.requests]
    assert stored == ([] if namespace is None else [(namespace, False)] * 2)


def test_refusals_of_strangers_are_counted(guarded: Service) -> None:
    """A wrong token is data lost at the sender: the operator must be able to see it."""
    over_grpc(guarded, {})
    over_http(guarded, {"authorization": "Bearer read"})
    assert guarded.refused == [Refusal.UNAUTHENTICATED, Refusal.PERMISSION_DENIED]


def test_a_stranger_is_refused_before_his_body_is_decoded(guarded: Service) -> None:
    """Whoever shows no token cannot make us decode."""
    assert over_http(guarded, {}, body=b"\xff nonsense").status_code == 401


@pytest.fixture
def tls() -> TlsFiles:
    """A certificate for localhost, and the CA that its clients must be of."""
    return TlsFiles(FIXTURES / "cert.pem", FIXTURES / "key.pem", FIXTURES / "ca.pem")


def test_with_a_client_ca_only_its_clients_are_served(start: Start, tls: TlsFiles) -> None:
    """TLS on both ports; a client without a certificate of the CA gets nowhere."""
    service = start(tls=tls)
    client = (FIXTURES / "client.pem").read_bytes()

    def send(*pair: bytes | None) -> Any:
        credentials = grpc.ssl_channel_credentials(tls.current().client_ca, *pair)
        with grpc.secure_channel(service.grpc_address, credentials) as channel:
            return channel.unary_unary(METHOD)(GOOD, timeout=60)

    assert send(client, client) == b""
    with pytest.raises(grpc.RpcError):
        send(None, None)
    url = service.url.replace("http://", "https://")
    headers = {"content-type": "application/x-protobuf"}
    context = ssl.create_default_context(cafile=str(FIXTURES / "ca.pem"))
    # Refused while it connects, or while it sends or reads already: TLS 1.3 lets a client begin before it is checked.
    with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
        httpx.post(url, content=GOOD, headers=headers, verify=context, trust_env=False, timeout=60)
    context.load_cert_chain(str(FIXTURES / "client.pem"))
    assert (
        httpx.post(url, content=GOOD, headers=headers, verify=context, trust_env=False, timeout=60).status_code == 200
    )
    assert len(service.store.spans) == 2
