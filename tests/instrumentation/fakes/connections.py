"""What a fake does to a connection besides answering."""

from aiohttp import web


def cut(request: web.Request) -> None:
    """Break the connection as a failing network does: no closing frame, no last chunk."""
    assert request.transport is not None
    request.transport.abort()
