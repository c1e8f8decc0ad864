"""Standing of a prereg with trained arms: when its measurements were made is read from the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.records import StandingReport
from harness.core.store import Store
from harness.decide.standing import standing_of
from harness.plan.plan import make_plan
from harness.plan.register import Place, amend_file, measured_of, seal_file

REPO = Path(__file__).parents[2]
LONG_AGO, SOON = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


class Study:
    """issue_310_v2 with everything pinned, and a store that is told what was measured when."""

    def __init__(self, folder: Path) -> None:
        declare_kinds()
        for name in ("banks", "tables"):
            shutil.copytree(REPO / "preregs" / name, folder / name)
        self.file = folder / "study.yaml"
        self.file.write_text((REPO / "preregs" / "issue_310_v2.yaml").read_text().replace("PENDING", "0" * 40))
        self.place = Place(Store(folder / ".prereg"), folder / "results")

    def measure(self, when: str, which: str = "arm", most: int = 1) -> list[str]:
        """Store measurements of trained arms (or of the base model) as if made at that time; return their keys."""
        bound = load_bound(self.file)
        plan = make_plan(bound, device="cuda")
        keys = [
            key
            for measure in bound.measures
            for key, at in plan.tables[measure.name]
            if measured_of(measure, at) == which
        ]
        for key in keys[:most]:
            job = plan.jobs[key]
            self.place.store.put(job, lambda out: (out / "table.json").write_text("{}"), {"when": when})
        return keys[:most]

    def standing(self) -> StandingReport:
        bound = load_bound(self.file)
        return standing_of(self.file, bound, self.place.store, make_plan(bound, device="cuda"))

    def change(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new, 1))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_sealed_first_is_confirmatory(study: Study) -> None:
    seal_file(study.file, study.place)
    study.measure(SOON)
    found = study.standing()
    assert (found.standing, found.caps, found.deviations) == ("confirmatory", (), ())
    assert found.reasons[0].endswith("before its first measurement.")


def test_a_measurement_older_than_the_seal_is_named(study: Study) -> None:
    seal_file(study.file, study.place)
    study.measure(LONG_AGO)
    found = study.standing()
    assert found.standing == "exploratory"
    assert any(reason.startswith("Measured before it was sealed: ") for reason in found.reasons)
    assert found.caps[0][0] == "LOW"


def test_a_measurement_that_the_seal_lists_is_older_whatever_its_clock_says(study: Study) -> None:
    (key,) = study.measure(SOON)
    seal = seal_file(study.file, study.place)
    assert key in {each.key for each in seal.first.measured}
    assert seal.known_before(0)
    assert study.standing().standing == "exploratory"


def test_never_sealed_is_exploratory_and_low(study: Study) -> None:
    found = study.standing()
    assert found.standing == "exploratory"
    assert found.caps == (("LOW", "exploratory: it was never sealed"),)


def test_amended_before_and_after_measuring(study: Study) -> None:
    seal_file(study.file, study.place)
    study.change("title: ", "title: Again, ")
    amend_file(study.file, "clearer", study.place)
    before = study.standing()
    assert (before.standing, before.caps) == ("amended", ())
    study.measure(SOON)
    study.change("title: ", "title: And again, ")
    seal = amend_file(study.file, "clearer still", study.place)
    after = study.standing()
    assert after.standing == "amended"
    assert after.caps == (("LOW", "amended after measurements existed: title"),)
    assert [row.known for row in after.deviations] == [(), seal.known_before(2)]
    assert seal.known_before(2)


def test_what_was_measured_counts_whatever_keys_an_amendment_gives_it(study: Study) -> None:
    seal_file(study.file, study.place)
    measured = study.measure(SOON, most=99)
    study.change("    completions: 3", "    completions: 4")
    study.change("seed: [42", "seed: [43")
    plan = make_plan(load_bound(study.file), device="cuda")
    assert not set(measured) & set(plan.jobs)
    seal = amend_file(study.file, "more of them", study.place)
    assert set(measured) <= {each.key for each in seal.last.measured}
    assert (
        f"after measurements existed ({', '.join(seal.known_before(1))}): more of them." in study.standing().reasons[-1]
    )
    assert ("LOW", "amended after measurements existed") in [(word, why[:34]) for word, why in study.standing().caps]
    study.change("title: ", "title: Again, ")
    seal = amend_file(study.file, "clearer", study.place)
    assert set(seal.known_before(1)) <= set(seal.known_before(2))


def test_what_was_read_of_the_base_model_lowers_nothing_and_is_told(study: Study) -> None:
    seal_file(study.file, study.place)
    study.measure(SOON, "base")
    study.change("title: ", "title: Again, ")
    seal = amend_file(study.file, "clearer", study.place)
    (name,) = seal.read_before(1)
    assert seal.known_before(1) == ()
    found = study.standing()
    assert (found.standing, found.caps) == ("amended", ())
    assert f"before any measurement of a trained arm (known by then: {name}): clearer." in found.reasons[-1]


def test_a_report_that_was_there_at_sealing_is_told(study: Study) -> None:
    report = study.place.results / load_bound(study.file).id / "results.json"
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    seal_file(study.file, study.place)
    found = study.standing()
    assert found.standing == "confirmatory"
    assert found.reasons[0].endswith("after measurements existed (the report), of which nothing is used here.")


def test_a_change_off_the_record_is_one_row_each(study: Study) -> None:
    seal_file(study.file, study.place)
    study.change("title: ", "title: Again, ")
    study.change("question: ", "question: So, ")
    found = study.standing()
    assert found.standing == "exploratory"
    assert [row.key for row in found.deviations] == ["title", "question"]
    assert all(not row.because for row in found.deviations)


def test_a_broken_seal_is_exploratory_and_says_why(study: Study) -> None:
    seal_file(study.file, study.place)
    path = study.file.with_name("study.yaml.seal.json")
    path.write_text(path.read_text().replace('"when": "2', '"when": "1', 1))
    found = study.standing()
    assert found.standing == "exploratory"
    assert any("its time was edited" in reason for reason in found.reasons)
    path.write_text("{")
    assert "cannot be read" in study.standing().reasons[0]
