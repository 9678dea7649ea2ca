"""Whose a message is."""

from typing import Any

import pytest

from cost_exporter.errors import PermissionDenied, SettingsError, Unauthenticated
from cost_exporter.receive.kafka.topics import Topics, topics_of
from cost_exporter.settings import Config, KafkaTopic, Settings
from cost_exporter.store.token_directory import anyone

NAMED = KafkaTopic(topic="named", namespace="acme")
RELAY = KafkaTopic(topic="relay", trust_header=True)
BOTH = KafkaTopic(topic="both", namespace="acme", trust_header=True)
OPEN = KafkaTopic(topic="open")
HEADER = ("X-Callfare-Tenant", b"globex")


def closed(token: str | None) -> None:
    raise Unauthenticated("a token is needed")


def topics(authenticate: Any = anyone) -> Topics:
    return Topics([NAMED, RELAY, BOTH, OPEN], authenticate)


@pytest.mark.parametrize(
    ("topic", "headers", "namespace", "is_trusted"),
    [
        ("named", [], "acme", False),
        ("named", [HEADER], "acme", False),
        ("relay", [HEADER], "globex", False),
        ("both", [HEADER], "globex", False),
        ("both", [], "acme", False),
        ("both", [("x-callfare-tenant", b"")], "acme", False),
        ("open", [], "default", True),
        ("open", [HEADER], "default", True),
    ],
)
def test_the_topic_says_whose_and_a_header_only_where_it_is_trusted(
    topic: str, headers: list[tuple[str, bytes]], namespace: str, is_trusted: bool
) -> None:
    sender = topics().sender(topic, headers)
    assert (sender.namespace, sender.tenant_is_trusted) == (namespace, is_trusted)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HEADER, ("x-callfare-tenant", b"other")],
        [("x-callfare-tenant", b"\xff\x00")],
        [("x-callfare-tenant", b"a" * 300)],
    ],
)
def test_a_message_whose_header_says_nothing_clear_is_nobodys(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(PermissionDenied):
        topics().sender("relay", headers)
    assert topics().fallback("relay").namespace == "default"
    assert topics().fallback("both").namespace == "acme"


def test_a_topic_of_nobody_is_refused_where_tokens_were_ever_used() -> None:
    """Else whoever may write to it could name any tenant."""
    topics().require_owners()
    with pytest.raises(SettingsError, match=r"topic open has no tenant.*kafka_topics"):
        topics(closed).require_owners()
    Topics([NAMED, RELAY, BOTH], closed).require_owners()


def test_topics_stand_in_one_place() -> None:
    assert [each.topic for each in topics_of(Settings(), Config())] == ["otlp_spans"]
    assert [each.topic for each in topics_of(Settings(kafka_topic="mine"), Config())] == ["mine"]
    config = Config(kafka_topics=(NAMED,))
    assert topics_of(Settings(), config) == (NAMED,)
    with pytest.raises(SettingsError, match="CALLFARE_KAFKA_TOPIC"):
        topics_of(Settings(kafka_topic="mine"), config)
