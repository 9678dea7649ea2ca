"""A local HTTP and WebSocket server in a thread of its own, for fakes that count what they receive."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web

from tests.support.waiting import PATIENCE_SECONDS


class FakeServer:
    """Subclass it: add routes in `routes()`, count in attributes. Use it as a context manager."""

    def __init__(self) -> None:
        self.request_count = 0
        self.refuse_next: list[int] = []
        """HTTP status codes for the next requests; an empty list means: serve them."""
        self.errors: list[str] = []
        """What went wrong inside the fake itself; a test may ask that it stays empty."""
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """The same for WebSockets."""
        return f"ws://127.0.0.1:{self._port}"

    def routes(self) -> list[web.RouteDef]:
        """What the server answers."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE_SECONDS), "the fake server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with self._running():
            self._started.set()
            await self._stop.wait()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        application = web.Application(middlewares=[self._gate()], client_max_size=64 * 1024 * 1024)
        application.add_routes(self.routes())
        runner = web.AppRunner(application, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    def _gate(self):
        @web.middleware
        async def gate(request: web.Request, handler):
            self.request_count += 1
            if self.refuse_next:
                status = self.refuse_next.pop(0)
                return web.json_response({"error": {"message": f"refused {status}"}, "detail": "no"}, status=status)
            return await handler(request)

        return gate
