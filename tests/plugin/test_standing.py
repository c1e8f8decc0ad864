"""One experiment on four standings: four reports that a reader cannot confuse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import toy_preregs

from harness.cli import main

NAME = "supported"


@dataclass
class Experiment:
    """A folder with one prereg on a table that is collected into ``data/`` when the test says so."""

    folder: Path
    run: Any

    @property
    def file(self) -> Path:
        return self.folder / f"{NAME}.yaml"

    def collect(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / f"{NAME}.csv").rename(self.folder / "data" / f"{NAME}.csv")

    def change(self, old: str = "shift >= 0.5", new: str = "shift >= 0.4") -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def prereg(self, *arguments: str) -> int:
        return main([*arguments, str(self.file), "--data", str(self.folder / "data")])

    def report(self, *options: str) -> tuple[str, dict]:
        result = self.run(f"{NAME}.yaml", "--prereg-data", str(self.folder / "data"), *options)
        assert result.ret == 0, result.stdout.str()
        out = (Path(options[-1]) if options else self.folder / "results") / NAME
        return (out / "clean_result.md").read_text(), json.loads((out / "results.json").read_bytes())["decision"]


@pytest.fixture
def experiment(run, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.chdir(run.folder)
    monkeypatch.delenv("PREREG_DATA", raising=False)
    monkeypatch.delenv("PREREG_STORE", raising=False)
    toy_preregs.write(run.folder, NAME)
    found = Experiment(run.folder, run)
    found.change(f"file: {NAME}.csv", f"file: 'data:{NAME}.csv'")
    return found


def opening(report: str) -> str:
    return "\n".join(report.splitlines()[:3])


def test_confirmatory_when_sealed_before_the_data(experiment: Experiment) -> None:
    assert experiment.prereg("seal") == 0
    experiment.collect()
    text, decision = experiment.report()
    assert decision["standing"] == "confirmatory"
    assert text.splitlines()[0] == "# b is above a: `shift` 1.000 (MODERATE confidence)"
    assert "> **Confirmatory.** Sealed at" in opening(text)
    assert "were not there when it was sealed, as far as a file can show" in opening(text)
    assert decision["basis"]["deviations"] == []
    assert not any("retrospective" in why for _, why in decision["confidence"]["caps"])
    assert decision["confidence"]["final"] == "MODERATE"
    assert "Deviation" not in text


def test_amended_before_the_data_keeps_its_confidence(experiment: Experiment) -> None:
    experiment.prereg("seal")
    experiment.change()
    assert experiment.prereg("amend", "--because", "the pilot was noisier than thought") == 0
    experiment.collect()
    text, decision = experiment.report()
    assert decision["standing"] == "amended"
    title = "# b is above a: `shift` 1.000; 1 deviation — as amended after registration (MODERATE confidence)"
    assert text.splitlines()[0] == title
    assert "> **Amended.** The rules that were applied are not the ones that were sealed first." in opening(text)
    assert "before any measurement: the pilot was noisier than thought." in opening(text)
    assert (
        "**Deviation at `hypotheses.H1.all.big`:** registered `shift >= 0.5`, run with `shift >= 0.4` (amended at"
        in text
    )
    assert decision["confidence"]["final"] == "MODERATE"


def test_amended_after_the_data_is_low_and_says_so(experiment: Experiment) -> None:
    experiment.prereg("seal")
    experiment.collect()
    experiment.report()
    experiment.change()
    experiment.prereg("amend", "--because", "0.5 was a slip")
    text, decision = experiment.report()
    assert decision["standing"] == "amended"
    assert "after measurements existed (table, the report): 0.5 was a slip." in opening(text)
    assert ["LOW", "amended after measurements existed: hypotheses.H1.all.big"] in decision["confidence"]["caps"]
    assert decision["confidence"]["final"] == "LOW"
    assert "when table, the report had been measured" in text


@pytest.mark.parametrize("run_first", [True, False])
def test_data_that_were_there_are_never_called_unmeasured(experiment: Experiment, run_first: bool) -> None:
    """Wherever the report lies, and whether or not anything was run: every reader says the same."""
    experiment.collect()
    experiment.prereg("seal")
    if run_first:
        experiment.report("--prereg-out", str(experiment.folder / "elsewhere"))
    experiment.change()
    assert experiment.prereg("amend", "--because", "make it pass") == 0
    text, decision = experiment.report("--prereg-out", str(experiment.folder / "elsewhere"))
    assert "after measurements existed (table): make it pass." in opening(text)
    assert "before any measurement" not in text
    assert ["LOW", "amended after measurements existed: hypotheses.H1.all.big"] in decision["confidence"]["caps"]
    assert [row["known"] for row in decision["basis"]["deviations"]] == [["table"]]
    assert "when table had been measured" in text
    assert experiment.prereg("export", "--osf") == 0
    said = (experiment.folder / f"{NAME}.osf.md").read_text()
    assert "Known by then: table." in said
    assert "Nothing was measured by then" not in said


def test_verify_and_amend_say_that_the_data_were_there(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment.collect()
    experiment.prereg("seal")
    experiment.change()
    experiment.prereg("amend", "--because", "make it pass")
    assert "amended after measurements existed: table" in capsys.readouterr().out
    assert experiment.prereg("verify") == 0
    assert "amended after measurements existed: table" in capsys.readouterr().out


def test_exploratory_when_changed_off_the_record(experiment: Experiment) -> None:
    experiment.prereg("seal")
    experiment.collect()
    experiment.change()
    text, decision = experiment.report()
    assert decision["standing"] == "exploratory"
    assert text.splitlines()[0] == "# b is above a: `shift` 1.000; 1 deviation — exploratory (LOW confidence)"
    assert "> **Exploratory.** Read this as a lead, not as a test." in opening(text)
    (row,) = decision["basis"]["deviations"]
    assert (row["key"], row["registered"], row["done"]) == ("hypotheses.H1.all.big", "shift >= 0.5", "shift >= 0.4")
    assert "run with `shift >= 0.4` (no amendment records it)" in text
    assert decision["confidence"]["final"] == "LOW"
    assert "What was sealed in advance is not what was done" in text


def test_retrospective_when_the_data_were_there(experiment: Experiment) -> None:
    experiment.collect()
    experiment.prereg("seal")
    text, decision = experiment.report()
    assert decision["standing"] == "retrospective"
    assert text.splitlines()[0] == "# b is above a: `shift` 1.000 — on data that already existed (LOW confidence)"
    assert "> **Retrospective.** The criteria are applied to numbers that could have been known." in opening(text)
    assert "The recorded data were there when it was sealed" in opening(text)
    assert decision["confidence"]["final"] == "LOW"


def test_without_a_seal_nobody_knows_when_the_data_came(experiment: Experiment) -> None:
    experiment.collect()
    text, decision = experiment.report()
    assert decision["standing"] == "retrospective"
    assert "It was never sealed. The data were there before any seal." in opening(text)


def test_a_seal_that_does_not_hold_is_worth_nothing(experiment: Experiment) -> None:
    experiment.prereg("seal")
    experiment.collect()
    seal = experiment.file.with_name(f"{experiment.file.name}.seal.json")
    seal.write_text(seal.read_text().replace('"when": "20', '"when": "19', 1))
    text, decision = experiment.report()
    assert decision["standing"] == "retrospective"
    assert "its time was edited" in opening(text)
    assert decision["confidence"]["final"] == "LOW"


def test_workers_and_their_controller_agree(experiment: Experiment) -> None:
    experiment.prereg("seal")
    experiment.collect()
    result = experiment.run.process("-n", "2", f"{NAME}.yaml", "--prereg-data", str(experiment.folder / "data"))
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(
        ["supported: SUPPORTED (confirmatory), confidence MODERATE", "*confirmatory: Sealed at *before its first*"]
    )


def test_sealing_and_amending_recompute_nothing(experiment: Experiment) -> None:
    experiment.collect()
    _, first = experiment.report()
    verdicts = sorted(path.name for path in (experiment.folder / ".prereg" / "objects").glob("*/*"))
    experiment.prereg("seal")
    _, second = experiment.report()
    assert sorted(path.name for path in (experiment.folder / ".prereg" / "objects").glob("*/*")) == verdicts
    assert first["verdict"] == second["verdict"]
    assert first["basis"]["sealed"] == ""
    assert second["basis"]["sealed"]


def test_a_changed_rehearsal_or_comment_takes_nothing_away(experiment: Experiment) -> None:
    experiment.prereg("seal")
    experiment.collect()
    experiment.change("dims:\n", "# a comment\ndims:\n")
    experiment.file.write_text(experiment.file.read_text() + "rehearsal:\n  inference: {draws: 2000}\n")
    _, decision = experiment.report()
    assert decision["standing"] == "confirmatory"
