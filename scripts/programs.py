"""Run real programs on free loopback ports for as long as a demonstration lasts, and end every one of them.

A program's output goes to a file in its folder, so that a failure can say what its last words were. Programs get
a session of their own: Ctrl-C reaches us alone, and we stop them in the order that loses nothing.
"""

import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

from cost_exporter.errors import CallfareError

__all__ = ["Program", "answers", "fetch", "free_ports", "until"]

_START_SECONDS_MAX: Final = 60
_STOP_SECONDS_MAX: Final = 30
_LOOK_EVERY_SECONDS: Final = 0.1
_NOT_INHERITED: Final = ("OTEL_", "CALLFARE_")
"""What the person set for their own services is not the demonstration's."""
Seen = TypeVar("Seen")


class Program:
    """A process from `__enter__`, when it serves, to `__exit__`, when it is gone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        is_ready: Callable[[], bool],
    ) -> None:
        """Nothing runs yet; `folder` must not exist."""
        self._name = name
        self._command = command
        self._folder = folder
        self._variables = variables
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it has printed until now."""
        return (self._folder / "output.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        with (self._folder / "output.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**inherited, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        try:
            until(f"{self._name} does not serve", self._serves_or_died, seconds_max=_START_SECONDS_MAX)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _serves_or_died(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            last_line = (self.output.strip().splitlines() or ["it printed nothing"])[-1]
            raise CallfareError(f"{self._name} ended at once: {last_line}")
        return self._is_ready()


def until(complaint: str, look: Callable[[], Seen], *, seconds_max: float) -> Seen:
    """Return the first truthy answer of `look`. Raises with the complaint when it never comes."""
    deadline_seconds = time.monotonic() + seconds_max
    while not (seen := look()):
        if time.monotonic() > deadline_seconds:
            raise CallfareError(f"{complaint} after {seconds_max:.0f} s")
        time.sleep(_LOOK_EVERY_SECONDS)
    return seen


def fetch(url: str) -> bytes | None:
    """Return the body at a URL, or None if nothing answers (yet)."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def answers(url: str) -> bool:
    """Return whether something answers there by now."""
    return fetch(url) is not None


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below those that the kernel gives to outgoing connections.

    Ports of the kernel's choice could be taken by a connection of ours before the program is up. None is returned
    twice: a program that was given its port may not have opened it yet.
    """
    found: list[int] = []
    for port in _candidates:
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise CallfareError(f"there are no {count} free ports on 127.0.0.1")


_candidates: Final = iter(random.sample(range(15_000, 32_000), 1_000))


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
