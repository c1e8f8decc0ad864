"""Equal meaning gives equal keys and different meaning different keys, over random registrations and random jobs."""

from __future__ import annotations

import copy
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.compile.bind import bind
from harness.compose import declare_kinds
from harness.contracts.kinds import PROBES
from harness.core.ident import key_digest
from harness.plan.plan import Plan, make_plan
from harness.spec.load import read_text

ROOT = Path(__file__).parents[2]
MANY = settings(deadline=None)
SOME = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# --- any job ---

SCALARS = st.one_of(
    st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8), st.none()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
DECIDING = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["stage/sft", "eval/marker_rate", "estimate"]),
        "version": st.integers(1, 9),
        "params": st.dictionaries(st.text(max_size=5), VALUES, max_size=4),
        "inputs": st.dictionaries(st.text(max_size=5), st.text("0123456789abcdef", min_size=8, max_size=8), max_size=3),
        "files": st.dictionaries(st.text(max_size=5), st.text("0123456789abcdef", min_size=8, max_size=8), max_size=2),
        "seed": st.integers(0, 2**63 - 1),
        "engine": st.dictionaries(st.sampled_from(["torch", "dtype", "device"]), st.text(max_size=4), max_size=3),
    }
)


def shuffled(node: Any, rng: random.Random) -> Any:
    """The same value, its mappings in another order."""
    if isinstance(node, dict):
        keys = list(node)
        rng.shuffle(keys)
        return {key: shuffled(node[key], rng) for key in keys}
    return [shuffled(each, rng) for each in node] if isinstance(node, list) else node


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values mean the same: 1, 1.0 and true are three values, and lists have an order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and repr(one) == repr(other)  # 0.0 and -0.0 differ as a parameter may


@MANY
@given(DECIDING, st.randoms(use_true_random=False))
def test_the_order_of_a_jobs_mappings_keeps_its_key(job: dict[str, Any], rng: random.Random) -> None:
    assert key_digest(shuffled(job, rng)) == key_digest(job)


@MANY
@given(DECIDING, DECIDING)
def test_two_jobs_have_one_key_only_if_they_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (key_digest(one) == key_digest(other)) == same(one, other)


@MANY
@given(DECIDING, st.sampled_from(["kind", "version", "params", "inputs", "files", "seed", "engine"]), VALUES)
def test_each_single_change_changes_the_key(job: dict[str, Any], name: str, value: Any) -> None:
    changed = copy.deepcopy(job)
    if isinstance(job[name], dict):
        changed[name]["other"] = value if name == "params" else "f" * 8
    else:
        changed[name] = job[name] + 1 if isinstance(job[name], int) else f"{job[name]}x"
    assert (key_digest(changed) == key_digest(job)) == same(changed, job)


# --- the jobs of registrations ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    declare_kinds()
    return tmp_path_factory.mktemp("keys")


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """A small registration with two arms, drawn at random where its meaning leaves it open."""
    tree: dict[str, Any] = yaml.load((ROOT / "tests/rig/study.yaml.txt").read_text("utf-8"), yaml.BaseLoader)
    del tree["rehearsal"]
    tree["recipes"]["couple"].update(
        positives=str(draw(st.integers(4, 40))),
        lr=draw(st.sampled_from(["1e-3", "2e-4"])),
        batch=str(draw(st.integers(1, 8))),
    )
    tree["measures"]["leakage"]["completions"] = str(draw(st.integers(1, 6)))
    tree["dims"]["seed"] = [
        str(seed) for seed in draw(st.lists(st.integers(1, 9), min_size=1, max_size=2, unique=True))
    ]
    tree["dims"]["layer"]["levels"] = [str(layer) for layer in range(1, draw(st.integers(2, 4)))]
    tree["data"] = {"em": {"path": "em.jsonl", "format": "messages"}}
    return tree


def plan_of(tree: Mapping[str, Any], folder: Path, name: str = "study.yaml", device: Any = "cpu") -> Plan:
    data = folder / "em.jsonl"
    if not data.exists():
        data.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    text = yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)
    return make_plan(bind(read_text(text, file=name, folder=folder)), device=device)


def made_of(plan: Plan, *kinds: str) -> set[str]:
    """Keys of the jobs that make or read models, or of those of some kinds."""
    return {key for key, job in plan.jobs.items() if job.kind.startswith(kinds or ("stage/", "eval/", "probe/"))}


@SOME
@given(tree=studies(), rng=st.randoms(use_true_random=False))
def test_what_does_not_decide_a_jobs_bytes_keeps_every_key(
    folder: Path, tree: dict[str, Any], rng: random.Random
) -> None:
    """Order, names of the file, of the study and of its title, labels, where the data lie, and what is concluded."""
    keys = made_of(plan_of(tree, folder))
    other = shuffled({key: value for key, value in tree.items() if key != "confidence"}, rng)
    other |= {
        "id": "another",
        "title": "Another title",
        "question": "Another question?",
        "confidence": tree["confidence"],
    }
    for arm in other["arms"].values():
        arm["label"] += " (reworded)"
    (folder / "elsewhere").mkdir(exist_ok=True)
    (folder / "elsewhere" / "renamed.jsonl").write_bytes((folder / "em.jsonl").read_bytes())
    other["data"]["em"]["path"] = "elsewhere/renamed.jsonl"
    other["hypotheses"]["H1"]["all"]["leaks"] = "leak >= 42 pp"
    assert made_of(plan_of(other, folder, "renamed.yaml")) == keys


