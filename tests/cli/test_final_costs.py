"""The service tells Prometheus what each workflow cost, once it is final."""

import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cost_exporter.settings import Address
from tests.support.stored import CHAT_COST_USD, EMBEDDING_COST_USD, filling, running_service, send
from tests.support.waiting import wait_until


def samples(web: Address, family: str) -> dict[tuple[str, str], float]:
    """The samples of a family, by name and tenant."""
    with urllib.request.urlopen(f"http://{web}/metrics") as answer:
        text = answer.read().decode()
    return {
        (sample.name, sample.labels["tenant"]): sample.value
        for each in text_string_to_metric_families(text)
        if each.name == family
        for sample in each.samples
        if "le" not in sample.labels
    }


@pytest.mark.parametrize("processes", [1, 2])
def test_each_final_workflow_is_observed_once(database_url: str, processes: int) -> None:
    """Sent again, and ingested by several workers: one observation a workflow, of the known part of its cost."""
    with running_service(database_url, processes=processes, finalise_after=0.2) as addresses:
        request = filling(time.time_ns())
        for _ in range(2):
            send(addresses["grpc"], request)
        family = "callfare_workflow_cost_usd"
        both = {(f"{family}_count", tenant) for tenant in ("acme", "beta")}
        wait_until("both workflows are final", lambda: both <= samples(addresses["web"], family).keys())
        send(addresses["grpc"], request)
        found = samples(addresses["web"], family)
        assert (found[f"{family}_count", "acme"], found[f"{family}_sum", "acme"]) == (1, float(CHAT_COST_USD))
        assert (found[f"{family}_count", "beta"], found[f"{family}_sum", "beta"]) == (1, float(EMBEDDING_COST_USD))
        unpriced = samples(addresses["web"], "callfare_workflow_unpriced")
        assert unpriced["callfare_workflow_unpriced_total", "acme"] == 1
