"""Unmodified agents of the real frameworks: every figure equals the vendor's count, or says that it is not known.

A call takes a minute, so the ordinary tests make a few that differ in everything. `make calls` makes them all:
CALLFARE_CALLS=all.
"""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from tests.calls.cells import FRAMEWORKS, Cell, Outcome, problems, run
from tests.instrumentation.older_sdks import environment_for
from tests.support.stored import as_url, running_service

SOME = (
    Cell(framework="pipecat", tracing=True, openinference=True, traceloop=True),
    Cell(framework="pipecat", vendors=False, cartesia=True, sigterm=True),
    Cell(framework="livekit", traceloop=True, sigterm=True),
)
SWITCHES = ("vendors", "tracing", "openinference", "traceloop", "sigterm")


def matrix() -> list[Cell]:
    """LiveKit's tracing is always on, and OpenInference has nothing for it."""
    pipecat = [
        Cell(framework="pipecat", **dict(zip(SWITCHES, each, strict=True)))
        for each in itertools.product((True, False), repeat=len(SWITCHES))
    ]
    livekit = [
        Cell(framework="livekit", vendors=vendors, traceloop=traceloop, sigterm=sigterm)
        for vendors, traceloop, sigterm in itertools.product((True, False), repeat=3)
    ]
    others = [Cell(framework=framework, cartesia=True) for framework in FRAMEWORKS]
    alone = Cell(framework="pipecat", openinference=True, traceloop=True, ours=False)
    return [*SOME, *(each for each in [*pipecat, *livekit, *others, alone] if each not in SOME)]


CELLS = matrix() if os.environ.get("CALLFARE_CALLS") == "all" else SOME


@pytest.mark.slow
@pytest.mark.timeout(2400)  # a framework may have to be installed first
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_call_is_one_workflow_with_one_right_bill(cell: Cell, tmp_path: Path, database_url: str) -> None:
    """Whatever watches it beside callfare, and however it ends."""
    try:
        environment_for(FRAMEWORKS[cell.framework])
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{cell.framework} cannot be installed here: {type(error).__name__}")
    url = as_url(database_url)
    with running_service(url) as addresses:
        outcome = run(cell, tmp_path, f"http://127.0.0.1:{addresses['http'].port}", url)
    assert problems(cell, outcome) == [], outcome.records


def stored(operation: str, status: str, **usage: int) -> dict:
    return {"operation": operation, "status": status, "usage": usage, "issues": []}


def test_a_wrong_figure_is_a_problem() -> None:
    """The comparison can fail: a doubled utterance, a lost model call, audio that was not sent, a second workflow."""
    counts = {
        "llm": [{"prompt": 90, "cached": 0, "completion": 9, "finished": True}],
        "elevenlabs": [{"characters": 20}],
        "cartesia": [],
        "deepgram": [{"seconds": 3.0}],
    }
    right = [
        stored("chat", "priced", input_tokens=90, output_tokens=9),
        stored("text_to_speech", "priced", characters=20),
        stored("speech_to_text", "priced", audio_seconds=3),
    ]
    workflow = {"workflow_name": "voice call", "state": "completed"}
    cell = Cell(framework="pipecat")
    assert problems(cell, Outcome(counts=counts, records=right, workflows=[workflow])) == []
    assert problems(cell, Outcome(counts=counts, records=right, workflows=[workflow, workflow])) != []
    for each in right:
        for wrong in ([*right, each], [record for record in right if record is not each]):
            assert problems(cell, Outcome(counts=counts, records=wrong, workflows=[workflow])) != [], wrong
    doubted = [*right, stored("text_to_speech", "estimated", characters=20)]
    assert problems(cell, Outcome(counts=counts, records=doubted, workflows=[workflow])) == []
