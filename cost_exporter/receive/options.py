"""From the settings of the service to what ingest needs of them."""

from cost_exporter.receive.intake import IngestOptions
from cost_exporter.settings import Config, Settings

__all__ = ["ingest_options"]


def ingest_options(settings: Settings, config: Config, database_url: str) -> IngestOptions:
    """Return what ingest needs. The database is named by the caller: an embedded one is in no setting."""
    return IngestOptions(
        database_url=database_url,
        prices=settings.prices,
        is_forwarding=settings.forward_endpoint is not None,
        forwards_content=settings.forward_content,
        estimates_usage=settings.estimate_usage,
        trusted_cost_sources=config.trusted_cost_sources,
    )
