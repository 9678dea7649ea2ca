"""Export finished spans however the process ends: exit, SIGTERM, fork, children of multiprocessing and billiard.

Measured without this: a SIGTERM without handler lost 300 of 300 spans, a forked multiprocessing child 100 of
100. Open sockets are ended as `lost` first, and calls under way as `interrupted`, so that what was sent so far is
in the flush. Bounded in time: an unreachable receiver delays the exit by FLUSH_MILLISECONDS, not by the exporter's
time-out, and delays no other exporter.
"""

import atexit
import functools
import os
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

from callfare.calls.session import reporter
from callfare.calls.span import forget_open_calls, interrupt_open_calls
from callfare.calls.voice_call import end_open_voice_calls, forget_open_voice_calls
from callfare.ending import run_last_words
from callfare.guard import quietly
from callfare.provider.sampler import processors_of

__all__ = ["FLUSH_MILLISECONDS", "flush", "install_exit_handlers"]

FLUSH_MILLISECONDS = 4_000
_INTERRUPTED_SECONDS_MAX = 1.0
"""How long a signal keeps the code that it interrupted waiting for the flush; a flush takes milliseconds."""
_is_installed = False
_providers: "weakref.WeakSet[TracerProvider]" = weakref.WeakSet()


@quietly
def flush() -> None:
    """End what is open and export what is finished, in bounded time.

    In threads of their own: the SDK's `force_flush` ignores its time limit (opentelemetry-python issue 4568).
    """
    worker = threading.Thread(target=_flush, name="callfare-flush", daemon=True)
    try:
        worker.start()
    except RuntimeError:  # Python >= 3.12 starts no thread at exit; the SDK's own exit handler exports next
        _end_what_is_open()
        return
    worker.join(FLUSH_MILLISECONDS / 1000)


@quietly
def _flush() -> None:
    """Each processor at once: one whose receiver is away would else use up the time of those behind it."""
    _end_what_is_open()
    flushing: list[threading.Thread] = []
    for provider in list(_providers):
        for processor in processors_of(provider) or (provider,):
            worker = threading.Thread(target=quietly(processor.force_flush), args=(FLUSH_MILLISECONDS,), daemon=True)
            worker.start()
            flushing.append(worker)
    for worker in flushing:
        worker.join()


def _end_what_is_open() -> None:
    run_last_words()
    reporter().flush()
    interrupt_open_calls()
    end_open_voice_calls()


def install_exit_handlers(provider: TracerProvider) -> None:
    """Flush this provider at exit, on SIGTERM where nobody else handles it, and in forked children."""
    global _is_installed  # noqa: PLW0603 - once a process
    _providers.add(provider)
    if _is_installed:
        return
    _is_installed = True
    atexit.register(flush)
    _handle_sigterm()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    _flush_when_child_ends()
    _watch_for_billiard()


def _handle_sigterm() -> None:
    """Only where the signal would kill outright: an application's own handler is its own business."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


class _Ending:
    """The flush between a signal and the death of it."""

    def __init__(self, signal_number: int) -> None:
        self._signal_number = signal_number
        self.is_over = threading.Event()
        threading.Thread(target=self._run, name="callfare-ending", daemon=True).start()

    def _run(self) -> None:
        flush()
        self.is_over.set()
        os.kill(os.getpid(), self._signal_number)  # whatever the main thread does now, it comes back to the handler


_ending: _Ending | None = None


def _on_sigterm(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
    """Flush, then die of the signal as if we had not been there: the parent sees the same exit status.

    The code that the signal interrupts may hold a lock which the flush needs, of a call, of its span, of an exporter.
    So it waits here for a moment only. After that it goes on, which sets the lock free, until the flush is over.
    """
    global _ending  # noqa: PLW0603 - a process ends once
    if signal.getsignal(signal_number) is not _on_sigterm:
        return  # an application's later handler calls the one before it: how this ends is that one's business
    if _ending is None:
        try:
            _ending = _Ending(signal_number)
        except RuntimeError:  # the interpreter is on its way out and starts no thread: its exit handlers flush
            return
    if _ending.is_over.wait(_INTERRUPTED_SECONDS_MAX):
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)


def _after_fork() -> None:
    global _ending  # noqa: PLW0603 - the parent's end is not the child's
    _ending = None
    reporter().after_fork()
    forget_open_calls()
    forget_open_voice_calls()
    _watch_for_multiprocessing()


@quietly
def _watch_for_multiprocessing() -> None:
    """In the child: multiprocessing as it has it, or as it comes to import it, as billiard does, which is Celery's."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        _watch_children(util)
        return
    import wrapt  # noqa: PLC0415 - there already, but where no vendor is instrumented

    wrapt.register_post_import_hook(_watch_children, "multiprocessing.util")


class _Child:
    """Something to register: multiprocessing holds it weakly."""

    def start(self) -> None:
        """In the child, after multiprocessing forgot the parent's finalizers."""
        _add_finalizer(sys.modules["multiprocessing.util"])


_CHILD = _Child()


def _watch_children(util: Any) -> None:
    """Multiprocessing clears its finalizers in a forked child and then runs what is registered here."""
    util.register_after_fork(_CHILD, _Child.start)


def _flush_when_child_ends() -> None:
    """In a spawned or forkserver child, which also leaves by `os._exit`."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and util is not None and multiprocessing.parent_process() is not None:
        _add_finalizer(util)


def _add_finalizer(util: Any) -> None:
    util.Finalize(None, flush, exitpriority=1)


@quietly
def _watch_for_billiard() -> None:
    """Billiard's pools, which are Celery's, however their workers come about; it is not imported for this."""
    import wrapt  # noqa: PLC0415 - as above

    wrapt.register_post_import_hook(_watch_pools, "billiard.pool")


@quietly
def _watch_pools(pool: Any) -> None:
    """Their workers leave by `os._exit` out of `_do_exit` (3.6 to 4.3), and run no finalizer and no exit handler."""
    leave = pool.Worker._do_exit  # noqa: SLF001 - what billiard calls back before it, one for a pool, is Celery's

    @functools.wraps(leave)
    def leave_flushed(*args: Any, **kwargs: Any) -> Any:
        flush()
        return leave(*args, **kwargs)

    pool.Worker._do_exit = leave_flushed  # noqa: SLF001
