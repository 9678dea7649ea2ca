"""docs/how-to/budgets.md: of three sentences the third one does not fit, and never arrives."""

import pytest

from tests.examples.documents import blocks, check_output
from tests.instrumentation.fakes.openai import OpenAIFake

pytestmark = pytest.mark.slow


def test_budgets(application) -> None:
    """The vendor hears two sentences, and the program prints what the document shows."""
    with OpenAIFake() as fake:
        application.variables["OPENAI_BASE_URL"] = f"{fake.url}/v1"
        check_output("budgets", application.run(blocks("budgets")["app budget"]))
        assert fake.request_count == 2
        assert fake.characters == 24 + 23
