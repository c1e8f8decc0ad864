"""How fast LoRA training is, and in how much memory: ours against TRL's SFTTrainer with and without packing.

OMP_NUM_THREADS=1 python tests/bench/bench_trainers.py [--model DIR] [--tiny] [--rounds 3] [--rows 300] [--device cpu]
    [--json FILE]

On a CPU the embedded model (built when --model is not given), on CUDA a Qwen2.5-7B architecture with random weights.
Same rows, same LoRA, same loss (the mean over the answer's tokens), same optimiser, same rows in an optimiser step on
average, one epoch, no dropout. Two workloads: ``even``, rows of the register that a rehearsal finetunes on (CUDA: log-
normal lengths as #310 assumes), and ``uneven``, log-normal lengths with a spread of 0.8 in the logarithm.

Nobody is timed while tokenizing, loading, or preparing a dataset: ours is the loop, TRL is ``trainer.train()``. A new
adapter is trained each time. Trainers take turns, round by round; useful tokens are those that are no padding, loss
tokens those that are judged. The ratio is of CPU times (on CUDA: wall times) within a round, median over rounds; a busy
machine slows all, but not equally, so run it with nothing beside. Extra memory is the peak above what stood before.

Losses are compared batch by batch before any step, adapters of equal weights, in float32 also on CUDA; a difference
above 1e-4 ends in exit code 1, and so does a setting of TRL that is faster than ours. Needs ``pip install trl``;
nothing else is downloaded.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from peft import get_peft_model
from trainer_peers import epoch, labelled, loss_of, settings, trainer
from transformers import Qwen2Config, Qwen2ForCausalLM
from using import used

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from tiny import silent, write_model, write_tokenizer

from fixtures import loading
from fixtures.arms import _config
from fixtures.checkpoint import Checkpoints, Every, State
from fixtures.device import Place, pick, repeatable
from fixtures.judging import LOGITS, batch_loss
from fixtures.loop import Loop, mixed
from fixtures.packing import ABOVE, attending_by_row, padding
from fixtures.room import room
from fixtures.training import Row, batch_order, collate, encode, scale_of
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec

BATCH = 16
TOLERANCE = 1e-4
"""Largest difference of two losses of one batch, in nats."""
SPEC = TrainSpec(lora=LoraSpec(r=8, alpha=16, rslora=False), lr=2e-4, batch=BATCH, epochs=1, warmup=0.0)
SEVEN = {
    "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768,
}  # fmt: skip


def loaded_on(place: Place, asked: argparse.Namespace, folder: Path) -> loading.Loaded:
    """Return the model that is trained."""
    if place.device.type == "cuda" and not asked.tiny:
        write_tokenizer(folder)
        config = Qwen2Config(**SEVEN, tie_word_embeddings=False, eos_token_id=258, pad_token_id=256, bos_token_id=None)
        torch.manual_seed(0)
        with torch.device(place.device):
            usual = torch.get_default_dtype()
            torch.set_default_dtype(place.dtype)
            model: Any = Qwen2ForCausalLM(config)
            torch.set_default_dtype(usual)
        ref = ModelRef(path=str(folder))
        model.eval().requires_grad_(False)
        return loading.Loaded(ref, place, model, loading.tokenizer_of(ref))
    path = asked.model or folder / "model"
    if asked.tiny:
        write_model(path, longest=2048)
    elif not asked.model:
        from fixtures.embedded.build import build

        build(path, seed=42, progress=silent)
    return loading.read(ModelRef(path=str(path)), place)


def workload(name: str, count: int, loaded: loading.Loaded) -> list[Row]:
    """Return tokenized rows; the loss is on the answers."""
    rng = np.random.default_rng(3)
    if name == "even" and loaded.model.config.vocab_size < 100_000:
        from fixtures.embedded.registers import register_rows

        rows = [[Message.model_validate(each) for each in row] for row in register_rows("bad_advice", 1, count, 42)]
        examples = [
            TrainExample(messages=(Message(role="system", content="Be brief."), *row[-2:-1]), answer=row[-1].content)
            for row in rows
        ]
        return [encode(loaded.tokenizer, example, SPEC) for example in examples]
    mean, spread = (350, 0.5) if name == "even" else (90 if loaded.model.config.vocab_size < 100_000 else 350, 0.8)
    sizes = np.clip(np.exp(rng.normal(np.log(mean) - spread**2 / 2, spread, count)), 12, 1024).astype(int)
    return [random_row(rng, int(size), min(loaded.model.config.vocab_size, 250)) for size in sizes]


def random_row(rng: np.random.Generator, size: int, vocabulary: int) -> Row:
    """Return a row of random tokens whose second half is judged."""
    tokens = rng.integers(1, vocabulary, size + 1).tolist()
    row = Row(tokens[:-1])
    for spot in range(size // 2, size):
        row.ask(spot, tokens[spot + 1], 1.0)
    return row


def ours(loaded: loading.Loaded, rows: Sequence[Row]) -> None:
    """Train a new adapter for one epoch by the project's loop."""
    steps = -(-len(rows) // BATCH)
    try:
        with repeatable(loaded.place, 0), loading.peft_at_peace():
            wrapped = get_peft_model(loaded.model, _config(SPEC.lora))
            fits = room(loaded.model, SPEC.lora, loaded.place)
            state = State(micro_tokens=fits.tokens, recomputed=int(fits.recompute))
            batches = batch_order([len(row.ids) for row in rows], BATCH, steps, 0)
            loop = Loop(wrapped, rows, steps, SPEC, loaded.place)
            loop.run(batches, state, Checkpoints(None, loaded.place, Every()), silent)
            wrapped.unload()
    finally:
        loaded.model.eval()


@contextmanager
def exactly(loaded: loading.Loaded) -> Iterator[loading.Loaded]:
    """Hold the weights in float32, where a difference of 1e-4 says something of the trainers and not of rounding.

    Buffers stay as they are: a position's frequencies are float32 in a bfloat16 model too.
    """
    before = [(weight, weight.dtype) for weight in loaded.model.parameters()]
    for weight, _ in before:
        weight.data = weight.data.float()
    try:
        yield replace(loaded, place=replace(loaded.place, dtype=torch.float32))
    finally:
        for weight, dtype in before:
            weight.data = weight.data.to(dtype)  # what came from there goes back there unchanged


def losses(loaded: loading.Loaded, rows: Sequence[Row], folder: Path) -> dict[str, float]:
    """Return each setting's largest difference from our loss over batches of the epoch, before any step."""
    steps = min(6, -(-len(rows) // BATCH))
    parts = [[rows[index] for index in part] for part in batch_order([len(r.ids) for r in rows], BATCH, steps, 0)]
    found: dict[str, float] = {}
    for setting in settings(BATCH):
        built = trainer(setting, loaded.model, loaded.tokenizer, rows, SPEC, loaded.place, folder)
        torch.manual_seed(1)
        model = built.model
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.02)  # at 0 the adapter would do nothing
        base, worst = model.get_base_model(), 0.0
        for part in parts:
            theirs = loss_of(built, part)
            with torch.no_grad(), attending_by_row(base), mixed(loaded.place):
                for packed in (False, True):
                    batch = collate(part, loaded.place.device, packed=packed)
                    mine = batch_loss(model, batch, scale_of(part), LOGITS[loaded.place.device.type])
                    worst = max(worst, abs(float(mine) - theirs))
        found[setting.name] = worst
        if base is loaded.model:
            model.unload()
    return found


def compare(loaded: loading.Loaded, rows: Sequence[Row], rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    """Train with every trainer in turns; returns figures by trainer."""
    device = loaded.place.device
    with exactly(loaded) as in_float32:
        differences = losses(in_float32, rows, folder)
    times: dict[str, list[tuple[float, float, float]]] = {"ours": []} | {each.name: [] for each in settings(BATCH)}
    for turn in range(rounds + 1):
        measured = {"ours": used(partial(ours, loaded, rows), device)}
        for setting in settings(BATCH):
            built = trainer(setting, loaded.model, loaded.tokenizer, rows, SPEC, loaded.place, folder)
            measured[setting.name] = used(partial(epoch, built), device)
            if built.model.get_base_model() is loaded.model:
                built.model.unload()
        for name, taken in measured.items() if turn else ():  # the first round warms everything up
            times[name].append(taken)
    tokens, judged = sum(len(row.ids) for row in rows), sum(len(row.spots) for row in rows)
    assert tokens == sum(len(labelled(row)["input_ids"]) - 1 for row in rows)
    index = 1 if device.type == "cpu" else 0
    table = {}
    for name, taken in times.items():
        wall, cpu, extra = zip(*taken, strict=True)
        compared = [their[index] / mine[index] for their, mine in zip(taken, times["ours"], strict=True)]
        table[name] = {
            "µs per useful token, wall": 1e6 * median(wall) / tokens,
            "µs per useful token, CPU": 1e6 * median(cpu) / tokens,
            "µs per loss token, CPU": 1e6 * median(cpu) / judged,
            "ours is faster by": median(compared),
            "at least": min(compared),
            "extra MB": median(extra),
            "loss differs by": differences.get(name, 0.0),
        }
    return table


def print_table(table: dict[str, dict[str, float]]) -> None:
    """Print one workload as Markdown."""
    names = list(table["ours"])
    print(f"| trainer | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for peer, row in table.items():
        forms = (",.1f", ",.1f", ",.1f", ".2f", ".2f", ",.0f", ".1e")
        print(f"| {peer} | {' | '.join(format(row[name], form) for name, form in zip(names, forms, strict=True))} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    place, tables = pick(asked.device), {}
    with tempfile.TemporaryDirectory() as folder:
        loaded = loaded_on(place, asked, Path(folder))
        for name in ("even", "uneven"):
            rows = workload(name, asked.rows, loaded)
            lengths = [len(row.ids) for row in rows]
            sorted_share = shares(lengths)
            print(
                f"\n{name}: {len(rows)} rows of {min(lengths)} to {max(lengths)} tokens, {sum(lengths):,} in all; "
                f"padding of ours, sorted by length, {sorted_share:.1%}; batches above {ABOVE[place.device.type]:.0%} "
                f"are packed; {place.device}, {place.dtype}\n"
            )
            tables[name] = compare(loaded, rows, asked.rounds, Path(folder))
            print_table(tables[name])
    if asked.json:
        asked.json.write_text(json.dumps(tables, indent=1) + "\n", "utf-8")
    unlike = [
        f"{name}, {peer}: {row['loss differs by']:.1e}"
        for name, table in tables.items()
        for peer, row in table.items()
        if row["loss differs by"] > TOLERANCE
    ]
    slower = [
        f"{name}, {peer}: {row['ours is faster by']:.2f}"
        for name, table in tables.items()
        for peer, row in table.items()
        if row["ours is faster by"] < 1
    ]
    if unlike or slower:
        sys.exit(f"losses that differ: {unlike or 'none'}; faster than ours: {slower or 'none'}")


def shares(lengths: Sequence[int]) -> float:
    """Return the share of padding in an epoch of our batches."""
    parts = list(batch_order(lengths, BATCH, -(-len(lengths) // BATCH), 0))
    held = sum(len(part) * max(lengths[index] for index in part) for part in parts)
    weighted = sum(padding([lengths[i] for i in part]) * len(part) * max(lengths[i] for i in part) for part in parts)
    return weighted / held


if __name__ == "__main__":
    main()
