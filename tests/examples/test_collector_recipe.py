"""docs/how-to/collector.md as it is written: application, Collector, callfare and Jaeger, all real."""

import json
from contextlib import ExitStack

from tests.end_to_end.binaries import binary, needs_go
from tests.examples.documents import blocks
from tests.examples.test_recipes import ANSWER, CHAT_USD
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = needs_go
AN_ARCHIVED_REQUEST = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "0af7651916cd43dd8448eb211c80319c",
                            "spanId": "b7ad6b7169203331",
                            "name": "chat",
                            "startTimeUnixNano": "1794700800000000000",
                            "endTimeUnixNano": "1794700801000000000",
                            "attributes": [
                                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                                {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o-mini"}},
                                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "10"}},
                                {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "10"}},
                            ],
                        }
                    ]
                }
            ]
        }
    ]
}


def test_through_the_collector(operator, application, books) -> None:
    """The record has the right cost, and Jaeger finds the trace by what it cost."""
    recipe = blocks("collector")
    for program in ("otelcol", "jaeger"):
        binary(program)  # built, or the test is skipped with the reason
    grpc, http, enriched, health, metrics, cost, cost_http, jaeger, query, jaeger_health, jaeger_metrics = free_ports(
        11
    )
    operator.moved |= {
        "127.0.0.1:4327": f"127.0.0.1:{cost}",
        "127.0.0.1:4328": f"127.0.0.1:{cost_http}",
        "127.0.0.1:4337": f"127.0.0.1:{enriched}",
        "127.0.0.1:13133": f"127.0.0.1:{health}",
        "127.0.0.1:16686": f"127.0.0.1:{query}",
    }
    operator.variables |= {
        "CALLFARE_BINARY_CACHE": str(binary("otelcol").parent),
        "CALLFARE_COLLECTOR_GRPC_PORT": str(grpc),
        "CALLFARE_COLLECTOR_HTTP_PORT": str(http),
        "CALLFARE_COLLECTOR_ENRICHED_PORT": str(enriched),
        "CALLFARE_COLLECTOR_HEALTH_PORT": str(health),
        "CALLFARE_COLLECTOR_METRICS_PORT": str(metrics),
        "CALLFARE_COLLECTOR_QUEUE_DIR": str(operator.folder / "queue"),
        "CALLFARE_COST_ENDPOINT": f"127.0.0.1:{cost}",
        "CALLFARE_JAEGER_ENDPOINT": f"127.0.0.1:{jaeger}",
        "CALLFARE_JAEGER_OTLP_PORT": str(jaeger),
        "CALLFARE_JAEGER_QUERY_PORT": str(query),
        "CALLFARE_JAEGER_HEALTH_PORT": str(jaeger_health),
        "CALLFARE_JAEGER_METRICS_PORT": str(jaeger_metrics),
        "NO_PROXY": "127.0.0.1",
    }
    application.moved["127.0.0.1:4317"] = f"127.0.0.1:{grpc}"
    with ExitStack() as running:
        for name, until in (
            ("callfare", r"(?m)^database "),
            ("jaeger", "Everything is ready"),
            ("collector", "Everything is ready"),
        ):
            running.enter_context(operator.background(recipe[f"service {name}"], until=until))
        assert application.run(recipe["app"]) == ANSWER
        assert books.costs() == [("acme", "priced", CHAT_USD)]

        def verified() -> list[str]:
            lines = operator.run(recipe["verify"]).splitlines()
            return lines if json.loads(lines[-1])["data"] else []

        lines = wait_until("the trace in Jaeger", verified)
        assert str(float(CHAT_USD)) in operator.run(recipe["verify tag"])
        archive = operator.folder / "archive"
        archive.mkdir()
        (archive / "spans-1.jsonl").write_text(f"{json.dumps(AN_ARCHIVED_REQUEST)}\n" * 2, encoding="utf-8")
        operator.moved["/var/lib/otelcol/archive"] = str(archive)
        operator.run(recipe["app replay"])
        assert len(books.costs(2)) == 2  # the second line is the first again
    assert "Server available" in lines[0]
    assert any(line.endswith(f"total ${CHAT_USD.normalize()}") for line in lines)
    (span,) = json.loads(lines[-1])["data"][0]["spans"]
    assert {tag["key"]: tag["value"] for tag in span["tags"]}["gen_ai.usage.cost.amount"] == float(CHAT_USD)
