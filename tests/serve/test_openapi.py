"""The API does what its description says: schemathesis sends what the description allows, and what it forbids.

It takes a second to import, so the tests that use it import it, and not each process that collects them.
"""

import os
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from starlette.testclient import TestClient

from tests.support.stored import SUPPORT_CALL

EXAMPLES = 50 if os.environ.get("CALLFARE_FULL") == "1" else 12


@pytest.fixture(scope="module")
def checks() -> list[Callable[..., Any]]:
    """What every answer must pass."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    return [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ]


@pytest.mark.slow
def test_every_answer_is_as_described(web: TestClient, checks: list[Callable[..., Any]]) -> None:
    """Nothing that can be sent ends in a 500, in a status that is not described or in a body of another shape.

    Every parameter is any text to the description, so what is sent includes what cannot be read.
    """
    import schemathesis

    schema = schemathesis.openapi.from_asgi("/openapi.json", web.app)
    statuses: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(max_examples=EXAMPLES)
        @hypothesis.given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            answered = case.call_and_validate(checks=checks)
            statuses.setdefault(case.operation.path, set()).add(answered.status_code)

        holds()
    assert statuses.keys() == web.get("/openapi.json").json()["paths"].keys()
    assert statuses["/v1/costs"] >= {200, 400}


def test_a_description_that_is_wrong_is_found(web: TestClient, checks: list[Callable[..., Any]]) -> None:
    """The check above can fail: an answer without a promised field is one."""
    import schemathesis
    from schemathesis.core.failures import FailureGroup

    description = web.get("/openapi.json").json()
    description["components"]["schemas"]["UsageStats"]["required"].append("no_such_field")
    planted = schemathesis.openapi.from_dict(description)
    planted.app = web.app
    operation = planted["/v1/usage-stats/{trace_id}"]["GET"]
    case = operation.Case(path_parameters={"trace_id": SUPPORT_CALL.hex()})
    with pytest.raises(FailureGroup, match="no_such_field"):
        case.call_and_validate(checks=checks)


def test_every_parameter_and_answer_has_an_example_or_a_description(web: TestClient) -> None:
    """A reader of /docs is not left to guess."""
    description = web.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    assert parameter["description"], (path, parameter["name"])
