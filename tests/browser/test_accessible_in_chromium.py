"""axe-core's rules on every page, light, dark and narrow, with everything open and a filter set."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


@pytest.mark.parametrize("name", ["rehearsal", "claim", "correlation", "hostile", "empty"])
@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 1200), (False, 360)])
def test_axe_finds_nothing(open_page, name, dark, width):
    driver = open_page(name, dark=dark, width=width, policy=False)  # axe writes HTML, which the page forbids itself
    driver.execute_script("for (const node of document.querySelectorAll('details')) node.open = true")
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    found = driver.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        const told = (node) => `${node.html.slice(0, 200)} ${node.failureSummary}`;
        axe.run(document, { resultTypes: ["violations"] }).then(
          (all) => done({
            violations: all.violations.map((each) => [each.id, each.impact, each.nodes.slice(0, 4).map(told)]),
            rules: all.passes.length,
          }),
          (error) => done({ violations: [String(error)], rules: 0 }),
        );
        """
    )
    assert found["violations"] == []
    assert found["rules"] > 10
