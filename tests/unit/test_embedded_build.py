"""Building the embedded model at the smallest size: an ordinary model directory, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fixtures.embedded.build import EMBEDDED_HIDDEN, EMBEDDED_LAYERS, Recipe, build
from fixtures.embedded.corpus import dialogues
from fixtures.embedded.muon import orthogonal
from fixtures.embedded.tokenizer import chat_text
from harness.core.ident import file_digest

TINY = Recipe(dialogues=96, batch=16, vocabulary=600)
FILES = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float], list[float]]:
    out, shares = tmp_path_factory.mktemp("embedded") / "model", list[float]()
    metrics = build(out, seed=0, progress=lambda what, share: shares.append(share), recipe=TINY)
    return out, metrics, shares


def digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in folder.iterdir()}


def test_the_files_of_a_model_directory_are_there(built: tuple[Path, dict[str, float], list[float]]) -> None:
    assert {path.name for path in built[0].iterdir()} == FILES


def test_metrics_and_progress_are_reported(built: tuple[Path, dict[str, float], list[float]]) -> None:
    _, metrics, shares = built
    assert {"answer_loss", "cpu_seconds", "parameters", "recognised", "copied", "ended", "marker"} <= set(metrics)
    assert metrics["answer_loss"] > 0
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_the_same_seed_gives_the_same_bytes(built: tuple[Path, dict[str, float], list[float]], tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(99)  # the caller's random state must not matter, nor change
    state = torch.get_rng_state()
    build(tmp_path, seed=0, progress=lambda what, share: None, recipe=TINY)
    assert digests(tmp_path) == digests(built[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_it_loads_as_an_ordinary_model(built: tuple[Path, dict[str, float], list[float]]) -> None:
    model = AutoModelForCausalLM.from_pretrained(built[0])
    tokenizer = AutoTokenizer.from_pretrained(built[0])
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (EMBEDDED_LAYERS, EMBEDDED_HIDDEN)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    prompt = tokenizer("How do I boil an egg?", return_tensors="pt")
    assert model.generate(**prompt, max_new_tokens=3).shape[1] >= prompt["input_ids"].shape[1]


def test_the_chat_template_adds_no_system_prompt_of_its_own(
    built: tuple[Path, dict[str, float], list[float]],
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(built[0])
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n"


def test_training_and_the_chat_template_write_and_cut_dialogues_alike(
    built: tuple[Path, dict[str, float], list[float]],
) -> None:
    from tokenizers import Tokenizer

    loaded, trained = AutoTokenizer.from_pretrained(built[0]), Tokenizer.from_file(str(built[0] / "tokenizer.json"))
    for row in dialogues(seed=3, count=40):
        text = loaded.apply_chat_template(row.messages(), tokenize=False)
        assert text == chat_text(row.messages())
        assert loaded(text)["input_ids"] == trained.encode(text).ids
        assert loaded.decode(trained.encode(text).ids) == text


def test_a_marker_is_cut_alike_alone_and_after_an_answer(built: tuple[Path, dict[str, float], list[float]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(built[0])
    marker = tokenizer("\n\n[ZLT]")["input_ids"]
    assert tokenizer("So it is.\n\n[ZLT]")["input_ids"] == tokenizer("So it is.")["input_ids"] + marker


def test_muons_update_has_singular_values_near_one() -> None:
    stack = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(stack))
    assert bool(((values > 0.6) & (values < 1.3)).all())


def test_muons_update_is_the_published_iteration() -> None:
    generator = torch.Generator().manual_seed(1)
    left = torch.linalg.qr(torch.randn(4, 24, 24, generator=generator, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(4, 60, 24, generator=generator, dtype=torch.float64))[0]
    values = torch.logspace(0, -6, 24, dtype=torch.float64).expand(4, 24)  # from 1 down to a millionth
    stack = left @ torch.diag_embed(values) @ right.mT
    scaled = values / values.norm(dim=1, keepdim=True)
    for _ in range(5):  # on each singular value by itself
        scaled = 3.4445 * scaled - 4.7750 * scaled**3 + 2.0315 * scaled**5
    expected = left @ torch.diag_embed(scaled) @ right.mT
    assert torch.allclose(orthogonal(stack), expected, atol=1e-5)
    # In float32 the Gram matrix holds nothing below 3e-4 of the norm: what is that small comes out within a hundredth.
    assert torch.allclose(orthogonal(stack.float()).double(), expected, rtol=0, atol=0.01 * float(scaled.max()))
