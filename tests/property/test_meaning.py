"""The meaning digest: the same under order, comments and formatting, another under every change of a single field."""

from __future__ import annotations

import copy
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.compile.bind import bind
from harness.compose import declare_kinds
from harness.core.errors import PreregError
from harness.spec.load import Document, KeyPath, load_document, read_text

REPO = Path(__file__).parents[2]
EXAMPLES = REPO.parent / "shared" / "examples"
OURS = sorted(path.stem for path in (REPO / "preregs").glob("*.yaml"))
THEIRS = (
    "assistant_axis", "cot_faithfulness", "coupling_predictors", "dose_response", "issue_310", "issue_310_v2",
    "persona_vectors", "prompted_personality", "steering",
)  # fmt: skip
BANKS: dict[str, Any] = {
    "roles_275": ["assistant", *(f"role{i}" for i in range(275))], "axis_prompts": 6140, "aqua_logiqa_mmlu": 300,
    "finetunes_12": 12, "trait_prompts": 10, "trait_questions": 40, "types_16": ["none", *(f"t{i}" for i in range(16))],
    "personality_items": 160, "archetypes": ["skippy", "assistant", "other"], "steering_prompts": 1230,
}  # fmt: skip
"""Stand-ins for the banks of the examples that nobody has written: names, or how many."""
SAMPLES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of our preregs and of the language's examples, beside their banks."""
    declare_kinds()
    found = tmp_path_factory.mktemp("preregs")
    for name in ("banks", "tables"):
        shutil.copytree(REPO / "preregs" / name, found / name)
    for name, names in BANKS.items():
        listed = names if isinstance(names, list) else [f"{name}_{i}" for i in range(names)]
        rows = [f"  - {{name: {one}, text: x, dataset: {'ab'[i % 2]}}}" for i, one in enumerate(listed)]
        (found / "banks" / f"{name}.yaml").write_text("\n".join(["levels:", *rows]) + "\n")
    for name in OURS:
        shutil.copy(REPO / "preregs" / f"{name}.yaml", found / f"ours_{name}.yaml")
    for name in THEIRS if EXAMPLES.is_dir() else ():
        shutil.copy(EXAMPLES / f"{name}.yaml", found / f"theirs_{name}.yaml")
    return found


@pytest.fixture(params=[*(f"ours_{name}" for name in OURS), *(f"theirs_{name}" for name in THEIRS)])
def document(request: pytest.FixtureRequest, folder: Path) -> Document:
    path = folder / f"{request.param}.yaml"
    if not path.is_file():
        pytest.skip(f"the examples of the language are not here ({EXAMPLES}); they live beside the repository")
    return load_document(path)


def with_tree(document: Document, tree: Any) -> Document:
    return Document(document.file, document.folder, document.text, tree, document.spots)


# --- what does not matter ---


def shuffled(node: Any, rng: random.Random) -> Any:
    """Mappings in another order; lists keep theirs, and so do the claims of confidence, of which the first counts."""
    if isinstance(node, dict):
        keys = list(node)
        rng.shuffle(keys)
        return {key: node[key] if key == "confidence" else shuffled(node[key], rng) for key in keys}
    return [shuffled(each, rng) for each in node] if isinstance(node, list) else node


def rewritten(tree: Any, rng: random.Random) -> str:
    """The same tree as other YAML: flow or block, wide or narrow, other quotes, with comments and empty lines."""
    text = yaml.safe_dump(
        tree, sort_keys=False, default_flow_style=rng.choice([True, False, None]), width=rng.choice([40, 80, 10_000]),
        indent=rng.choice([2, 4]), allow_unicode=rng.choice([True, False]), default_style=rng.choice([None, '"', "'"]),
    )  # fmt: skip
    lines = text.splitlines()
    top = [number for number, line in enumerate(lines) if re.match(r"""["']?\w+["']?:""", line)]
    for number in sorted(rng.sample(top, min(3, len(top))), reverse=True):
        lines[number:number] = ["", f"# comment {rng.random()}"]
    return "\n".join([f"# {rng.random()}", *lines]) + "\n"


def test_order_comments_and_formatting_do_not_matter(document: Document) -> None:
    meaning, rng = bind(document).meaning, random.Random(document.file)
    for _ in range(SAMPLES):
        text = rewritten(shuffled(document.tree, rng), rng)
        assert text != document.text
        assert bind(read_text(text, file=document.file, folder=document.folder)).meaning == meaning, text


# --- what does ---


def leaves(node: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, (*path, index))
    else:
        yield path, node


SWAPS = {
    ">=": "<", "<=": ">", ">": "<=", "<": ">=", " and ": " or ", " or ": " and ", "mean": "median", "max": "min",
    "yes": "no", "no": "yes", "linear": "cosine", "smallest": "largest", "primary": "secondary",
}  # fmt: skip


def mutants(path: KeyPath, value: str, tree: Any) -> Iterator[str]:
    """Other values for a field that stand a chance of being valid."""
    number = re.search(r"\d+", value)
    for step in (1, -1, 7) if number else ():
        yield f"{value[: number.start()]}{int(number.group()) + step}{value[number.end() :]}"
    for old, new in SWAPS.items():
        if old in value:
            yield value.replace(old, new, 1)
    yield from renamings(path, value, tree)
    alike = (other for where, other in leaves(tree) if where[-1] == path[-1] and other != value)
    yield from list(dict.fromkeys(alike))[:4]
    yield from (f"{value}x", f"{value} more", f"x{value}")
    if value == "PENDING":
        yield "0" * 40


WORD = re.compile(r"[A-Za-z_]\w*")


def renamings(path: KeyPath, value: str, tree: Any) -> Iterator[str]:
    """The value with one name in it exchanged for another name of the same section."""
    section = {word for where, text in leaves(tree) if where[0] == path[0] for word in WORD.findall(text)}
    rng = random.Random(f"{path} {value}")
    pairs = [(match, other) for match in WORD.finditer(value) for other in sorted(section - {match[0]})]
    for match, other in rng.sample(pairs, min(10, len(pairs))):
        yield f"{value[: match.start()]}{other}{value[match.end() :]}"


def put(tree: Any, path: KeyPath, value: str) -> Any:
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return tree


def test_no_change_of_a_single_field_slips_through(document: Document) -> None:
    meaning = bind(document).meaning
    found: dict[str, list[str]] = {"told apart": [], "refused": [], "slipped": []}
    for path, value in leaves(document.tree):
        how = "refused"
        for mutant in mutants(path, value, document.tree):
            if mutant == value:
                continue
            try:
                other = bind(with_tree(document, put(document.tree, path, mutant))).meaning
            except PreregError:
                continue
            how = "told apart" if other != meaning else "slipped"
            break
        found[how].append(f"{'.'.join(map(str, path))}: {value} -> {mutant}")
    assert found["slipped"] == []
    assert len(found["told apart"]) > len(found["refused"]), found["refused"]


def renamed_keys(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every entry of every named section dropped, one at a time."""
    for section, content in tree.items():
        for name in content if isinstance(content, dict) else ():
            other = copy.deepcopy(tree)
            del other[section][name]
            if not other[section]:
                del other[section]
            yield f"{section}.{name}", other


def test_no_dropped_entry_slips_through(document: Document) -> None:
    meaning, dropped = bind(document).meaning, 0
    for name, tree in renamed_keys(document.tree):
        try:
            other = bind(with_tree(document, tree)).meaning
        except PreregError:
            continue
        dropped += 1
        assert other != meaning, f"{name} was dropped"
    assert dropped
