"""Whose spans a message holds: what the configuration says of its topic, and a header only where it is trusted.

Who may write to a topic is decided by the brokers. So a topic is like a token: its `namespace` is the tenant, whatever
the spans state. A topic without one is like a sender without a token: allowed only where tokens were never used.
"""

from collections.abc import Sequence
from typing import Final

from cost_exporter.errors import PermissionDenied, SettingsError, Unauthenticated
from cost_exporter.receive.auth import TENANT_HEADER, sender_of, stated_tenant
from cost_exporter.receive.decoding.decode import SenderIdentity
from cost_exporter.settings import Config, KafkaTopic, Settings
from cost_exporter.store.token_directory import Authenticate

__all__ = ["Headers", "Topics", "topics_of"]

Headers = Sequence[tuple[str, str | bytes | None]]
_DEFAULT_TOPIC: Final = "otlp_spans"


def topics_of(settings: Settings, config: Config) -> tuple[KafkaTopic, ...]:
    """Return the topics to read. Raises `SettingsError` where two places name them."""
    if not config.kafka_topics:
        return (KafkaTopic(topic=settings.kafka_topic or _DEFAULT_TOPIC),)
    if settings.kafka_topic is not None:
        raise SettingsError(
            "CALLFARE_KAFKA_TOPIC has no effect beside kafka_topics of CALLFARE_CONFIG; remove one of them"
        )
    return config.kafka_topics


class Topics:
    """Names the sender of a message."""

    def __init__(self, topics: Sequence[KafkaTopic], authenticate: Authenticate) -> None:
        self._topics = {each.topic: each for each in topics}
        self._authenticate = authenticate

    @property
    def names(self) -> list[str]:
        """The topics to read."""
        return list(self._topics)

    def require_owners(self) -> None:
        """Raise `SettingsError` where a topic says of nobody whose spans it holds, and tokens say it elsewhere.

        Raises `StoreUnavailable` where that cannot be found out now.
        """
        open_topic = next((each for each in self._topics.values() if not (each.namespace or each.trust_header)), None)
        if open_topic is None:
            return
        try:
            sender_of(self._authenticate, (), None)
        except Unauthenticated:
            raise SettingsError(
                f"topic {open_topic.topic} has no tenant, and this database has tokens; "
                "give it a namespace under kafka_topics in CALLFARE_CONFIG"
            ) from None

    def sender(self, topic: str, headers: Headers) -> SenderIdentity:
        """Return the sender of a message. Raises `PermissionDenied` where a header should name it and does not."""
        rule = self._topics[topic]
        stated = _stated(headers) if rule.trust_header else None
        namespace = stated or rule.namespace
        if namespace is not None:
            return SenderIdentity(namespace=namespace, tenant_is_trusted=False, credential=topic)
        if rule.trust_header:
            raise PermissionDenied(f"no header {TENANT_HEADER} says whose it is")
        return SenderIdentity(credential=topic)

    def fallback(self, topic: str) -> SenderIdentity:
        """Return in whose name a message that names nobody is put among the dead letters."""
        namespace = self._topics[topic].namespace
        return SenderIdentity() if namespace is None else SenderIdentity(namespace=namespace, tenant_is_trusted=False)


def _stated(headers: Headers) -> str | None:
    stated = {text for name, text in headers if name.lower() == TENANT_HEADER and text}
    if not stated:
        return None
    if len(stated) > 1:
        raise PermissionDenied(f"several headers {TENANT_HEADER} say whose it is")
    (text,) = stated
    return stated_tenant(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
