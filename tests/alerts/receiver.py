"""A receiver of webhooks on this machine: a real HTTP server that keeps what it gets and answers as it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses in `answers`, one after the other, then with 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.lock = threading.Lock()
        self.hangs = threading.Event()
        self.may_go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that went away is no error of the receiver's."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            headers = {name.lower(): text for name, text in self.headers.items()}
            self.server.got.append((self.path, headers, body))
            status, answered = self.server.answers.pop(0) if self.server.answers else (200, {})
        if self.server.hangs.is_set():
            self.server.may_go_on.wait()
        self.send_response(status)
        for name, text in answered.items():
            self.send_header(name, text)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver and lend it."""
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.may_go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
