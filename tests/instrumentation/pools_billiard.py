"""Pools of billiard, which Celery's workers are. Run by test_older_sdks.py, as nothing else here needs billiard."""

from pathlib import Path

import pytest

from callfare import attributes as names
from tests.instrumentation.fakes.otlp import OtlpFake
from tests.instrumentation.instrumented_app import run

SCRIPT = """
import billiard, callfare
def call(label):
    callfare.record_usage("retrieval", "pinecone", label, read_units=1)
if __name__ == '__main__':
    call('parent')
    pool = billiard.get_context('METHOD').Pool(2, maxtasksperchild=MAX)
    pool.map(call, ['child'] * 8, chunksize=1)
    pool.END()
    pool.join()
"""
ENDS = {
    "closed": ("fork", "None", "close"),
    "terminated": ("fork", "None", "terminate"),
    "used up": ("fork", "3", "close"),
    "spawned": ("spawn", "None", "close"),
}


@pytest.mark.parametrize("way", ENDS)
def test_no_finished_span_of_a_pool_is_lost(tmp_path: Path, way: str) -> None:
    """Its workers leave by `os._exit`, past every finalizer and exit handler."""
    method, tasks_max, end = ENDS[way]
    script = SCRIPT.replace("METHOD", method).replace("MAX", tasks_max).replace("END", end)
    with OtlpFake() as receiver:
        finished = run(script, tmp_path, receiver.url)
    assert finished.returncode == 0, finished.stderr
    found = [attributes for name in ("parent", "child") for attributes in receiver.named(f"retrieval {name}")]
    assert len(found) == 1 + 8
    assert len({(each[names.PRODUCER_ID], each[names.PRODUCER_SEQUENCE]) for each in found}) == 1 + 8
