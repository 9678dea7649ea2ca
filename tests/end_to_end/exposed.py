"""What a production deployment is given: certificates and tokens; and its addresses moved to free ports for a test."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.end_to_end.running import Collector
from tests.support import certificates


@dataclass(frozen=True)
class Secrets:
    """What a production Collector is given, and what its clients are given."""

    authority: certificates.Credential
    collector: certificates.Credential
    application: certificates.Credential
    inward_token: Path
    outward_token: Path

    @property
    def variables(self) -> dict[str, str]:
        """Where the production layers find them."""
        return {
            "CALLFARE_COLLECTOR_LISTEN": "127.0.0.1",
            "CALLFARE_TLS_CA": str(self.authority.certificate),
            "CALLFARE_TLS_CLIENT_CA": str(self.authority.certificate),
            "CALLFARE_TLS_CERT": str(self.collector.certificate),
            "CALLFARE_TLS_KEY": str(self.collector.key),
            "CALLFARE_COLLECTOR_TOKEN_FILE": str(self.inward_token),
            "CALLFARE_COST_TOKEN_FILE": str(self.outward_token),
        }

    def channel(self, *, with_certificate: bool = True) -> grpc.ChannelCredentials:
        """What an application presents to the Collector."""
        own = self.application
        return grpc.ssl_channel_credentials(
            root_certificates=self.authority.certificate.read_bytes(),
            private_key=own.key.read_bytes() if with_certificate else None,
            certificate_chain=own.certificate.read_bytes() if with_certificate else None,
        )


def secrets_in(folder: Path) -> Secrets:
    """Certificates and tokens of one deployment."""
    authority = certificates.authority(folder)
    tokens = [folder / "inward", folder / "outward"]
    for token in tokens:
        token.write_text(f"token-{token.name}")
    return Secrets(authority, authority.issue("collector"), authority.issue("application"), *tokens)


def loopback_addresses(collector: Collector) -> dict[str, Any]:
    """The production layer listens on the well-known ports; tests run beside others."""
    reader = {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": collector.metrics}}}}
    return {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{collector.grpc}"},
                    "http": {"endpoint": f"127.0.0.1:{collector.http}"},
                }
            }
        },
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{collector.health}"}},
        "service": {"telemetry": {"metrics": {"readers": [reader]}}},
    }
