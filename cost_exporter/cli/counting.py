"""What ingest stored, counted for the metrics and looked through for collisions, in the service and in a consumer."""

from cost_exporter.cli.notice import CollisionNotice
from cost_exporter.receive.observed import Observed
from cost_exporter.serve.metrics import ServiceMetrics

__all__ = ["CountingObserver"]


class CountingObserver:
    """Counts what ingest stored, in this process or a worker, and checks it for collisions."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        self._metrics = metrics
        self._notice = CollisionNotice()
        self.committed = metrics.committed

    def stored(self, observed: Observed) -> None:
        self._metrics.stored(observed.receipt, tenant_claims_ignored_count=observed.tenant_claims_ignored_count)
        self._metrics.not_understood(unread_count=observed.unread_count, look_alike_count=observed.look_alike_count)
        self._notice(observed.new_scopes)
