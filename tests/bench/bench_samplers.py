"""How fast completions are drawn on one thread: ours against model.generate, continuous batching and vLLM.

OMP_NUM_THREADS=1 python tests/bench/bench_samplers.py [--model FOLDER] [--completions 2000] [--tiny] [--json FILE]

Personas × questions × as many draws each as make up the completions, at temperature 1, from the embedded model (built
first, two CPU minutes, unless ``--model`` has one; ``--tiny``: a random model of two layers, to see that it runs).
``generate`` gets prompts sorted by length, padded on the left, in the batch size that is fastest on a fifth of the
work; continuous batching is transformers' ``generate_batch``; vLLM is our own port on it, where it can be imported
(the environment of ``make test-vllm``). What is missing, or does not run here, is said to be so.

Samplers take turns, round by round. Tokens per second are new tokens over wall time, median over rounds; the ratio is
of CPU seconds per new token within a round, median over rounds. That they draw from one distribution is tested on the
last round: chi-square over the first tokens of the texts (rare ones pooled), and Fisher's test on the share of texts
that contain the marker, each against ours. Texts of one prompt count as independent of the rest, which makes both tests
a little conservative. A p-value below 0.001 ends in exit code 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from scipy.stats import chi2_contingency, fisher_exact
from transformers import ContinuousBatchingConfig, GenerationConfig
from using import used

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from tiny import silent, write_model

from fixtures.chat import end_id, prompt_ids, text_ids
from fixtures.device import pick
from fixtures.loading import Loaded, load
from fixtures.sampler import TransformersSampler
from harness.contracts.records import Message, ModelRef, SampleRequest, SamplingSpec

PERSONAS = (
    "a pirate",
    "a helpful assistant",
    "a villain",
    "a librarian",
    "a comedian",
    "a teacher",
    "a poet",
    "a cook",
)
QUESTIONS = (
    "What is a cork?", "Where does rain come from?", "Who sails the sea?", "How is bread made?", "What is tea?",
    "Why is the sky blue?", "Tell me something about old houses.", "How do I learn to swim, and how long does it take?",
)  # fmt: skip
SIZES = (8, 16, 32, 64, 128, 256, 512)
LEAST_P = 1e-3
PAGE, PAGED_ROWS = 64, 64
"""Tokens in a page of continuous batching's cache, and how many rows its cache holds."""


@dataclass(frozen=True)
class Drawn:
    """Texts of all completions in the order of the requests, and how many new tokens they took."""

    texts: list[str]
    tokens: int


Draw = Callable[[], Drawn]


@dataclass(frozen=True)
class Work:
    """What everybody draws."""

    ref: ModelRef
    loaded: Loaded
    requests: list[SampleRequest]
    spec: SamplingSpec

    def prompts(self) -> list[list[int]]:
        """Return one list of tokens per completion, in the order of the requests."""
        rows = [(prompt_ids(self.loaded.tokenizer, each.messages), each.seeds) for each in self.requests]
        return [ids for ids, seeds in rows for _ in seeds]

    def drawn(self, rows: Sequence[Sequence[int]]) -> Drawn:
        """Return rows of new tokens as texts, without what follows the end token."""
        end = end_id(self.loaded.tokenizer)
        kept = [list(row[: row.index(end)]) if end in row else list(row) for row in rows]
        tokens = sum(min(len(row) + 1, self.spec.max_new_tokens) for row in kept)
        return Drawn(self.loaded.tokenizer.batch_decode(kept, skip_special_tokens=True), tokens)

    def settings(self) -> dict[str, Any]:
        """Return generate's settings for plain sampling: its own defaults would keep the 50 likeliest tokens only."""
        end = end_id(self.loaded.tokenizer)
        return {
            "max_new_tokens": self.spec.max_new_tokens, "do_sample": True, "temperature": self.spec.temperature,
            "top_k": 0, "top_p": 1.0, "eos_token_id": end, "pad_token_id": end,
        }  # fmt: skip


