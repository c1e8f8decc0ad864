"""The nine complete preregistrations of the language, with made-up banks where they name one that is not here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

REPO = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PREREG_SHARED", REPO.parent / "shared"))
EXAMPLES = SHARED / "examples"
NAMES = (
    "assistant_axis", "cot_faithfulness", "coupling_predictors", "dose_response", "issue_310", "issue_310_v2",
    "persona_vectors", "prompted_personality", "steering",
)  # fmt: skip
_NAMED = {
    "roles_275": ["assistant", *(f"role_{i}" for i in range(1, 275))],
    "types_16": ["none", *(f"type_{i}" for i in range(1, 17))],
    "archetypes": ["skippy", "assistant", *(f"archetype_{i}" for i in range(1, 9))],
}
_COUNTED = {
    "axis_prompts": 6140, "trait_prompts": 10, "trait_questions": 40, "finetunes_12": 12, "personality_items": 160,
    "steering_prompts": 1230, "aqua_logiqa_mmlu": 30,
}  # fmt: skip


def write(folder: Path) -> Path:
    """Copy the examples into a folder, with banks and tables beside them; return the folder."""
    for path in EXAMPLES.glob("*.yaml"):
        shutil.copy(path, folder)
    shutil.copytree(REPO / "preregs" / "banks", folder / "banks")
    shutil.copytree(REPO / "preregs" / "tables", folder / "tables")
    for bank, names in _NAMED.items():
        _bank(folder, bank, [(name, f"You are {name}." if name != "none" else "") for name in names])
    for bank, count in _COUNTED.items():
        _bank(folder, bank, [(f"item_{i}", f"What is said in item {i}?") for i in range(1, count + 1)])
    (folder / "tables" / "judge_anchors.csv").write_text("anchor,text\nneutral,Hello.\nquote,Monkey!\n")
    for prompt in ("harm", "role", "evil", "skippy"):
        (folder / "banks" / f"judge_{prompt}.txt").write_text("Score the answer.\n")
    return folder


def _bank(folder: Path, name: str, levels: list[tuple[str, str]]) -> None:
    dataset = name == "aqua_logiqa_mmlu"
    rows = []
    for index, (level, text) in enumerate(levels):
        column = f", dataset: set_{index % 3}" if dataset else ""
        rows.append(f'  - {{name: {level}, text: "{text}"{column}}}')
    (folder / "banks" / f"{name}.yaml").write_text("levels:\n" + "\n".join(rows) + "\n")
