"""Preflight: what would stop the run is told at once, with what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

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


def test_what_is_stored_needs_no_preflight(home: Path) -> None:
    assert preflight(plan_in(home).bound, (), home) == []