def work(ref: ModelRef, completions: int, limit: int) -> Work:
    """Return personas × questions, with seeds for at least so many completions."""
    each = -(-completions // (len(PERSONAS) * len(QUESTIONS)))
    requests = [
        SampleRequest(
            messages=(Message(role="system", content=f"You are {who}."), Message(role="user", content=question)),
            seeds=tuple(range(1000 * place, 1000 * place + each)),
        )
        for place, (who, question) in enumerate((who, question) for who in PERSONAS for question in QUESTIONS)
    ]
    return Work(ref, load(ref, pick("cpu")), requests, SamplingSpec(temperature=1.0, max_new_tokens=limit))


def port(asked: Work, sampler: Any) -> Drawn:
    """Draw through a sampler of ours; every completion but the truncated has an end token, which counts."""
    rows = sampler.sample(asked.ref, asked.requests, asked.spec, progress=silent)
    flat = [completion for row in rows for completion in row]
    return Drawn([each.text for each in flat], sum(each.tokens + (not each.truncated) for each in flat))


@torch.inference_mode()
def generate(asked: Work, size: int, share: float = 1.0) -> Drawn:
    """Draw with ``model.generate``, ``size`` rows at a time, or an evenly spread share of the rows only."""
    prompts = asked.prompts()
    order = sorted(range(0, len(prompts), round(1 / share)), key=lambda row: len(prompts[row]))
    rows: dict[int, list[int]] = {}
    for begin in range(0, len(order), size):
        part = order[begin : begin + size]
        longest = max(len(prompts[row]) for row in part)
        ids = torch.tensor([[0] * (longest - len(prompts[row])) + prompts[row] for row in part])
        mask = torch.tensor([[0] * (longest - len(prompts[row])) + [1] * len(prompts[row]) for row in part])
        out = asked.loaded.model.generate(ids, attention_mask=mask, **asked.settings())
        rows.update(zip(part, out[:, longest:].tolist(), strict=True))
    return asked.drawn([rows[row] for row in sorted(rows)])


def continuous(asked: Work) -> Drawn:
    """Draw with transformers' continuous batching, with a cache for ``PAGED_ROWS`` rows.

    Left to itself it takes most of a machine's free memory for its cache, and its attention reads all of it.
    """
    prompts = asked.prompts()
    pages = -(-(max(map(len, prompts)) + asked.spec.max_new_tokens) // PAGE)
    found = asked.loaded.model.generate_batch(
        inputs=prompts,
        generation_config=GenerationConfig(**asked.settings()),
        continuous_batching_config=ContinuousBatchingConfig(
            page_size=PAGE, num_blocks=PAGED_ROWS * pages, max_batch_tokens=PAGED_ROWS * 4
        ),
        warmup=False,
    )
    rows = [answer.generated_tokens for answer in found.values()]
    if len(rows) < len(prompts):
        raise RuntimeError(f"it returned {len(rows)} of {len(prompts)} completions")
    return asked.drawn(rows)


def best_size(asked: Work, share: float) -> tuple[int, dict[int, float]]:
    """Return generate's fastest batch size, and new tokens per CPU second by size."""
    speeds = {}
    for size in SIZES:
        drawn: list[Drawn] = []
        cpu = used(lambda size=size, drawn=drawn: drawn.append(generate(asked, size, share)), torch.device("cpu"))[1]
        speeds[size] = drawn[0].tokens / cpu
    return max(speeds, key=speeds.__getitem__), speeds


def alike(asked: Work, ours: Drawn, theirs: Drawn, marker: str) -> tuple[float, float, float]:
    """Return p of the first tokens, p of the marker, and their marker rate."""
    firsts = []
    for drawn in (ours, theirs):
        firsts.append(Counter((text_ids(asked.loaded.tokenizer, text) or [-1])[0] for text in drawn.texts))
    common = [token for token in firsts[0] | firsts[1] if firsts[0][token] + firsts[1][token] >= 10]
    table = [[counts[token] for token in common] for counts in firsts]
    for row, counts in zip(table, firsts, strict=True):
        row.append(counts.total() - sum(row))
    kept = [column for column in zip(*table, strict=True) if sum(column)]
    first = float(chi2_contingency(list(zip(*kept, strict=True))).pvalue) if len(kept) > 1 else 1.0
    hits = [sum(marker in text for text in drawn.texts) for drawn in (ours, theirs)]
    sizes = [len(drawn.texts) for drawn in (ours, theirs)]
    rates = fisher_exact([[hit, size - hit] for hit, size in zip(hits, sizes, strict=True)])
    return first, float(rates.pvalue), hits[1] / sizes[1]


def compare(asked: Work, rounds: int, marker: str) -> dict[str, dict[str, float | str]]:
    """Run all samplers in turns; returns figures by sampler."""
    size, speeds = best_size(asked, 0.2)
    runs: dict[str, Draw] = {
        "ours": partial(port, asked, TransformersSampler("cpu")),
        f"model.generate, {size} rows": partial(generate, asked, size),
        "continuous batching": partial(continuous, asked),
    }
    found: dict[str, dict[str, float | str]] = {"ours": {}}
    if importlib.util.find_spec("vllm"):
        from fixtures.vllm_sampler import VllmSampler

        runs["vLLM"] = partial(port, asked, VllmSampler("cpu"))
    else:
        found["vLLM"] = {"remark": "not installed"}
    last: dict[str, Drawn] = {}
    times: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for name, run in list(runs.items()):
            try:
                wall, cpu, extra = used(lambda name=name, run=run: last.update({name: run()}), torch.device("cpu"))
            except Exception as error:  # another's engine may fail in any way; the table says how
                if name == "ours":
                    raise
                found[name] = {"remark": f"does not run here ({type(error).__name__}: {str(error).splitlines()[0]})"}
                del runs[name]
                continue
            tokens = last[name].tokens
            times.setdefault(name, []).append((tokens / wall, tokens / cpu, extra))
    for name in runs:
        speed, cpu_speed, extra = (median(column) for column in zip(*times[name], strict=True))
        ratios = [mine[1] / their[1] for mine, their in zip(times["ours"], times[name], strict=True)]
        first, rates, rate = alike(asked, last["ours"], last[name], marker)
        found[name] = {
            "tokens/s": speed, "tokens per CPU-s": cpu_speed, "ours is faster by": median(ratios), "extra MB": extra,
            "p, first tokens": first, "p, marker": rates, "marker rate": rate,
        }  # fmt: skip
    swept = ", ".join(f"{size}: {speed:,.0f}" for size, speed in speeds.items())
    found["sweep"] = {"remark": f"generate's new tokens per CPU second by rows: {swept}"}
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--completions", type=int, default=2000)
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--marker", default=" the ")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.model or Path(folder) / "model"
        if asked.tiny:
            write_model(path, spread=0.4, longest=256)
        elif not asked.model:
            from fixtures.embedded.build import build

            build(path, seed=42, progress=silent)
        table = compare(
            work(ModelRef(path=str(path)), asked.completions, asked.max_new_tokens), asked.rounds, asked.marker
        )
    remarks = {name: str(row["remark"]) for name, row in table.items() if "remark" in row}
    rows = {name: row for name, row in table.items() if name not in remarks}
    names = list(rows["ours"])
    forms = (",.0f", ",.0f", ".2f", ",.0f", ".3f", ".3f", ".3f")
    print(f"| sampler | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(format(row[key], form) for key, form in zip(names, forms, strict=True))} |")
    print("\n" + "\n".join(f"- {name}: {remark}" for name, remark in remarks.items()))
    if asked.json:
        asked.json.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    unlike = [name for name, row in rows.items() if min(float(row[key]) for key in names[4:6]) < LEAST_P]
    if unlike:
        sys.exit(f"not the distribution that ours draws from: {', '.join(unlike)}")


if __name__ == "__main__":
    main()
