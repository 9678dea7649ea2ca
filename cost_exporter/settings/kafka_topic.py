"""The part of the configuration file that says whose spans a Kafka topic holds."""

from pydantic import field_validator

from cost_exporter.settings.config_values import Part

__all__ = ["FOREIGN_TOPIC_NAMES", "KafkaTopic"]

FOREIGN_TOPIC_NAMES = {"name": "topic", "tenant": "namespace", "trusts_header": "trust_header"}
"""Words that other tools use for the same settings."""


class KafkaTopic(Part):
    """A Kafka topic that `callfare consume` reads, and to whom its spans belong."""

    topic: str
    """Name of the topic."""
    namespace: str | None = None
    """Tenant that every span of the topic belongs to, as with this tenant's token. Unset: spans state theirs."""
    trust_header: bool = False
    """Whether the header `x-callfare-tenant` names a message's tenant: only where none but your Collectors write."""

    @field_validator("topic", "namespace")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not (name.strip() == name and name.isprintable() and 0 < len(name) <= 249):  # noqa: PLR2004 - Kafka's limit
            raise ValueError(f"{name!r} is no name; write up to 249 printable characters")
        return name
