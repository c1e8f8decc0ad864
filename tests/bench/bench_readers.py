"""How fast hidden states are read, and in how much memory: ours against what users would run instead.

OMP_NUM_THREADS=1 python tests/bench/bench_readers.py [--tiny] [--rounds 2] [--texts 16] [--device cpu] [--json FILE]

A Qwen2 with the shape of the 0.5B model and random weights (``--tiny``: six small layers, to see that it runs); the
deepest asked layer is at two thirds of its depth. Two workloads: ``distinct``, texts that share no beginning, read at
the last token of their answers; and ``shared``, personas × questions read at the last token of the prompt, where a
persona's system prompt is computed once. The others see the texts in batches of at most ``--batch-tokens`` padded
tokens, sorted by length. Ours is given the same texts and cuts them as it always does (on a CPU, into smaller batches);
a second row holds it to the others' batches. Nobody is given a mask (padding on the right of a causal model needs
none), which is kind to the others: users pass one. Ours tokenizes inside its time; the others are handed tokens.

Readers take turns, round by round. Tokens per second are the useful tokens of all texts over the median wall time, so a
busy machine slows all; the ratio is of CPU times (on CUDA: wall times) within a round, median over rounds. Extra memory
is the peak of the resident set above what stood before the call (on CUDA: of the allocator), median over rounds. Values
are compared with those of output_hidden_states; a difference over 1e-5 of the largest value ends in exit code 1.

TransformerLens and nnsight are compared where they can be imported, and said to be missing where they cannot. An
environment for them, which leaves ours as it is and uses its torch and transformers (they are imported, not pinned):

    python -m venv peers && python -c "import torch; print(torch.__path__[0] + '/..')" > $(peers/bin/python \
        -c "import site; print(site.getsitepackages()[0])")/ours.pth
    peers/bin/pip install --no-deps nnsight==0.8.1 transformer-lens==4.3.0
    peers/bin/pip install beartype einops fancy-einsum jaxtyping protobuf sentencepiece typeguard cloudpickle greenlet \
        httpx zstandard transformers-stream-generator datasets wandb
    PYTHONPATH=. peers/bin/python tests/bench/bench_readers.py
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from reader_peers import PEERS, Batch
from transformers import Qwen2Config, Qwen2ForCausalLM
from using import used

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from tiny import silent, write_tokenizer

from fixtures import hidden, loading
from fixtures.device import Place, pick
from fixtures.hidden import TransformersReader
from harness.contracts.records import Message, ModelRef, ReadRequest

SHAPES = {
    "0.5B": {
        "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2,
    },
    "tiny": {
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 6,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    },
}  # fmt: skip
"""Shapes of Qwen2; 0.5B is Qwen2.5-0.5B-Instruct's."""
TOLERANCE = 1e-5
"""Largest difference over the largest value, in float32."""


def resident(shape: str, place: Place, folder: Path) -> ModelRef:
    """Make the model in memory and let the reader find it there: 2 GB need not go through a disk."""
    write_tokenizer(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        **SHAPES[shape], max_position_embeddings=4096, tie_word_embeddings=True, rope_theta=1e6, eos_token_id=258,
        pad_token_id=256, bos_token_id=None,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).to(place.device, place.dtype).eval().requires_grad_(False)
    ref = ModelRef(path=str(folder))
    loading._resident["model"] = loading.Loaded(ref, place, model, loading.tokenizer_of(ref))
    return ref


