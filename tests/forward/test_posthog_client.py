"""The fake of PostHog takes what the vendor's own client sends, so what it takes from us PostHog would take too."""

import subprocess

import pytest

from tests.forward.posthog import KEY, running
from tests.instrumentation.older_sdks import Older, environment_for

CLIENT = Older(release="posthog==7.91.1", module="")
CAPTURE = """
import sys
from posthog import Posthog
client = Posthog(sys.argv[2], host=sys.argv[1], gzip=True, sync_mode=True)
client.capture("$ai_generation", distinct_id="ann", properties={"$ai_span_id": "s", "$ai_total_cost_usd": 0.25})
client.shutdown()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("key", "taken"), [(KEY, 1), ("phc_another", 0)])
def test_the_fake_takes_what_the_vendors_client_sends(key: str, taken: int) -> None:
    """By the same path, gzipped, with an id, a name, a person and properties; another project's key is refused."""
    with running() as posthog:
        command = [str(environment_for(CLIENT)), "-c", CAPTURE, posthog.url, key]
        subprocess.run(command, check=False, capture_output=True, timeout=120)
        assert posthog.request_count >= 1
        assert [(each["event"], each["distinct_id"]) for each in posthog.events] == [("$ai_generation", "ann")] * taken
