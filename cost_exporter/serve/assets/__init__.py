"""The files that pages load: stylesheet, favicon, and Swagger UI with its licence. Nothing comes from elsewhere.

The names of the files are fixed when the program starts, so that no path leads out of the folder.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["asset_path", "asset_routes"]

_TYPE_BY_ENDING: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_A_WHILE: Final = "public, max-age=3600"


def asset_path(name: str) -> str:
    """Return the address of an asset; it changes with the content, so that browsers may keep it."""
    return f"/assets/{name}?v={_version(name)}"


def asset_routes() -> list[Route]:
    """Return the route of the assets."""

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _contents():
            raise HTTPException(404, "there is no such file")
        is_current = request.query_params.get("v") == _version(name)
        headers = {"Cache-Control": _FOREVER if is_current else _A_WHILE, "X-Content-Type-Options": "nosniff"}
        ending = name.rpartition(".")[2]
        return Response(_contents()[name], media_type=_TYPE_BY_ENDING.get(ending, "text/plain"), headers=headers)

    return [Route("/assets/{name:path}", asset)]


@cache
def _contents() -> dict[str, bytes]:
    """Return every file by its path below the folder."""
    return dict(_found(files("cost_exporter.serve.assets"), ""))


@cache
def _version(name: str) -> str:
    return sha256(_contents()[name]).hexdigest()[:12]


def _found(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _found(each, f"{path}{each.name}/")
        elif not each.name.endswith((".py", ".pyc")):
            found.append((path + each.name, each.read_bytes()))
    return found
