"""The pages in a real Chromium, over the real service: what a person sees, in both themes and on a telephone."""

import os
import shutil
from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.stored import new_database, running_service, send
from tests.support.traffic import PRICE_FILE, UNKNOWN_MODEL, Traffic, random_traffic

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="needs Chromium (apt install chromium)"),
]
PATHS = [
    "/",
    "/workflows",
    "/spend?by=tenant&then=model",
    "/spend?by=day",
    "/budgets",
    "/unpriced",
    "/unread",
    "/reconciled",
    "/prices?q=gpt-4o",
]
ERRORS = [
    f"/workflows/{'f' * 32}",
    "/spend?by=colour",
    "/workflows?q=called-nothing",
    "/prices?q=no+such+price",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Calls of forty days."""
    return random_traffic(11, workflows=40, days=40)


@pytest.fixture(scope="module")
def site(postgres_url: str, traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the real service with the traffic in it."""
    prices = tmp_path_factory.mktemp("prices") / "prices.yaml"
    prices.write_text(PRICE_FILE)
    with (
        new_database(postgres_url, "callfare_pages") as url,
        running_service(url, prices=(prices,)) as addresses,
    ):
        for request in traffic.requests:
            send(addresses["grpc"], request)
        yield f"http://{addresses['web']}"


def opened(browser: Browser, **options: Any) -> Page:
    """Return a page on which anything that the browser complains about fails the test."""
    page = browser.new_context(**options).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints  # type: ignore[attr-defined]
    return page


def faults_of(page: Page) -> list[str]:
    """Return what axe finds, each with the first element it is about."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found]


def test_pages_are_clean_for_a_screen_reader_in_both_themes(browser: Browser, site: str) -> None:
    """Every page, empty results and errors, with details open, on a screen and on a telephone; nothing is wider.

    On a telephone and in the dark it is every third page; `make full` takes every one.
    """
    workflow = f"/workflows/{first_trace(browser, site)}"
    found: dict[str, list[str]] = {}
    for theme, width in (("light", 1280), ("dark", 390)):
        page = opened(browser, color_scheme=theme, viewport={"width": width, "height": 900})
        every = 3 if theme == "dark" and os.environ.get("CALLFARE_FULL") != "1" else 1
        for path in [workflow, *PATHS, *ERRORS][::every]:
            page.goto(site + path)
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            where = f"{path} {theme} {width}"
            found[where] = faults_of(page)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found[where].append("wider than the window")
        found[f"console {theme}"] = [text for text in page.complaints if "404" not in text and "400" not in text]
        page.context.close()
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_a_planted_fault_is_found(browser: Browser, site: str) -> None:
    """The check above can fail: a pale text, an image without a name, a field without a label, a script."""
    page = opened(browser, bypass_csp=True)
    page.goto(site + "/")
    assert faults_of(page) == []
    page.evaluate("document.querySelector('h1').style.color = '#e8e8e8'")
    page.evaluate("document.querySelector('svg.columns').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input name=x>')")
    assert {fault.partition(":")[0] for fault in faults_of(page)} >= {"color-contrast", "svg-img-alt", "label"}
    other = opened(browser)
    other.goto(site + "/")
    other.evaluate("document.body.appendChild(document.createElement('script')).textContent = 'window.ran = 1'")
    assert other.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in other.complaints)


def test_what_a_finance_person_asks_is_answered_by_clicks(browser: Browser, site: str, traffic: Traffic) -> None:
    """What a tenant spent by model, the most expensive call and why, and what is unpriced and what to do about it."""
    page = opened(browser, viewport={"width": 1280, "height": 900})
    page.goto(site + "/")
    page.get_by_role("link", name="Spend").click()
    page.get_by_role("textbox", name="Tenant").fill("tenant-1")
    page.locator("select[name=by]").select_option("model")
    page.get_by_label("From (UTC)").fill("2000-01-01")
    page.get_by_role("button", name="Show").click()
    shown = page.locator("table tbody tr", has_text="house-voice").locator("data").first.get_attribute("value")
    assert D(shown or "") == traffic.total_usd(tenant="tenant-1", model="house-voice")
    page.get_by_role("link", name="Workflows").click()
    page.get_by_label("From (UTC)").fill("2000-01-01")
    page.locator("select[name=sort]").select_option("cost")
    page.get_by_role("button", name="Show").click()
    page.locator("table tbody a").first.click()
    dearest = max({call.trace_id for call in traffic.calls}, key=lambda trace_id: traffic.total_usd(trace_id=trace_id))
    headline = page.locator(".tile.main data").get_attribute("value")
    assert D(headline or "") == traffic.total_usd(trace_id=dearest)
    page.get_by_text("Explain every figure").click()
    assert "price" in page.locator("pre.explain").inner_text()
    page.get_by_role("link", name="Unpriced", exact=True).click()
    page.get_by_label("From (UTC)").fill("2000-01-01")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("heading", name=UNKNOWN_MODEL).is_visible()
    page.get_by_text("Price rows to fill in").click()
    assert "callfare prices load" in page.locator("article").inner_text()
    assert page.complaints == []


def test_pages_work_without_javascript_and_by_keyboard(browser: Browser, site: str) -> None:
    """Scripts off: filters and paging work. The first key leads past the navigation."""
    page = opened(browser, java_script_enabled=False)
    page.goto(site + "/workflows?start_date=2000-01-01")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    page.get_by_label("Name or trace id").fill("BOOK")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    names = page.locator("table tbody th a").all_inner_texts()
    assert names
    assert set(names) == {"booking"}


def test_the_api_page_shows_every_route(browser: Browser, site: str) -> None:
    """From shipped files alone, under its policy."""
    page = opened(browser)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site + "/docs")
    page.get_by_text("/v1/costs", exact=True).wait_for()
    assert page.locator(".opblock").count() >= 9
    assert [url for url in asked if not url.startswith((site, "data:"))] == []
    assert page.complaints == []


def first_trace(browser: Browser, site: str) -> str:
    """The trace of a workflow with an unpriced call."""
    page = opened(browser)
    answer = page.request.get(f"{site}/v1/workflows?unpriced=true&start_date=2000-01-01").json()
    return str(answer["data"]["workflows"][0]["trace_id"])
