"""What the browser tests look at and wait for."""

from __future__ import annotations

import time

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

ALL = 2 * 5 * 5 * 6
HITS = ALL // 3


def find(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector)


def texts(driver, selector):
    return driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent.trim())", selector
    )


def eventually(check, seconds=5.0):
    """Wait until a check returns something true, and return it."""
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.02)
    assert found
    return found


def where(driver):
    return find(driver, "#where").text


def choose(driver, name, label):
    Select(find(driver, f"#filters [name={name}]")).select_by_visible_text(label)
