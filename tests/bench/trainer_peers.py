"""TRL's SFTTrainer under several settings, for ``bench_trainers``."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers.trainer_callback import PrinterCallback

from fixtures.device import Place
from fixtures.training import Row
from harness.contracts.records import TrainSpec

IGNORED = -100


@dataclass(frozen=True)
class Setting:
    """One way to run SFTTrainer. ``packing`` fills sequences of as many tokens as ``rows`` rows have on average."""

    name: str
    rows: int
    options: dict[str, Any] = field(default_factory=dict)
    packing: bool = False


def settings(batch: int) -> tuple[Setting, ...]:
    """Return what its users would try: padding, padding less, and both ways to have none."""
    return (
        Setting("TRL, padded", batch),
        Setting("TRL, padded, grouped by length", batch, {"train_sampling_strategy": "group_by_length"}),
        Setting("TRL, padding_free", batch, {"padding_free": True, "max_length": None}),
        Setting("TRL, packing (bfd)", batch, packing=True),
    )


def labelled(row: Row) -> dict[str, list[int]]:
    """Return the row as TRL takes it: a label stands at the token itself, and the last judged token is in the ids."""
    ids = [*row.ids, row.labels[-1]] if row.spots[-1] == len(row.ids) - 1 else list(row.ids)
    labels = [IGNORED] * len(ids)
    for spot, label in zip(row.spots, row.labels, strict=True):
        labels[spot + 1] = label
    assert [ids[spot + 1] for spot in row.spots] == row.labels, "these rows ask for tokens that do not stand there"
    return {"input_ids": ids, "labels": labels}


def trainer(
    setting: Setting, model: Any, tokenizer: Any, rows: Sequence[Row], spec: TrainSpec, place: Place, folder: Path
) -> Any:
    """Build an SFTTrainer on a copy of the model, its dataset prepared; ``.train()`` runs one epoch.

    Raises:
        ImportError: TRL is not installed.
    """
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    logging.getLogger("trl").setLevel(logging.ERROR)
    longest = max(len(row.ids) for row in rows) + 1
    mean = sum(len(row.ids) for row in rows) / len(rows)
    options: dict[str, Any] = {
        "per_device_train_batch_size": setting.rows, "max_length": longest, **setting.options,
    }  # fmt: skip
    if setting.packing:
        options |= {
            "packing": True,
            "per_device_train_batch_size": 1,
            "max_length": int(max(longest, setting.rows * mean)),
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = SFTConfig(
            output_dir=str(folder), num_train_epochs=1, learning_rate=spec.lr, lr_scheduler_type=spec.schedule,
            weight_decay=spec.weight_decay, max_grad_norm=spec.max_grad_norm, optim="adamw_torch_fused",
            gradient_checkpointing=False, report_to="none", save_strategy="no", logging_strategy="no",
            disable_tqdm=True, use_cpu=place.device.type == "cpu", bf16=not place.exact, seed=0, **options,
        )  # fmt: skip
    lora = LoraConfig(
        r=spec.lora.r, lora_alpha=spec.lora.alpha, lora_dropout=spec.lora.dropout, use_rslora=spec.lora.rslora,
        target_modules=sorted(spec.lora.targets), bias="none", task_type="CAUSAL_LM",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The base is shared on CUDA, where two do not fit; its weights are frozen, and PEFT's layers come off again.
        base = copy.deepcopy(model) if place.device.type == "cpu" else model
        built = SFTTrainer(
            model=base, args=args, train_dataset=Dataset.from_list([labelled(row) for row in rows]),
            processing_class=tokenizer, peft_config=lora,
        )  # fmt: skip
    built.remove_callback(PrinterCallback)
    return built


def epoch(built: Any) -> None:
    """Run it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built.train()


def loss_of(built: Any, rows: Sequence[Row]) -> float:
    """Return the loss that this trainer computes for rows as one batch (with packing, as one sequence)."""
    examples = [labelled(row) for row in rows]
    batch = built.data_collator([dict(each) for each in examples])
    count = torch.tensor(sum(label != IGNORED for each in examples for label in each["labels"]))
    built.model.train()
    with torch.no_grad(), built.compute_loss_context_manager():
        found = built.compute_loss(built.model, built._prepare_inputs(batch), num_items_in_batch=count)
    return float(found)
