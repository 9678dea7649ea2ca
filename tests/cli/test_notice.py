"""Two instrumentations of one service that describe the same calls are named once, with the mend."""

import logging

import pytest

from cost_exporter.cli.notice import CollisionNotice
from cost_exporter.domain.facts import Facts, Receipt
from tests.domain.builders import call

TRACELOOP = "opentelemetry.instrumentation.openai.v1"
OFFICIAL = "opentelemetry.instrumentation.genai.openai"


def facts(*scopes: str, service: str = "agent") -> Facts:
    calls = [call(str(i), scope=scope, service_name=service) for i, scope in enumerate(scopes)]
    return Facts(namespace="default", received_at_unix_ns=0, calls=calls)


def test_a_collision_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the two arrive in different requests; a second service is another notice."""
    seen: list[Receipt] = []
    notice = CollisionNotice(lambda _, receipt: seen.append(receipt))
    with caplog.at_level(logging.WARNING):
        for request in (facts(TRACELOOP), facts(OFFICIAL), facts(TRACELOOP, OFFICIAL), facts(OFFICIAL)):
            notice(request, Receipt())
        assert len(caplog.records) == 1
        notice(facts(TRACELOOP, OFFICIAL, service="other"), Receipt())
    assert len(caplog.records) == 2
    assert "agent: " in caplog.text
    assert "describe the same openai calls" in caplog.text
    assert len(seen) == 5


def test_one_instrumentation_is_no_collision(caplog: pytest.LogCaptureFixture) -> None:
    """Two services with one instrumentation each have nothing in common."""
    notice = CollisionNotice(lambda *_: None)
    notice(facts(TRACELOOP, service="a"), Receipt())
    notice(facts(OFFICIAL, service="b"), Receipt())
    assert not caplog.records
