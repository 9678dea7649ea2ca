"""The files that pages load: shipped, kept by browsers as long as they are the same, and nothing else is served."""

import re

import pytest
from starlette.testclient import TestClient

from cost_exporter.serve.assets import asset_path


def test_the_api_page_loads_only_what_ships(web_without_database: TestClient) -> None:
    """Every file that /docs names is here, and its policy allows no other origin."""
    page = web_without_database.get("/docs")
    assert page.status_code == 200
    assert "default-src 'none'; script-src 'self';" in page.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) >= 5
    for path in named:
        assert path.startswith("/")
        assert web_without_database.get(path).status_code == 200


def test_an_asset_is_kept_until_it_changes(web_without_database: TestClient) -> None:
    """Under the address with its version forever, under any other for a while."""
    current = web_without_database.get(asset_path("favicon.svg"))
    assert (current.headers["content-type"], "immutable" in current.headers["cache-control"]) == ("image/svg+xml", True)
    assert "immutable" not in web_without_database.get("/assets/favicon.svg?v=old").headers["cache-control"]


@pytest.mark.parametrize("name", ["../app.py", "..%2f..%2fapp.py", "__init__.py", "", "swagger-ui", "%00"])
def test_nothing_else_is_served(web_without_database: TestClient, name: str) -> None:
    """No path leads out of the folder, and code is no asset."""
    assert web_without_database.get(f"/assets/{name}").status_code == 404


def test_the_licence_of_what_is_shipped_is_shipped(web_without_database: TestClient) -> None:
    """Swagger UI comes with its licence and notice."""
    for name in ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"):
        assert web_without_database.get(f"/assets/swagger-ui/{name}").status_code == 200
