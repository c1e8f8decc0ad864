"""A two-layer Qwen2 with random weights and a tokenizer of bytes: a model folder made in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Qwen2Config, Qwen2ForCausalLM

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{% endif %}"
    + CHATML
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_model(folder: Path, *, template: str = CHATML, seed: int = 0, longest: int = 512, spread: float = 0.3) -> str:
    """Write the model and return its path; ``spread`` is the standard deviation of its weights."""
    torch.manual_seed(seed)
    write_tokenizer(folder, template)
    config = Qwen2Config(
        vocab_size=256 + len(SPECIALS), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=longest, tie_word_embeddings=True,
        initializer_range=spread, eos_token_id=258, pad_token_id=256, bos_token_id=None,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return str(folder)


def partly_trained(path: str) -> Qwen2ForCausalLM:
    """Load a model some of whose weights, in every block, want a gradient."""
    made = Qwen2ForCausalLM.from_pretrained(path).eval().requires_grad_(False)
    for layer in made.model.layers:
        for linear in (layer.self_attn.q_proj, layer.self_attn.v_proj, layer.mlp.down_proj):
            linear.weight.requires_grad_()
    return made


def write_tokenizer(folder: Path, template: str = CHATML) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {byte: index for index, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIALS[2], "pad_token": SPECIALS[0],
        "chat_template": template, "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def silent(what: str, done: float, **figures: float) -> None:
    """Report no progress."""
