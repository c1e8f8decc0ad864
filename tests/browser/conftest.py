"""A headless Chromium for the session, and pages for it: every test fails on console messages and on requests."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # where the cases of the reports' tests are

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

Open = Callable[..., "Chrome"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    """Start the machine's own Chromium; nothing is downloaded."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900"]
    # Without motion a click lands where the page already is; no name resolves to a host.
    arguments += ["--force-prefers-reduced-motion", "--host-resolver-rules=MAP * ~NOTFOUND"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root, as in containers
    for argument in arguments:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes a page once and returns its path."""
    import browser_pages

    folder, written = tmp_path_factory.mktemp("pages"), {}

    def page(name: str) -> Path:
        if name not in written:
            written[name] = browser_pages.written(name, folder)
        return written[name]

    return page


@pytest.fixture
def open_page(chromium: Chrome, pages: Callable[[str], Path]) -> Iterator[Open]:
    """Return a function that opens a page at some width and colour scheme, with or without scripts and CSP."""
    opened: list[str] = []

    def start(
        name: str, *, width: int = 1200, dark: bool = False, media: str = "", scripts: bool = True, policy: bool = True
    ) -> Chrome:
        tell: Callable[[str, dict[str, Any]], Any] = chromium.execute_cdp_cmd
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        tell("Emulation.setEmulatedMedia", {"media": media, "features": scheme})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        tell("Emulation.setDeviceMetricsOverride", size)
        tell("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        tell("Page.setBypassCSP", {"enabled": not policy})
        opened.append(pages(name).as_uri())
        chromium.get("about:blank")
        for log in ("browser", "performance"):
            chromium.get_log(log)
        chromium.get(opened[-1])
        return chromium

    yield start
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    if opened and opened[-1].startswith("file:"):
        chromium.execute_script("try { localStorage.clear(); } catch {}")
    assert chromium.get_log("browser") == []
    assert _requested(chromium) <= set(opened)


def _requested(driver: Chrome) -> set[str]:
    """The addresses that the browser asked for, those inside the page left out."""
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    urls = {
        each["params"]["request"]["url"].partition("#")[0]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
    }
    return {url for url in urls if not url.startswith(("data:", "about:"))}
