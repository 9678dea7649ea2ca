"""Under the real `opentelemetry-instrument`: nothing finished is lost, whatever ends the process or drops the span."""

import signal
from collections.abc import Iterator

import pytest

from callfare import attributes as names
from tests.instrumentation.fakes.cartesia import FakeCartesia
from tests.instrumentation.fakes.deepgram import FakeDeepgram
from tests.instrumentation.fakes.openai import OpenAIFake
from tests.instrumentation.fakes.otlp import OtlpFake, attributes_of
from tests.instrumentation.instrumented_app import run, started
from tests.support.recording import until
from tests.support.waiting import PATIENCE_SECONDS

CALLS = """
import callfare
def calls(label):
    for number in range(200):
        callfare.record_usage("retrieval", "pinecone", label, read_units=1)
"""
NAME = "retrieval"


@pytest.fixture
def receiver() -> Iterator[OtlpFake]:
    with OtlpFake() as server:
        yield server


FORK = """
import os, sys
calls('a')
child = os.fork()
if child == 0:
    calls('b')
    sys.exit(0)
os.waitpid(child, 0)
"""
MULTIPROCESSING = """
import multiprocessing
if __name__ == '__main__':
    child = multiprocessing.get_context('METHOD').Process(target=calls, args=('b',))
    calls('a')
    child.start()
    child.join()
"""
EXECUTOR = """
import concurrent.futures, multiprocessing
if __name__ == '__main__':
    calls('a')
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('METHOD')) as pool:
        pool.submit(calls, 'b').result()
"""
BILLIARD = """
import os, sys
assert 'multiprocessing.util' not in sys.modules
calls('a')
child = os.fork()
if child == 0:  # what billiard's processes do, Celery's
    from multiprocessing import util
    util._finalizer_registry.clear()
    util._run_after_forkers()
    calls('b')
    util._exit_function()
    os._exit(0)
os.waitpid(child, 0)
"""
ENDS = {
    "return": ("calls('a')", 0),
    "sys.exit": ("import sys; calls('a'); sys.exit(3)", 3),
    "exception": ("calls('a'); raise RuntimeError('on purpose')", 1),
    "os.fork": (FORK, 0),
    "multiprocessing fork": (MULTIPROCESSING.replace("METHOD", "fork"), 0),
    "multiprocessing spawn": (MULTIPROCESSING.replace("METHOD", "spawn"), 0),
    "multiprocessing forkserver": (MULTIPROCESSING.replace("METHOD", "forkserver"), 0),
    "executor fork": (EXECUTOR.replace("METHOD", "fork"), 0),
    "executor spawn": (EXECUTOR.replace("METHOD", "spawn"), 0),
    "billiard fork": (BILLIARD, 0),
}


LIKE_OTHERS = {"sys.exit", "multiprocessing fork", "multiprocessing spawn", "multiprocessing forkserver"}
"""An exception exits as `sys.exit` does, and executors start processes by multiprocessing."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.full] if way in LIKE_OTHERS else []) for way in ENDS]
)
def test_no_finished_span_is_lost(receiver, tmp_path, way) -> None:
    """Every call of every process arrives exactly once, numbered without a gap by its producer."""
    script, exit_code = ENDS[way]
    finished = run(CALLS + script, tmp_path, receiver.url)
    assert finished.returncode == exit_code, finished.stderr
    labels = ("a", "b") if any(each in way for each in ("fork", "spawn", "executor")) else ("a",)
    numbers: dict[str, list[int]] = {}
    for label in labels:
        found = receiver.named(f"{NAME} {label}")
        assert len(found) == 200
        for attributes in found:
            numbers.setdefault(attributes[names.PRODUCER_ID], []).append(attributes[names.PRODUCER_SEQUENCE])
    assert len(numbers) == len(labels)
    assert all(sorted(each) == list(range(1, 201)) for each in numbers.values())


@pytest.mark.slow
def test_sigterm_flushes_and_still_kills(receiver, tmp_path) -> None:
    """A process without a handler loses nothing, and its parent sees that SIGTERM ended it."""
    script = "calls('a'); print('ready', flush=True)\nimport time; time.sleep(600)"
    with started(CALLS + script, tmp_path, receiver.url) as process:
        kill(process)
    assert len(receiver.named(f"{NAME} a")) == 200


DEEPGRAM = """
import os, time
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
url, socket_url = os.environ['VENDOR'], os.environ['VENDOR'].replace('http', 'ws', 1)
environment = DeepgramClientEnvironment(base=url, agent=socket_url, production=socket_url, agent_rest=url)
client = DeepgramClient(api_key='k', environment=environment)
with client.listen.v1.connect(model='nova-3', encoding='linear16', sample_rate='16000') as socket:
    for _ in range(5):
        socket.send_media(bytes(3200))
        socket.recv()
    print('ready', flush=True)
    socket.recv()
