"""docs/how-to/litellm-proxy.md against spans that LiteLLM 1.108 sent in the set-ups it compares."""

from collections.abc import Mapping

import pytest
import yaml

from cost_exporter.domain.span import Call
from tests.examples.documents import HOW_TO, blocks
from tests.fixtures import otlp_json
from tests.read.test_corpus import calls

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
