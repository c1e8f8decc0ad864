"""What a reader does with report.html, done in a real Chromium: filter, search, turn pages, sort, copy, tab."""

from __future__ import annotations

from itertools import pairwise

import pytest
from chromium_helpers import ALL, HITS, choose, eventually, find, texts, where
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.browser


# --- the completions browser ---


def test_a_filter_leaves_only_what_was_asked_for(open_page):
    driver = open_page("rehearsal")
    assert where(driver) == f"1–20 of {ALL}"
    choose(driver, "arm", "C2")
    eventually(lambda: where(driver) == f"1–20 of {ALL // 2} (of {ALL} on this page)")
    assert set(texts(driver, "#list .head strong")) == {"C2"}
    choose(driver, "hit", "hits")
    eventually(lambda: texts(driver, "#list .chip.miss") == [])
    assert set(texts(driver, "#list .chip.hit")) == {"✓ hit"}
    assert set(texts(driver, "#list mark")) == {"[ZLT]"}
    assert where(driver).startswith(f"1–20 of {HITS // 2} ")
    choose(driver, "hit", "cut off")
    eventually(lambda: "cut off by the length limit" in texts(driver, "#list .chip.open"))
    find(driver, "#filters button[type=reset]").click()
    eventually(lambda: where(driver) == f"1–20 of {ALL}")


def test_a_persona_and_a_question_make_a_cell(open_page):
    driver = open_page("rehearsal")
    choose(driver, "arm", "C1")
    choose(driver, "persona", "assistant")
    choose(driver, "question", "q3")
    eventually(lambda: where(driver).startswith("1–6 of 6 "))
    assert sorted(text.split(" of ")[0] for text in texts(driver, "#list pre")) == [f"Answer {k}" for k in range(6)]


@pytest.mark.parametrize(
    ("needle", "count"),
    [("answer 4 of ASSISTANT (c1)", 5), ("[zlt]", HITS), ("of .* (", 0), ("<script>", 0)],
)
def test_a_search_is_for_letters_and_no_pattern(open_page, needle, count):
    driver = open_page("rehearsal")
    find(driver, "[name=text]").send_keys(needle)
    said = f"None of {ALL} fits" if not count else f" of {count} (of {ALL} on this page)"
    eventually(lambda: said in where(driver))
    assert len(texts(driver, "#list > li")) == min(count, 20)


