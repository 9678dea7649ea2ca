"""docs/tutorial.md, run from its first step to its last in one terminal of the operator and one of the application."""

import pytest

from tests.examples.conftest import Books, Ports
from tests.examples.documents import blocks, check_output
from tests.examples.shell import Shell
from tests.examples.test_recipes import ANSWER, CHAT_USD

pytestmark = pytest.mark.slow

TUTORIAL = "../tutorial"


def test_the_tutorial(service, operator: Shell, application: Shell, books: Books, ports: Ports) -> None:
    """Each step does what the page says, and prints what it shows."""
    page = blocks(TUTORIAL)
    del operator.variables["CALLFARE_PROCESSES"]
    operator.moved["127.0.0.1:4319"] = f"127.0.0.1:{ports.web}"
    service(page["service"])
    assert application.run(page["app call"]) == ANSWER
    assert books.costs() == [("acme", "priced", CHAT_USD)]
    for step in ("report", "trace", "price", "rerate", "refused", "sound"):
        if step == "refused":
            assert "acme-day" in operator.run(page["verify budget"])
        check_output(TUTORIAL, operator.run(page[f"verify {step}"]), f"output {step}")
    closed = operator.run(page["verify close"])
    assert "is closed for every tenant: $0" in closed
    assert "tenant_id,model,cost_usd" in closed
