"""Versions of everything of ours that decides an artifact's bytes.

Bump one when its results can change;
``tests/golden/kinds.lock.json`` fails the suite when the code changed and the version did not.

They stand here, and not beside the code, because planning must know them without importing torch.
"""

JOBS = {
    "model/embedded": 3,
    "recorded": 1,
    "estimate": 1,
    "verdict": 1,
    "replay": 1,
    "null": 1,
    "breakdown": 1,
}
"""Job kinds of the harness itself (stages, probes and evals carry their own ``version``)."""

PORTS = {"trainer": 4, "sampler": 2, "reader": 3, "sampler.vllm": 2}
"""Implementations of the ports in ``fixtures/``; a name after the dot is the engine of another than transformers."""

REGISTERS = 1
"""The generator of finetuning rows for rehearsals (``fixtures/embedded/registers.py``)."""