"""
CARTESIA = """
import asyncio, os
from cartesia import AsyncCartesia
async def main():
    url = os.environ['VENDOR']
    async with AsyncCartesia(api_key='k', base_url=url, websocket_base_url=url.replace('http', 'ws', 1)) as client:
        live = dict(model='ink-whisper', encoding='pcm_s16le', sample_rate=16000)
        async with client.stt.manual_finalize.websocket(**live) as socket:
            for _ in range(5):
                await socket.send_raw(bytes(3200))
            print('ready', flush=True)
            await asyncio.Event().wait()
asyncio.run(main())
"""
SPEECH = """
import openai, os
client = openai.OpenAI(api_key='k', base_url=os.environ['VENDOR'] + '/v1', max_retries=0)
print('ready', flush=True)
client.audio.speech.create(input='Hello, caller.', model='tts-1', voice='alloy')
"""


@pytest.mark.slow
@pytest.mark.parametrize(("vendor", "script"), [(FakeDeepgram, DEEPGRAM), (FakeCartesia, CARTESIA)])
def test_sigterm_records_what_an_open_socket_has_heard(receiver, tmp_path, vendor, script) -> None:
    """Half a second of audio is out when the signal comes, in a thread's loop and in asyncio's: it is on record."""
    with vendor() as fake:
        with started(script, tmp_path, receiver.url, VENDOR=fake.url) as process:
            kill(process)
        (found,) = [attributes_of(span) for span in receiver.spans if span.name.startswith("speech_to_text")]
        until(lambda: fake.audio_bytes == [5 * 3200])
    assert found[names.AUDIO_INPUT_SECONDS] == 0.5
    assert found[names.SESSION_STATE] == "lost"


@pytest.mark.slow
def test_sigterm_records_a_call_under_way(receiver, tmp_path) -> None:
    """The text is at the vendor, the answer is not: what was sent is billed, and says that it was interrupted."""
    with OpenAIFake() as fake:
        fake.never_answers = True
        with started(SPEECH, tmp_path, receiver.url, VENDOR=fake.url) as process:
            until(lambda: fake.characters)
            kill(process)
    (found,) = receiver.named("text_to_speech tts-1")
    assert found[names.INPUT_CHARACTERS] == len("Hello, caller.") == fake.characters
    (reason,) = found[names.FINISH_REASONS].values
    assert reason.string_value == "interrupted"


@pytest.mark.slow
def test_a_forked_child_does_not_end_its_parents_call(receiver, tmp_path) -> None:
    """The call under way is recorded by the process that made it, once, and whole."""
    script = """
import os, sys
import callfare.calls.span, callfare.provider.shutdown
from opentelemetry import trace
sent = {'gen_ai.usage.input_characters': 7}
request = callfare.calls.span.CallRequest(operation='text_to_speech', provider='acme', quantities=sent)
call = callfare.calls.span.open_call(trace.get_tracer('test'), request)
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
call.end()
"""
    finished = run(script, tmp_path, receiver.url)
    assert finished.returncode == 0, finished.stderr
    (found,) = receiver.named("text_to_speech")
    assert found[names.INPUT_CHARACTERS] == 7
    assert names.FINISH_REASONS not in found


def kill(process) -> None:
    """SIGTERM once the script is ready; it dies of it."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGTERM, errors


