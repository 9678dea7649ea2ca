"""Local fakes of four vendors' APIs on one free port: real SDKs talk to them unchanged, by HTTP and WebSocket.

Each fake counts what it received: what a vendor received is what it bills, so the demo's own figures are checked
against these counts. Answers are always the same, so that the demo's cost can be computed by hand.
"""

import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.applications import Starlette

from cost_exporter.cli.demo_app.fake_deepgram import FakeDeepgram
from cost_exporter.cli.demo_app.fake_elevenlabs import FakeElevenLabs
from cost_exporter.cli.demo_app.fake_openai import FakeOpenAI
from cost_exporter.cli.demo_app.fake_twilio import FakeTwilio
from cost_exporter.errors import CallfareError

__all__ = ["FakeVendors"]

_START_SECONDS_MAX: Final = 20
_STOP_SECONDS_MAX: Final = 5


class FakeVendors:
    """The fakes at work, from `__enter__` to `__exit__`; what they counted stays readable afterwards."""

    def __init__(self) -> None:
        """Nothing listens yet."""
        self.twilio = FakeTwilio()
        self.deepgram = FakeDeepgram()
        self.openai = FakeOpenAI()
        self.elevenlabs = FakeElevenLabs()
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which an application calls the fakes instead of the vendors."""
        assert self._listener is not None, "only while they are at work"
        host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        return {
            "TWILIO_BASE_URL": f"http://{host}",
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "TWILIO_AUTH_TOKEN": "token-of-the-local-fake",
            "DEEPGRAM_BASE_URL": f"http://{host}",
            "DEEPGRAM_API_KEY": "key-of-the-local-fake",
            "OPENAI_BASE_URL": f"http://{host}/v1",
            "OPENAI_API_KEY": "sk-of-the-local-fake",
            "ELEVENLABS_BASE_URL": f"http://{host}",
            "ELEVENLABS_API_KEY": "key-of-the-local-fake",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def __enter__(self) -> Self:
        fakes = (self.twilio, self.deepgram, self.openai, self.elevenlabs)
        app = Starlette(routes=[route for fake in fakes for route in fake.routes()])
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="fake-vendors", daemon=True
        )
        self._thread.start()
        _wait_for_start(self._server, self._thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS_MAX)
        self._listener.close()


def _wait_for_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline_seconds = time.monotonic() + _START_SECONDS_MAX
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline_seconds:
            raise CallfareError("the demo's fake vendors did not start; run it again")
        time.sleep(0.005)