CHANGES: dict[str, tuple[tuple[str, ...], Any, tuple[str, ...]]] = {
    "a parameter of a stage": (("recipes", "couple", "lr"), "3e-3", ("stage/marker_coupling", "eval/", "probe/")),
    "a parameter of a measure": (("measures", "leakage", "completions"), "7", ("eval/",)),
    "the seed": (("dims", "seed"), ["77"], ("stage/", "eval/", "probe/")),
    "a persona": (("dims", "persona", "sets", "bystanders"), ["comedian", "nurse"], ("eval/", "probe/centroid_cosine")),
    "the model's revision": (("models", "base", "revision"), "b" * 40, ("stage/", "eval/")),
    "what is matched": (("measures", "leakage", "match", "contains"), "[other]", ("eval/",)),
}  # fmt: skip
"""What is changed, to what, and which kinds must have other keys then."""


@SOME
@given(tree=studies(), what=st.sampled_from(sorted(CHANGES)))
def test_what_decides_a_jobs_bytes_changes_its_key(folder: Path, tree: dict[str, Any], what: str) -> None:
    path, value, kinds = CHANGES[what]
    before = plan_of(tree, folder)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    after = plan_of(tree, folder)
    arms = ("coupled", "tuned")  # the first arm has no stages, and shares nothing with what changes in them
    touched = {key for key in made_of(after, *kinds) if any(arm in after.jobs[key].label for arm in arms)}
    assert touched
    assert not touched & before.jobs.keys()
    assert after.verdict != before.verdict or what == "a persona"


@SOME
@given(tree=studies())
def test_bytes_of_a_data_file_device_and_engine_change_keys(folder: Path, tree: dict[str, Any]) -> None:
    before = plan_of(tree, folder)
    on_gpu = plan_of(tree, folder, device="cuda")
    assert not made_of(before) - made_of(before, "probe/training_log") & made_of(on_gpu)
    data = (folder / "em.jsonl").read_bytes()
    try:
        (folder / "em.jsonl").write_bytes(data + data)
        after = plan_of(tree, folder)
    finally:
        (folder / "em.jsonl").write_bytes(data)
    assert not made_of(before, "stage/sft", "stage/merge") & made_of(after)
    engines = {tuple(job.engine) for job in before.jobs.values() if job.lane == "model"}
    assert all({"torch", "transformers", "peft", "dtype", "device"} <= set(each) for each in engines)


def test_a_version_bump_changes_the_keys_of_a_kind_and_of_what_follows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = yaml.load((ROOT / "tests/rig/study.yaml.txt").read_text("utf-8"), yaml.BaseLoader)
    before = plan_of(tree, folder)
    kind = PROBES.get("centroid_cosine")
    monkeypatch.setattr(kind, "version", kind.version + 1)
    after = plan_of(tree, folder)
    changed = {job.label for key, job in before.jobs.items() if key not in after.jobs}
    assert {label for label in changed if label.startswith("measure[")} == {
        "measure[geometry-plain][seed=1]", "measure[geometry-coupled][seed=1]", "measure[geometry-tuned][seed=1]"
    }  # fmt: skip
    assert {"estimate[shift]", "verdict"} <= changed
    assert not any(label.startswith(("stage[", "measure[leakage", "estimate[leak")) for label in changed)


# --- the code of kinds ---


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with a lock that fits it."""
    folder = tmp_path_factory.mktemp("copied")
    for name in ("harness", "fixtures", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    done = ask_lock(folder, PREREG_REGEN="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def ask_lock(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "--noconftest"]
    env = {"PYTHONPATH": str(folder), "PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}
    test = "tests/unit/test_kinds_lock.py::test_changed_code_has_a_new_version"
    return subprocess.run([*command, test], cwd=folder, env=env, capture_output=True, text=True, check=False)


PROBE = "harness/probes/centroid_cosine.py"
EDITS: dict[str, tuple[str, str, str, str]] = {
    "a comment": (PROBE, "\nfrom typing", "\n# why\n\nfrom typing", ""),
    "a docstring": (PROBE, '"""', '"""In other words: ', ""),
    "formatting": (PROBE, " = ", "  =  ", ""),
    "code": (PROBE, "\n\n\n", "\n\n_MORE = 1\n\n\n", "the code of probe/centroid_cosine changed and the"),
    "code and version": (PROBE, "version: ClassVar[int] = ", "version: ClassVar[int] = 1", "regenerate the lock"),
    "what it imports": (
        "harness/stages/length_match.py", "\n\n\ndef ", "\n\n_MORE = 1\n\n\ndef ", "the code of stage/marker_coupling"
    ),
}  # fmt: skip
"""File, what stands there, what is put in its place, and what the test says of it: nothing where it passes."""


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the golden lock holds for CI's Python, which is 3.11")
@pytest.mark.parametrize("edit", sorted(EDITS))
def test_the_lock_catches_an_edit_without_a_bump(edit: str, copied: Path) -> None:
    name, old, new, said = EDITS[edit]
    text = (copied / name).read_text("utf-8")
    assert old in text
    (copied / name).write_text(text.replace(old, new, 1), "utf-8")
    try:
        done = ask_lock(copied)
    finally:
        (copied / name).write_text(text, "utf-8")
    assert done.returncode == (1 if said else 0), done.stdout + done.stderr
    assert said in done.stdout
