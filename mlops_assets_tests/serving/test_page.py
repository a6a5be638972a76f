"""The page for people, in a real browser."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.catalog import get_project
from mlops_assets_tests.benchmarks import serving_model
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.conftest import BIAS
from mlops_assets_tests.serving.harness import Endpoint, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: the page is not looked at")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose every error fails the test."""
    opened = browser.new_page(viewport={"width": 1180, "height": 960})
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
    yield opened
    opened.close()
    assert errors == []


def open_page(page: Page, endpoint: Endpoint) -> None:
    page.goto(endpoint.url)
    page.wait_for_function("document.getElementById('version').textContent.startsWith('Version')")


def ask(page: Page) -> None:
    page.click("#ask")
    page.wait_for_function("!document.getElementById('ask').disabled")


def test_the_form_asks_and_shows_prediction_and_version(page: Page, endpoint: Endpoint) -> None:
    open_page(page, endpoint)
    assert page.inner_text("#title") == toy.TOY.title
    assert page.inner_text("#version") == "Version 1"
    options = page.eval_on_selector_all("#field-carrier option", "all => all.map(one => one.textContent)")
    assert options == [*toy.CARRIERS, "Other…"]
    page.select_option("#field-carrier", "UA")
    page.fill("#field-distance", "300")
    page.fill("#field-hot", "0.5")
    ask(page)
    wanted = toy.expected(BIAS, "UA", 300, 0.5)
    assert page.inner_text("#figure") == f"{100 * wanted:.1f}%"
    assert page.inner_text("#verdict") == "Late"
    assert "Model version 1" in page.inner_text("#answer").replace("\n", " ")
    assert page.is_hidden("#marks")
    assert '"carrier":"UA"' in (page.text_content("#curl") or "")


def test_an_unknown_category_is_marked(page: Page, endpoint: Endpoint) -> None:
    open_page(page, endpoint)
    page.select_option("#field-carrier", label="Other…")
    page.fill("#other-carrier", "<b>Q9</b>")
    ask(page)
    assert page.inner_text("#marks").startswith("Never seen by the model: Carrier")


def test_a_mistake_is_shown_at_its_field_and_goes_away(page: Page, endpoint: Endpoint) -> None:
    open_page(page, endpoint)
    page.fill("#field-hour", "8.5")
    ask(page)
    assert "Expected `int`, got `float`" in page.inner_text("#hint-hour")
    assert "wrong" in (page.get_attribute("#box-hour", "class") or "")
    assert "%" not in page.inner_text("#figure")
    page.click("text=Example")
    ask(page)
    assert page.inner_text("#figure").endswith("%")
    assert "wrong" not in (page.get_attribute("#box-hour", "class") or "")


def test_with_a_key_the_page_asks_for_it(tmp_path: Path, start: Callable[..., Endpoint], page: Page) -> None:
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    endpoint = start(env={"MLOPS_ENDPOINT_API_KEY": "a-long-key-of-tests"})
    open_page(page, endpoint)
    ask(page)
    assert "API key" in page.inner_text("#verdict")
    page.fill("#key", "a-long-key-of-tests")
    ask(page)
    assert page.inner_text("#figure").endswith("%")
    endpoint.until("look-ups", (endpoint.store / "lookup.sock").exists)
    page.click("#answer a")
    page.wait_for_function("document.querySelector('#record').textContent.includes('received')")
    assert page.inner_text("#answer code") in page.inner_text("#record")
    assert "a-long-key" not in (page.text_content("#curl") or "")


def test_the_documentation_names_fields_and_errors(page: Page, endpoint: Endpoint, tmp_path: Path) -> None:
    page.goto(f"{endpoint.url}/docs")
    page.wait_for_selector("code:text-is('/predict')")
    page.screenshot(path=tmp_path / "docs.png", full_page=True)
    text = page.inner_text("body")
    for words in ("distance", "X-API-Key", "422", "/health", "probability", "Trip"):
        assert (words in text) == (words != "X-API-Key")  # this endpoint asks for no key


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_flight_on_the_flights_page(
    browser: Browser, tmp_path: Path, start: Callable[..., Endpoint], scheme: Any
) -> None:
    project = get_project("flight_delays")
    seed(tmp_path / "store", serving_model.train(), "3")
    endpoint = start(project=project.name)
    page = browser.new_page(viewport={"width": 1180, "height": 960}, color_scheme=scheme)
    open_page(page, endpoint)
    assert page.input_value("#field-scheduled_departure") == project.endpoint.example["scheduled_departure"]
    page.fill("#field-wind_gust", "")  # null: there were no gusts
    ask(page)
    assert page.inner_text("#figure").endswith("%"), page.inner_text("#verdict")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()
