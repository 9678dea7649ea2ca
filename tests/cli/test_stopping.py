"""A program in the foreground ends at SIGTERM, whichever of its threads the signal reaches."""

import signal
import subprocess
import sys
import textwrap

import pytest

from tests.support.waiting import PATIENCE_SECONDS

WAITING = """
    import signal, sys, threading, time
    from cost_exporter.cli.stopping import stop_on_signal

    ready = threading.Event()

    def elsewhere():
        ready.wait()
        time.sleep(0.3)  # the main thread waits by then
        signal.pthread_kill(threading.get_ident(), signal.Signals(int(sys.argv[1])))
        time.sleep(600)

    threading.Thread(target=elsewhere, daemon=True).start()
    with stop_on_signal() as stopping:
        ready.set()
        stopping.wait()
        assert stopping.is_set()
    print("told")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_another_thread_ends_the_wait(number: signal.Signals) -> None:
    """The kernel may give it to any; a lock that the main thread waits for would not wake it."""
    command = [sys.executable, "-c", textwrap.dedent(WAITING), str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "told\n", "")
