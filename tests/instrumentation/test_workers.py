"""Under the real `opentelemetry-instrument`: a worker outlives its first task, and each task is on its own account."""

from collections.abc import Iterator

import pytest

from callfare import attributes as names
from tests.instrumentation.fakes.otlp import OtlpFake
from tests.instrumentation.instrumented_app import run

CALL = """
import multiprocessing, multiprocessing.pool
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import callfare
def call(label):
    callfare.record_usage("retrieval", "pinecone", label, read_units=1)
"""
POOLS = {
    "threads": "ThreadPoolExecutor(1)",
    "thread pool": "multiprocessing.pool.ThreadPool(1)",
    "forked": "ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('fork'))",
    "spawned": "ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn'))",
    "pool": "multiprocessing.get_context('fork').Pool(1)",
}
TASKS = """
if __name__ == '__main__':
    with callfare.workflow('first', tenant='acme'):
        pool = POOL
        submit = getattr(pool, 'submit', None) or (lambda *task: pool.apply_async(task[0], task[1:]))
        wait = lambda task: getattr(task, 'result', None) or task.get
        task = submit(call, 'first'); wait(task)()
    task = submit(call, 'nobody'); wait(task)()
    with callfare.workflow('second', tenant='globex'):
        task = submit(call, 'second'); wait(task)()
        list(pool.map(call, ['mapped']))
        if hasattr(pool, 'imap'):
            list(pool.imap(call, ['one by one'])); list(pool.imap_unordered(call, ['in any order'], chunksize=2))
    if hasattr(pool, 'shutdown'): pool.shutdown()
    else: pool.close(); pool.join()
"""


@pytest.fixture
def receiver() -> Iterator[OtlpFake]:
    with OtlpFake() as server:
        yield server


def accounts(receiver: OtlpFake) -> dict[str, tuple[str | None, str | None]]:
    """Tenant and workflow by the label of each call; the workflow is the one whose trace it is in."""
    workflows = {span.trace_id: span.name for span in receiver.spans if span.name.startswith("workflow")}
    found: dict[str, tuple[str | None, str | None]] = {}
    for span in receiver.spans:
        if span.name.startswith("retrieval"):
            (attributes,) = receiver.named(span.name)
            found[span.name.partition(" ")[2]] = (attributes.get(names.TENANT_ID), workflows.get(span.trace_id))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_a_task_is_on_the_account_of_whoever_hands_it_in(receiver, tmp_path, pool) -> None:
    """Not on that of the task for which its worker was once started or forked, nor on nobody's."""
    finished = run(CALL + TASKS.replace("POOL", POOLS[pool]), tmp_path, receiver.url)
    assert finished.returncode == 0, finished.stderr
    found = accounts(receiver)
    assert found.pop("first") == ("acme", "workflow first")
    assert found.pop("nobody") == (None, None)
    assert len(found) == (4 if "pool" in pool else 2)
    assert set(found.values()) == {("globex", "workflow second")}


PROCESS = """
if __name__ == '__main__':
    with callfare.workflow('first', tenant='acme'):
        process = multiprocessing.get_context('METHOD').Process(target=call, args=('child',))
        process.start(); process.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_works_for_the_workflow_that_starts_it(receiver, tmp_path, method) -> None:
    """However it comes about."""
    finished = run(CALL + PROCESS.replace("METHOD", method), tmp_path, receiver.url)
    assert finished.returncode == 0, finished.stderr
    assert accounts(receiver) == {"child": ("acme", "workflow first")}


@pytest.mark.slow
def test_what_cannot_be_pickled_is_the_error_it_was(receiver, tmp_path) -> None:
    """The function is named in it, not a wrapper of ours."""
    script = """
if __name__ == '__main__':
    with ProcessPoolExecutor(1) as pool:
        try: pool.submit(lambda: None).result()
        except Exception as error: print(type(error).__name__, '<lambda>' in str(error))
"""
    assert run(CALL + script, tmp_path, receiver.url).stdout == "PicklingError True\n"