HELD = """
import os, signal, threading
import callfare.calls.span
from opentelemetry import trace
calls('a')
sent = {'gen_ai.usage.input_characters': 7}
request = callfare.calls.span.CallRequest(operation='text_to_speech', provider='acme', quantities=sent)
call = callfare.calls.span.open_call(trace.get_tracer('test'), request)
processor = trace.get_tracer_provider()._active_span_processor._span_processors[0]
exporting = processor._batch_processor._export_lock
lock = {'call': call._lock, 'span': call.span._lock, 'exporter': exporting}['WHOSE']
print('ready', flush=True)
with lock:
    signal.pause()  # SIGTERM comes while this thread holds it
signal.pause()
"""


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["call", "span", "exporter"])
def test_sigterm_flushes_whatever_lock_it_interrupts(receiver, tmp_path, whose) -> None:
    """Code that holds a lock of ours or of the SDK goes on for a moment, and nothing is lost."""
    with started(CALLS + HELD.replace("WHOSE", whose), tmp_path, receiver.url) as process:
        kill(process)
    assert len(receiver.named(f"{NAME} a")) == 200
    (found,) = receiver.named("text_to_speech")
    assert found[names.INPUT_CHARACTERS] == 7


@pytest.mark.slow
def test_a_receiver_that_is_away_does_not_delay_another(receiver, tmp_path) -> None:
    """Two exporters, the first of which never comes to its end: the second gets everything before SIGTERM kills."""
    script = """
import threading, time
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from callfare.provider import hook
class Away(SpanProcessor):
    def force_flush(self, timeout_millis=30000): threading.Event().wait()
provider = TracerProvider()
provider.add_span_processor(Away())
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
hook.install(provider)
for _ in range(200): provider.get_tracer('test').start_span('call').end()
print('ready', flush=True); time.sleep(600)
"""
    with started(script, tmp_path, receiver.url) as process:
        kill(process)
    assert len(receiver.named("call")) == 200


@pytest.mark.slow
def test_a_handler_that_calls_the_one_before_it_decides_alone(receiver, tmp_path) -> None:
    """Where there was none before us, there is none to be called: the application ends as it meant to."""
    script = """
import signal, sys, time
before = signal.getsignal(signal.SIGTERM)
def stop(*arguments):
    if callable(before): before(*arguments)
    calls('b'); sys.exit(7)
signal.signal(signal.SIGTERM, stop)
calls('a'); print('ready', flush=True); time.sleep(600)
"""
    with started(CALLS + script, tmp_path, receiver.url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 7
    assert len(receiver.named(f"{NAME} a")) == len(receiver.named(f"{NAME} b")) == 200


@pytest.mark.slow
def test_an_applications_own_handler_is_left_alone(receiver, tmp_path) -> None:
    """Whoever handles SIGTERM decides how the process ends; its exit flushes."""
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "calls('a'); print('ready', flush=True); time.sleep(600)"
    )
    with started(CALLS + script, tmp_path, receiver.url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 7
    assert len(receiver.named(f"{NAME} a")) == 200


@pytest.mark.slow
def test_unsampled_calls_reach_the_bill_and_nobody_else(receiver, tmp_path) -> None:
    """`always_off`: OTLP gets every span once, marked; the console exporter prints none."""
    finished = run(
        CALLS + "calls('a')",
        tmp_path,
        receiver.url,
        OTEL_TRACES_EXPORTER="otlp_proto_http,console",
        OTEL_TRACES_SAMPLER="always_off",
        CALLFARE_TENANT="acme",
        CALLFARE_CATEGORY="bot",
    )
    assert finished.returncode == 0, finished.stderr
    found = receiver.named(f"{NAME} a")
    assert len(found) == 200
    assert {(each[names.SAMPLED], each[names.TENANT_ID], each[names.CATEGORY]) for each in found} == {
        (False, "acme", "bot")
    }
    assert finished.stdout == ""


@pytest.mark.slow
def test_half_sampled_calls_arrive_once_each(receiver, tmp_path) -> None:
    """A ratio sampler decides who is marked, not who is billed."""
    run(
        CALLS + "calls('a')",
        tmp_path,
        receiver.url,
        OTEL_TRACES_SAMPLER="traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.5",
    )
    found = receiver.named(f"{NAME} a")
    assert len(found) == len({span.span_id for span in receiver.spans}) == 200
    unsampled = sum(each.get(names.SAMPLED) is False for each in found)
    assert 50 < unsampled < 150


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"CALLFARE_RECORD_ALL": "0"}, {"CALLFARE_DISABLED": "1"}])
def test_recording_everything_can_be_switched_off(receiver, tmp_path, variables) -> None:
    """The operator's word counts: unsampled spans stay unrecorded."""
    run(CALLS + "calls('a')", tmp_path, receiver.url, OTEL_TRACES_SAMPLER="always_off", **variables)
    assert receiver.spans == []


