"""The production layers with real certificates and tokens: who may come in, and what goes out to whom."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.end_to_end import otlp_sender
from tests.end_to_end.binaries import needs_go
from tests.end_to_end.exposed import Secrets, loopback_addresses
from tests.end_to_end.otlp_sink import OtlpSink
from tests.end_to_end.running import Collector
from tests.support.waiting import wait_until

pytestmark = needs_go

Start = Callable[[Collector], Collector]


@pytest.fixture
def cost_over_tls(secrets: Secrets) -> Iterator[OtlpSink]:
    """A cost exporter that shows a certificate and demands one."""
    with OtlpSink(credentials=_server_credentials(secrets)) as sink:
        yield sink


@pytest.fixture
def exposed(
    collector_binary: Path, tmp_path: Path, secrets: Secrets, cost_over_tls: OtlpSink, started: Start
) -> Collector:
    """The production layers, listening on loopback."""
    collector = Collector(
        collector_binary,
        tmp_path,
        ["base", "prod", "tls", "auth"],
        cost=cost_over_tls.port,
        view=cost_over_tls.port,
        variables=secrets.variables,
    )
    collector.write_overrides(loopback_addresses(collector))
    return started(collector)


def test_certificate_and_token_open_the_way_and_are_shown_onwards(
    exposed: Collector, secrets: Secrets, cost_over_tls: OtlpSink
) -> None:
    """A known application is let in; the Collector shows its own certificate and its own token behind it."""
    _send(exposed, secrets, token="token-inward")
    wait_until("the spans by both branches", lambda: set(cost_over_tls.arrived.values()) == {2})
    tokens = [each["authorization"] for each in cost_over_tls.metadata if "authorization" in each]
    assert tokens == ["Bearer token-outward"]


@pytest.mark.parametrize("token", ["", "token-outward"])
def test_a_wrong_token_is_refused(exposed: Collector, secrets: Secrets, token: str) -> None:
    """Without the Collector's token nothing comes in."""
    with pytest.raises(grpc.RpcError) as refused:
        _send(exposed, secrets, token=token)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_no_client_certificate_is_refused(exposed: Collector, secrets: Secrets) -> None:
    """TLS without a certificate of the known authority does not get as far as the token."""
    with pytest.raises(grpc.RpcError) as refused:
        _send(exposed, secrets, token="token-inward", with_certificate=False)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def _send(collector: Collector, secrets: Secrets, *, token: str, with_certificate: bool = True) -> None:
    credentials = secrets.channel(with_certificate=with_certificate)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    body = otlp_sender.request(otlp_sender.conversation(1))
    otlp_sender.send_once(collector.grpc, body, metadata=metadata, credentials=credentials)


def _server_credentials(secrets: Secrets) -> grpc.ServerCredentials:
    own = secrets.collector
    return grpc.ssl_server_credentials(
        [(own.key.read_bytes(), own.certificate.read_bytes())],
        root_certificates=secrets.authority.certificate.read_bytes(),
        require_client_auth=True,
    )
