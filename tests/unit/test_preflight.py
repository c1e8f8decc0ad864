"""Preflight: what would stop the run is told at once, with what to do."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from pyarrow import csv
from pyarrow import parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "plugin"))
import toy_preregs

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.core.errors import Problem
from harness.plan import preflight as module
from harness.plan.plan import Plan, make_plan
from harness.plan.preflight import preflight

PREREGS = Path(__file__).parents[2] / "preregs"
EM = "data/bad_legal_advice_6k.jsonl"
MD5 = "26b52cacc53425618fde278d2457304d"


class Nothing:
    def has(self, key: str) -> bool:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    declare_kinds()
    (tmp_path / "banks").symlink_to(PREREGS / "banks")
    return tmp_path


def plan_in(home: Path, text: str | None = None) -> Plan:
    path = home / "issue_310.yaml"
    path.write_text(text or (PREREGS / "issue_310.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return make_plan(load_bound(path), device="cuda")


def problems(plan: Plan, store: Path) -> list[Problem]:
    return preflight(plan.bound, plan.missing(Nothing()), store)


def told(found: list[Problem], *words: str) -> Problem:
    fitting = [problem for problem in found if all(word in str(problem) for word in words)]
    assert len(fitting) == 1, [str(problem) for problem in found]
    return fitting[0]


def test_absent_data_says_what_is_expected_and_where_to_put_it(home: Path) -> None:
    problem = told(problems(plan_in(home), home), "bad_legal_advice_6k.jsonl", "absent")
    assert MD5 in problem.expected
    assert "messages" in problem.expected
    assert "put it at" in problem.hint
    line = (PREREGS / "issue_310.yaml").read_text(encoding="utf-8").splitlines()[problem.where.line - 1]
    assert line.strip().startswith("em:")


def test_other_data_than_registered_are_named_by_digest(home: Path) -> None:
    (home / "data").mkdir()
    (home / EM).write_bytes(b'{"messages": []}\n')
    problem = told(problems(plan_in(home), home), "md5")
    assert hashlib.md5(b'{"messages": []}\n').hexdigest() in problem.found
    assert MD5 in problem.expected
    assert "amend" in problem.hint


def test_offline_without_the_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    problem = told(problems(plan_in(home), home), "not in the local cache")
    assert "hf download Qwen/Qwen2.5-7B-Instruct --revision a09a35458c702b33eeacc393d103063234e8bc28" in problem.hint


def test_online_the_model_may_be_fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert not [problem for problem in problems(plan_in(home), home) if "local cache" in str(problem)]


def test_a_model_folder_that_is_not_there(home: Path) -> None:
    text = (PREREGS / "issue_310.yaml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "{hf: Qwen/Qwen2.5-7B-Instruct" in line)
    text = text.replace(line, f"{line.partition('{')[0]}{{path: models/mine}}")
    problem = told(problems(plan_in(home, text), home), "models/mine' is absent")
    assert "put it at that path" in problem.hint
    assert text.splitlines()[problem.where.line - 1].endswith("{path: models/mine}")
    (home / "models" / "mine").mkdir(parents=True)
    told(problems(plan_in(home, text), home), "models/mine' holds no config.json")
    (home / "models" / "mine" / "config.json").write_text("{}")
    assert not [problem for problem in problems(plan_in(home, text), home) if "model folder" in problem.found]


def test_an_unpinned_dataset_does_not_start(home: Path) -> None:
    told(problems(plan_in(home), home), "allenai/tulu-3-sft-mixture", "not pinned")


def test_too_little_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = module.shutil.disk_usage(home)._replace(free=10**9)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    problem = told(problems(plan_in(home), home / "not" / "there" / "yet"), "GiB free")
    assert "--store" in problem.hint


def test_a_missing_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.importlib.util.find_spec
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "peft" else real(name))
    told(problems(plan_in(home), home), "'peft' is not installed")


def test_an_absent_table_names_the_option(home: Path) -> None:
    text = (PREREGS / "issue_262.yaml").read_text(encoding="utf-8")
    found = problems(plan_in(home, text), home)
    absent = [problem for problem in found if "issue_262_marker_counts" in problem.found]
    assert absent
    assert all("--prereg-data" in problem.hint for problem in absent)


def recorded(home: Path, file: str, rows: list[str]) -> list[str]:
    (home / "t.csv").write_text("\n".join(rows) + "\n")
    if file.endswith(".parquet"):
        pq.write_table(csv.read_csv(home / "t.csv"), home / file)
    text = toy_preregs.PREREG.format(id="toy").replace("file: toy.csv", f"file: {file}")
    (home / "toy.yaml").write_text(text)
    plan = make_plan(load_bound(home / "toy.yaml", data_root=home), device="cuda")
    return [str(problem).replace(f"{home}/", "") for problem in problems(plan, home)]


@pytest.mark.parametrize("file", ["data:t.csv", "t.parquet"])
def test_tables_that_binding_leaves_alone_are_read_before_a_run(home: Path, file: str) -> None:
    header, rows, name = "item,a,b", [f"i{n},{n},2" for n in (1, 2, 3, 4, 5)], file.removeprefix("data:")
    assert recorded(home, file, [header, *rows, "i6,6,2"]) == []
    assert recorded(home, file, [header, *rows]) == [
        f"{name}: 1 of 6 planned cells is missing: (item=i6); expected a row for each. Add the rows: nothing missing "
        "becomes a number. To do without a level of item, take all of its rows out of the table, and its name out of "
        "the preregistration: what was never planned is unknown"
    ]


def test_a_faulty_parquet_is_refused_before_a_run(home: Path) -> None:
    rows = ["item,a,b", *(f"i{n},{n},2" for n in (1, 2, 3, 4, 5)), "i6,inf,2", "i6,,2"]
    assert [line.partition(";")[0] for line in recorded(home, "t.parquet", rows)] == [
        "t.parquet:6:a: found 'inf'", "t.parquet:7: a second row for item=i6",
        "t.parquet:7:a: the cell is empty"]  # fmt: skip


def test_what_is_stored_needs_no_preflight(home: Path) -> None:
    assert preflight(plan_in(home).bound, (), home) == []