@pytest.mark.slow
def test_disabled_means_nothing_of_ours_loads(receiver, tmp_path) -> None:
    """CALLFARE_DISABLED: no vendor is wrapped, no processor added."""
    script = (
        "import elevenlabs.text_to_speech.raw_client as raw\n"
        "from opentelemetry import trace\n"
        "print(type(raw.RawTextToSpeechClient.__dict__['convert']).__name__)\n"
        "print([type(p).__name__ for p in trace.get_tracer_provider()._active_span_processor._span_processors])\n"
    )
    on = run(script, tmp_path, receiver.url).stdout
    (tmp_path / "off").mkdir()
    off = run(script, tmp_path / "off", receiver.url, CALLFARE_DISABLED="true").stdout
    assert on.splitlines()[0] in {"FunctionWrapper", "BoundFunctionWrapper"}
    assert "AttributionProcessor" in on
    assert off.splitlines() == ["function", "['BatchSpanProcessor']"]


@pytest.mark.slow
def test_vendors_are_not_imported_for_the_application(receiver, tmp_path) -> None:
    """An installed but unused SDK costs the application nothing at start."""
    script = "import sys; print([name for name in ('elevenlabs', 'pipecat', 'livekit') if name in sys.modules])"
    assert run(script, tmp_path, receiver.url).stdout == "[]\n"


@pytest.mark.slow
def test_threads_and_executors_keep_the_workflow(receiver, tmp_path) -> None:
    """Wherever the work is done, it goes on the account of the workflow that started it, in its trace."""
    script = """
import asyncio, threading, concurrent.futures, callfare
def call(label): callfare.record_usage("retrieval", "pinecone", label, read_units=1)
async def tasks():
    in_executor = asyncio.get_running_loop().run_in_executor(None, call, "executor")
    await asyncio.gather(asyncio.to_thread(call, "to_thread"), in_executor)
    call("task")
account = dict(tenant="acme", category="bot", task="t", tier="quick", user="u", api_key="k", id="42", revenue="4.99")
with callfare.workflow("w", **account):
    thread = threading.Thread(target=call, args=("thread",)); thread.start(); thread.join()
    timer = threading.Timer(0, call, ("timer",)); timer.start(); timer.join()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(call, ["pool"]))
    asyncio.run(tasks())
call("outside")
"""
    finished = run(script, tmp_path, receiver.url)
    assert finished.returncode == 0, finished.stderr
    (workflow,) = [span for span in receiver.spans if span.name == "workflow w"]
    inside = {span.name.split()[1]: span for span in receiver.spans if span.name.startswith("retrieval")}
    outside = inside.pop("outside")
    assert set(inside) == {"thread", "timer", "pool", "to_thread", "executor", "task"}
    assert {span.trace_id for span in inside.values()} == {workflow.trace_id} != {outside.trace_id}
    for label in inside:
        (attributes,) = receiver.named(f"retrieval {label}")
        assert attributes[names.TENANT_ID] == "acme"
        assert attributes[names.CATEGORY] == "bot"
        assert (attributes[names.TASK], attributes[names.TIER], attributes[names.USER_ID]) == ("t", "quick", "u")
        assert (attributes[names.API_KEY_ID], attributes[names.WORKFLOW_ID], attributes[names.WORKFLOW_NAME]) == (
            "k",
            "42",
            "w",
        )
        assert names.REVENUE_AMOUNT not in attributes
    assert names.TENANT_ID not in receiver.named("retrieval outside")[0]
    assert receiver.named("workflow w")[0][names.REVENUE_AMOUNT] == "4.99"