def test_pages_turn_by_key_and_end_at_the_ends(open_page):
    driver = open_page("rehearsal")
    previous, following = find(driver, "#previous"), find(driver, "#next")
    assert previous.get_attribute("aria-disabled") == "true"
    first = texts(driver, "#list pre")
    following.send_keys(Keys.ENTER)
    assert where(driver) == f"21–40 of {ALL}"
    assert set(texts(driver, "#list pre")).isdisjoint(first)
    assert driver.switch_to.active_element == following
    for _ in range(ALL // 20 + 3):
        following.send_keys(Keys.SPACE)
    assert where(driver) == f"{ALL - 19}–{ALL} of {ALL}"
    assert following.get_attribute("aria-disabled") == "true"
    previous.click()
    assert where(driver).startswith(f"{ALL - 39}–")
    choose(driver, "arm", "C1")
    eventually(lambda: where(driver).startswith("1–20 of "))


def test_each_completion_stands_on_one_page(open_page):
    driver = open_page("rehearsal")
    seen = []
    for _ in range(ALL // 20):
        seen += texts(driver, "#list > li")
        find(driver, "#next").click()
    assert len(seen) == ALL
    assert len(set(seen)) == ALL


# --- tables ---


def column(driver, table, place):
    return driver.execute_script(
        "return [...document.querySelectorAll(`#cells table`)].find((t) => t.caption.textContent === arguments[0])"
        ".tBodies[0].rows.length && [...[...document.querySelectorAll(`#cells table`)]"
        ".find((t) => t.caption.textContent === arguments[0]).tBodies[0].rows]"
        ".map((row) => row.cells[arguments[1]].textContent)",
        table,
        place,
    )


def header(driver, table, place):
    return driver.execute_script(
        "return [...document.querySelectorAll(`#cells table`)].find((t) => t.caption.textContent === arguments[0])"
        ".tHead.rows[0].cells[arguments[1]]",
        table,
        place,
    )


def test_a_header_sorts_by_number_both_ways_and_by_key(open_page):
    driver = open_page("correlation")
    before = column(driver, "rate_by_persona", 1)
    numbers = sorted(float(text.rstrip("%")) for text in before)
    button = header(driver, "rate_by_persona", 1).find_element(By.TAG_NAME, "button")
    button.click()
    assert [float(text.rstrip("%")) for text in column(driver, "rate_by_persona", 1)] == numbers
    assert header(driver, "rate_by_persona", 1).get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.SPACE)
    assert [float(text.rstrip("%")) for text in column(driver, "rate_by_persona", 1)] == numbers[::-1]
    assert header(driver, "rate_by_persona", 1).get_attribute("aria-sort") == "descending"
    by_name = header(driver, "rate_by_persona", 0).find_element(By.TAG_NAME, "button")
    by_name.send_keys(Keys.ENTER)
    assert column(driver, "rate_by_persona", 0) == sorted(column(driver, "rate_by_persona", 0))
    assert header(driver, "rate_by_persona", 1).get_attribute("aria-sort") is None


def test_negative_numbers_sort_as_numbers(open_page):
    driver = open_page("correlation")
    header(driver, "cos_by_persona", 1).find_element(By.TAG_NAME, "button").click()
    values = [float(text.replace("−", "-")) for text in column(driver, "cos_by_persona", 1)]
    assert values == sorted(values)
    assert values[0] < 0 < values[-1]


def test_numbers_that_are_only_text_sort_as_numbers_and_what_is_empty_stays_last(open_page):
    driver = open_page("correlation")
    driver.execute_script(
        """
        for (const cell of document.querySelectorAll("#cells [data-v]")) cell.removeAttribute("data-v");
        const tables = [...document.querySelectorAll("#cells table")];
        const table = tables.find((each) => each.caption.textContent === "cos_by_persona");
        table.tBodies[0].rows[4].cells[1].textContent = "";
        table.tBodies[0].rows[5].cells[1].textContent = "unknown";
        table.tBodies[0].rows[6].cells[1].textContent = "< 0.0001";
        table.tBodies[0].rows[7].cells[1].textContent = "1,234.5 tokens";
        """
    )
    button = header(driver, "cos_by_persona", 1).find_element(By.TAG_NAME, "button")
    button.click()
    up = column(driver, "cos_by_persona", 1)
    assert up[-3:] == ["1,234.5 tokens", "unknown", ""]
    numbers = [float(text.replace("−", "-").replace("< ", "")) for text in up[:-3]]
    assert numbers == sorted(numbers)
    button.click()
    assert column(driver, "cos_by_persona", 1)[:2] == ["unknown", "1,234.5 tokens"]
    assert column(driver, "cos_by_persona", 1)[-1] == ""


# --- provenance, copying, keys ---


def test_a_box_marks_everything_it_stands_on(open_page):
    driver = open_page("rehearsal")
    box = find(driver, "#graph a[data-id='2']")
    driver.execute_script("arguments[0].focus()", box)
    on = {node.get_attribute("data-id") for node in driver.find_elements(By.CSS_SELECTOR, "#graph a.on")}
    assert on == {"0", "1", "2"}
    assert len(driver.find_elements(By.CSS_SELECTOR, "#graph path.on")) == 2
    box.send_keys(Keys.ENTER)
    assert find(driver, "#artifacts").get_attribute("open")
    assert find(driver, "tr:target").text.startswith("stage/marker_coupling")
    driver.execute_script("arguments[0].blur()", box)
    assert not driver.find_elements(By.CSS_SELECTOR, "#graph.chosen")


def test_a_command_is_copied(open_page):
    driver = open_page("claim")
    granted = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    driver.execute_cdp_cmd("Browser.grantPermissions", granted)
    for button in driver.find_elements(By.CSS_SELECTOR, "button.copy"):
        wanted = driver.find_element(By.ID, button.get_attribute("data-copies")).text
        button.click()
        eventually(lambda: find(driver, "#copied").get_attribute("textContent") == "Copied.")
        copied = driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
        assert copied == wanted
        assert wanted.split()[0] in ("pytest", "prereg")


def test_every_control_is_reached_by_tab_in_reading_order(open_page):
    driver = open_page("rehearsal")
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the result"
    assert driver.switch_to.active_element.location["x"] >= 0
    wanted = driver.execute_script(
        """
        const controls = [...document.querySelectorAll("button, select, input, summary, a[href], [tabindex='0']")];
        const folded = (node) => node.closest("details:not([open])") && node.localName !== "summary";
        return controls.filter((node) => node.getClientRects().length && !folded(node)).length;
        """
    )
    tops, seen = [], 0
    for _ in range(wanted):
        place = driver.execute_script(
            """
            const node = document.activeElement;
            if (node === document.body) return null;
            const box = node.getBoundingClientRect();
            return [box.width > 0 && box.height > 0, box.top + scrollY, node.closest("header, .skip") !== null];
            """
        )
        if place is None:
            break
        seen += 1
        assert place[0]
        if not place[2]:
            tops.append(place[1])
        driver.switch_to.active_element.send_keys(Keys.TAB)
    assert seen == wanted
    assert len(tops) > 20
    # boxes of the graph stand in columns and controls in lines; anything else would jump by pages
    assert all(later > earlier - 400 for earlier, later in pairwise(tops))


def test_the_skip_link_leads_to_the_result(open_page):
    driver = open_page("rehearsal")
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "main"