def workload(name: str, texts: int) -> tuple[list[ReadRequest], str]:
    """Return what is read, and at which position. Words are bytes to the tokenizer: lengths are in characters."""
    rng = np.random.default_rng(1)

    def words(count: int) -> str:
        return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz "), count))

    if name == "distinct":
        sizes = rng.integers(40, 220, texts)
        return [request(words(60), words(40), words(int(size))) for size in sizes], "last_content"
    personas, questions = [words(120) for _ in range(max(texts // 12, 2))], [words(40) for _ in range(12)]
    return [request(persona, question, None) for persona in personas for question in questions], "last_prompt"


def request(system: str, user: str, answer: str | None) -> ReadRequest:
    """Return one text to be read."""
    return ReadRequest(
        messages=(Message(role="system", content=system), Message(role="user", content=user)), answer=answer
    )


def batches(ref: ModelRef, requests: list[ReadRequest], token: Any, place: Place, size: int) -> list[Batch]:
    """Cut the texts into batches as our reader does where nothing is shared."""
    loaded = loading.load(ref, place)
    spans = [hidden._span(loaded, each, token) for each in requests]
    order = sorted(range(len(spans)), key=lambda row: len(spans[row].ids))
    cut = []
    while order:
        part = hidden._first(order, size, lambda row: len(spans[row].ids))
        order = order[len(part) :]
        ids = hidden.padded([spans[row].ids for row in part]).to(place.device)
        cut.append(Batch(tuple(part), ids, torch.tensor([spans[row].last for row in part], device=place.device)))
    return cut


def compare(
    ref: ModelRef, name: str, texts: int, place: Place, size: int, rounds: int
) -> dict[str, dict[str, float | str]]:
    """Run every reader on one workload in turns; returns figures by reader."""
    requests, token = workload(name, texts)
    loaded = loading.load(ref, place)
    depth = loaded.model.config.num_hidden_layers
    layers = (depth // 3, 2 * depth // 3)
    cut = batches(ref, requests, token, place, size)
    tokens = sum(int(last) + 1 for batch in cut for last in batch.last)

    def ours(batch_tokens: int) -> NDArray[np.float32]:
        reader = TransformersReader(str(place.device))
        reader.batch_tokens = batch_tokens
        return reader.read(ref, requests, layers=layers, token=token, progress=silent)  # type: ignore[arg-type]

    own = hidden.BATCH_TOKENS[place.device.type]
    runs: dict[str, Any] = {"ours": partial(ours, own), "ours, in the others' batches": partial(ours, size)}
    found: dict[str, dict[str, float | str]] = {peer: {} for peer in runs}
    for peer, make in PEERS.items():
        try:
            runs[peer] = make(loaded.model, loaded.tokenizer, cut, layers, len(requests))
        except ImportError as error:
            found[peer] = {"remark": f"not installed ({error.name})"}
    times: dict[str, list[tuple[float, float, float]]] = {peer: [] for peer in runs}
    values: dict[str, Any] = {peer: run() for peer, run in runs.items()}  # also warms everything up
    for _ in range(rounds):
        for peer, run in runs.items():
            times[peer].append(used(run, place.device))
    truth = values["AutoModelForCausalLM(output_hidden_states=True)"]
    for peer, rows in times.items():
        wall, cpu, extra = zip(*rows, strict=True)
        compared = cpu if place.device.type == "cpu" else wall
        mine = [row[1 if place.device.type == "cpu" else 0] for row in times["ours"]]
        found[peer] = {
            "tokens/s": tokens / median(wall),
            "tokens per CPU-s": tokens / median(cpu),
            "ours is faster by": median(their / my for their, my in zip(compared, mine, strict=True)),
            "extra MB": median(extra),
        }
        if values[peer] is not None:
            found[peer]["difference"] = float(np.abs(values[peer] - truth).max() / np.abs(truth).max())
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--batch-tokens", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    place = pick(asked.device)
    size = asked.batch_tokens or (4096 if place.device.type == "cpu" else hidden.BATCH_TOKENS["cuda"])
    shape = "tiny" if asked.tiny else "0.5B"
    tables = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        ref = resident(shape, place, Path(folder) / "model")
        for name in ("distinct", "shared"):
            tables[name] = compare(ref, name, asked.texts, place, size, asked.rounds)
    for name, table in tables.items():
        print(f"\n{name}, {shape}, {place.device}, {place.dtype}, at most {size} tokens in a batch\n")
        print_table(table)
    if asked.json:
        asked.json.write_text(json.dumps(tables, indent=1) + "\n", "utf-8")
    exact = place.dtype == torch.float32
    wrong = [
        (name, peer, row["difference"])
        for name, table in tables.items()
        for peer, row in table.items()
        if exact and float(row.get("difference", 0.0)) > TOLERANCE
    ]
    if wrong:
        sys.exit(f"values differ by more than {TOLERANCE}: {wrong}")


def print_table(table: dict[str, dict[str, float | str]]) -> None:
    """Print one workload as Markdown."""
    names = ("tokens/s", "tokens per CPU-s", "ours is faster by", "extra MB", "difference")
    print(f"| reader | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for peer, row in table.items():
        if "remark" in row:
            print(f"| {peer} | {row['remark']} |{' |' * (len(names) - 1)}")
            continue
        forms = (",.0f", ",.0f", ".2f", ",.1f", ".1e")
        cells = [format(row[name], form) if name in row else "–" for name, form in zip(names, forms, strict=True)]
        print(f"| {peer} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
