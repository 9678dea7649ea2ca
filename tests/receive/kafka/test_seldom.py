"""A library that logs every attempt does not fill the log."""

import logging

from cost_exporter.receive.kafka.seldom import QUIET_SECONDS, Seldom


def test_one_line_of_a_kind_in_a_while(caplog) -> None:
    """The first at once, later ones with how many they stand for; another kind is not held up."""
    now_seconds = 100.0
    log = logging.getLogger("tests.seldom")
    seldom = Seldom(lambda: now_seconds)
    log.addFilter(seldom)
    try:
        for _ in range(20):
            log.error("%s [%s] %s", "FAIL", "client", "connection refused")
        log.error("ERROR all brokers are down")
        now_seconds += QUIET_SECONDS
        log.error("FAIL [client] connection refused")
    finally:
        log.removeFilter(seldom)
    assert caplog.messages == [
        "FAIL [client] connection refused",
        "ERROR all brokers are down",
        "FAIL [client] connection refused (and 19 like it before)",
    ]
