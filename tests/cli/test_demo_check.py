from typing import Any

import pytest

from cost_exporter.cli.demo_app.vendors import FakeVendors
from cost_exporter.cli.demo_check import compared, difference_of


@pytest.fixture
def vendors() -> FakeVendors:
    """Fakes that received 100 characters of speech, and nothing else."""
    vendors = FakeVendors()
    vendors.elevenlabs.characters, vendors.elevenlabs.request_count = 100, 1
    return vendors


def speech(**changed: Any) -> dict[str, Any]:
    return {"provider": "elevenlabs", "status": "priced", "usage": {"characters": 100}, **changed}


def differences(records: list[dict[str, Any]], vendors: FakeVendors) -> list[str]:
    return [text for text in map(difference_of, compared(records, vendors)) if text]


def test_equal_figures_have_no_difference(vendors: FakeVendors) -> None:
    """What was received is what is recorded; a duplicate is the same call again."""
    assert differences([speech(), speech(status="duplicate")], vendors) == []


def test_lost_and_doubled_calls_are_named(vendors: FakeVendors) -> None:
    """Too little and too much both show, with both figures."""
    assert differences([], vendors) == [
        "elevenlabs requests 1 received, 0 recorded",
        "elevenlabs characters 100 received, 0 recorded",
    ]
    assert "elevenlabs characters 100 received, 200 recorded" in differences([speech(), speech()], vendors)


def test_a_wrong_quantity_is_named(vendors: FakeVendors) -> None:
    """One character less than the vendor received is a difference."""
    assert differences([speech(usage={"characters": 99})], vendors) == [
        "elevenlabs characters 100 received, 99 recorded"
    ]
