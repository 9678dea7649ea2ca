"""Two instrumentations of one service that describe the same calls are named once, with the mend."""

import logging

import pytest

from cost_exporter.cli.notice import CollisionNotice

TRACELOOP = "opentelemetry.instrumentation.openai.v1"
OFFICIAL = "opentelemetry.instrumentation.genai.openai"


def test_a_collision_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the two are told of by different processes; a second service is another notice."""
    notice = CollisionNotice()
    with caplog.at_level(logging.WARNING):
        for scopes in ((TRACELOOP,), (OFFICIAL,), (TRACELOOP, OFFICIAL), (OFFICIAL,)):
            notice([("agent", scope) for scope in scopes])
        assert len(caplog.records) == 1
        notice([("other", TRACELOOP), ("other", OFFICIAL)])
    assert len(caplog.records) == 2
    assert "agent: " in caplog.text
    assert "describe the same openai calls" in caplog.text


def test_one_instrumentation_is_no_collision(caplog: pytest.LogCaptureFixture) -> None:
    """Two services with one instrumentation each have nothing in common."""
    notice = CollisionNotice()
    notice([("a", TRACELOOP), ("b", OFFICIAL)])
    assert not caplog.records


def test_what_arrives_together_is_looked_at_together(caplog: pytest.LogCaptureFixture) -> None:
    """Three of one request make one notice: the advice on two of them would turn off the third as well."""
    CollisionNotice()([("agent", scope) for scope in (TRACELOOP, "openlit.instrumentation.openai", OFFICIAL)])
    (record,) = caplog.records
    assert "pip uninstall" in record.getMessage()
