"""docs/how-to/litellm-proxy.md: with the real proxy, and against spans that LiteLLM 1.108 sent in other set-ups."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from cost_exporter.domain.span import Call
from tests.examples.conftest import Books
from tests.examples.documents import HOW_TO, blocks, check_output
from tests.examples.frameworks import python_with
from tests.examples.shell import Shell
from tests.examples.test_recipes import CHAT_USD
from tests.fixtures import otlp_json
from tests.instrumentation.older_sdks import Older
from tests.read.test_corpus import calls
from tests.support.ports import free_ports
from tests.support.stored import running_service

PROXY = Older(release="litellm[proxy]==1.108.7", module="", extra=("opentelemetry-exporter-otlp",))
TEXT = (HOW_TO / "litellm-proxy.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def by_id() -> Mapping[str, Call]:
    (path,) = [path for path in otlp_json.recorded_files("foreign") if path.stem == "gateways"]
    return {call.call_id.removeprefix("response:"): call for call in calls(path) if call.call_id}


def test_the_configuration_is_what_the_proxy_reads() -> None:
    """A public name that is no model of the provider, and the callback that sends spans, without content."""
    configuration = yaml.safe_load(blocks("litellm-proxy")["file"])
    (model,) = configuration["model_list"]
    assert model["model_name"] != model["litellm_params"]["model"].rpartition("/")[2]
    assert configuration["litellm_settings"] == {"callbacks": ["otel"], "turn_off_message_logging": True}
    assert "OTEL_EXPORTER=otlp_http OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318" in TEXT


def test_the_recommended_set_up_reports_the_model_behind_the_name(by_id: Mapping[str, Call]) -> None:
    """With the usage in parts, and LiteLLM's cost beside."""
    assert "| request span (recommended) | `USE_OTEL_LITELLM_REQUEST_SPAN=true` |" in TEXT
    found = by_id["chatcmpl-p01"]
    assert (found.usage.model, found.reported_cost_usd is None) == ("gpt-4.1-nano", False)
    assert {"cache_read_tokens", "reasoning_tokens"} <= set(found.usage.quantities)


def test_the_default_set_up_loses_whose_call_it_was(by_id: Mapping[str, Call]) -> None:
    """The raw request has the provider's answer, and neither alias nor user nor cost."""
    assert "no API key's alias, no user and no cost" in TEXT
    found = by_id["chatcmpl-p04"]
    assert found.usage.quantities["cache_read_tokens"]
    attribution = found.attribution
    assert (attribution.api_key, attribution.user, found.reported_cost_usd) == (None, None, None)


def test_the_second_version_loses_parts_of_the_output(by_id: Mapping[str, Call]) -> None:
    """The key's alias and the end user are on the span."""
    assert "| second version | `LITELLM_OTEL_V2=true` | reasoning, audio and image tokens;" in TEXT
    found = by_id["chatcmpl-p09"]
    assert (found.attribution.api_key, found.attribution.user) == ("alpha-key", "cust-7")
    assert "reasoning_tokens" not in found.usage.quantities


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_proxy_itself(tmp_path: Path, books: Books, operator: Shell, vendor: dict[str, str]) -> None:
    """The real proxy with the page's configuration: the record has the provider's model, the report is the page's."""
    page = blocks("litellm-proxy")
    (port,) = free_ports(1)
    (tmp_path / "config.yaml").write_text(page["file"], encoding="utf-8")
    with running_service(books.url) as addresses:
        moved = {
            "127.0.0.1:4318": str(addresses["http"]),
            "127.0.0.1:4000": f"127.0.0.1:{port}",
            "--config config.yaml": f"--port {port} --config {tmp_path}/config.yaml",
        }
        given = {**vendor, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # it would fetch a list otherwise
        terminal = Shell(tmp_path, given, moved, python_with(PROXY))
        with terminal.background(page["web proxy"], until="Uvicorn running"):
            assert "Your order leaves today." in terminal.run(page["app ask"])
            found = books.costs(columns="provider, model, status, cost_usd")
    assert found == [("openai", "gpt-4o-mini", "priced", CHAT_USD)]
    check_output("litellm-proxy", operator.run(page["verify"]))
