"""What the command line, the environment and the ini file ask of the plugin."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import pytest

Engine = Literal["auto", "transformers", "vllm"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
"""What can sample; ``auto`` is vLLM on CUDA where it is installed, else transformers."""
EXECUTORS = ("local", "ray")
"""Where jobs can run: on this machine, or on a Ray cluster."""
TRACKERS = ("wandb", "mlflow")
"""What can be told of results."""

_ASKS_FOR_GPU = re.compile(r"(?<!not )\bgpu\b")


@dataclass(frozen=True)
class Options:
    """What was asked for.

    ``gpu`` says that ``-m`` asks for GPU items, ``preview`` that nothing is to run (``--collect-only``), and
    ``lenient`` that only errors fail the run (``--exit-on=errors``). ``data`` is where recorded tables lie when
    not beside the prereg. ``ahead`` lets free slots work for later items; with ``-x`` or ``--maxfail`` they wait,
    because a failure may make that work needless. ``over_budget`` is the reason for running a plan whose likely price
    is above the registered budget, ``log_json`` the file for machines, ``command`` how the run was started. ``engine``
    is what samples where a prereg leaves it open; ``engine_asked`` says that the command line named it. ``ray`` is the
    address of the Ray cluster that runs the jobs ("" for one that is found or started here), None for none; ``several``
    says that this process is one of several that run items (pytest-xdist). ``track`` are the trackers that are told of
    results. ``fast`` gives up equal bytes of training on CUDA for time.
    """

    root: Path
    store: Path | str
    out: Path
    data: Path | None = None
    rehearse: bool = False
    gpu: bool = False
    lenient: bool = False
    figures: bool = True
    preview: bool = False
    ahead: bool = True
    over_budget: str = ""
    log_json: Path | None = None
    command: str = ""
    engine: Engine = "auto"
    engine_asked: bool = False
    ray: str | None = None
    several: bool = False
    track: tuple[str, ...] = ()
    fast: bool = False


def add(parser: pytest.Parser) -> None:
    """Register the plugin's options and ini keys."""
    group = parser.getgroup("prereg", "preregistrations")
    group.addoption("--rehearse", action="store_true", help="run the whole prereg at toy scale on the embedded model")
    group.addoption("--store", metavar="DIR|URL", help="artifacts (else $PREREG_STORE, prereg_store, ROOT/.prereg)")
    group.addoption("--prereg-data", metavar="DIR", help="folder of recorded tables (else $PREREG_DATA, prereg_data)")
    group.addoption("--prereg-out", metavar="DIR", help="folder of reports (else prereg_out, ROOT/results)")
    group.addoption(
        "--exit-on", choices=("verdict", "errors"), default="verdict", help="what fails the run (default: verdict)"
    )
    group.addoption("--no-figures", action="store_true", help="write reports without figures")
    group.addoption(
        "--over-budget", metavar="REASON", type=_reason,
        help="run a plan whose likely price is over its registered budget; the report prints the reason",
    )  # fmt: skip
    group.addoption(
        "--engine", choices=ENGINES,
        help="what samples from models (else $PREREG_ENGINE, prereg_engine; auto: vLLM on CUDA where it is installed)",
    )  # fmt: skip
    group.addoption(
        "--fast", action="store_true",
        help="train on CUDA with kernels that do not repeat to the bit, TF32 and torch.compile; other artifacts",
    )  # fmt: skip
    group.addoption("--log-json", metavar="FILE", help="append what happens to FILE, one JSON object per line")
    group.addoption(
        "--executor", choices=EXECUTORS, default=None,
        help="where jobs run (else $PREREG_EXECUTOR, prereg_executor, local)",
    )  # fmt: skip
    group.addoption(
        "--ray-address", metavar="HOST:PORT", help="the Ray cluster (else $RAY_ADDRESS, prereg_ray_address, one here)"
    )
    parser.addini("prereg_executor", f"where jobs run: {' or '.join(EXECUTORS)}", default="")
    parser.addini("prereg_ray_address", "the Ray cluster, HOST:PORT", default="")
    group.addoption(
        "--track", action="append", choices=TRACKERS,
        help="tell a tracker of the result, one run per arm; may be given twice (else prereg_track)",
    )  # fmt: skip
    parser.addini("prereg_track", f"trackers that are told of results: {', '.join(TRACKERS)}", type="args", default=[])
    for name, what in (("store", "artifacts"), ("data", "recorded tables"), ("out", "reports")):
        parser.addini(f"prereg_{name}", f"folder of {what}, relative to the ini file", default="")
    parser.addini("prereg_engine", "what samples from models: auto, transformers or vllm", default="")


def read(config: pytest.Config) -> Options:
    """Read what was asked for; command line beats environment beats ini file."""
    data = _folder(config, "prereg_data", "--prereg-data", "PREREG_DATA")
    return Options(
        root=config.rootpath,
        store=_url(config) or _folder(config, "prereg_store", "--store", "PREREG_STORE") or config.rootpath / ".prereg",
        out=_folder(config, "prereg_out", "--prereg-out") or config.rootpath / "results",
        data=data,
        rehearse=config.getoption("--rehearse"),
        gpu=bool(_ASKS_FOR_GPU.search(config.getoption("-m", default="") or "")),
        lenient=config.getoption("--exit-on") == "errors",
        figures=not config.getoption("--no-figures"),
        preview=bool(config.getoption("--collect-only", default=False)),
        ahead=not config.getoption("maxfail", default=0),
        over_budget=config.getoption("--over-budget") or "",
        log_json=_given(config, config.getoption("--log-json")),
        command=command(config),
        engine=cast("Engine", _choice(config, "engine", ENGINES)),
        engine_asked=bool(config.getoption("--engine")),
        fast=config.getoption("--fast"),
        ray=_ray(config),
        several=hasattr(config, "workerinput"),
        track=_trackers(config),
    )


def command(config: pytest.Config) -> str:
    """Return the command line of the run; a worker is told that of the process that started it."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told.get("prereg_command") or shlex.join(["pytest", *map(str, config.invocation_params.args)])


def _choice(config: pytest.Config, what: str, known: Sequence[str]) -> str:
    """Return the chosen one of ``known``, by default the first."""
    given = (
        (f"--{what}", config.getoption(what)),
        (f"PREREG_{what.upper()}", os.environ.get(f"PREREG_{what.upper()}")),
        (f"prereg_{what} in the ini file", config.getini(f"prereg_{what}")),
    )
    source, name = next(((source, str(name)) for source, name in given if name), ("", known[0]))
    if name not in known:
        raise pytest.UsageError(f"{source}: '{name}' is no {what}; expected one of {', '.join(known)}")
    return name


def _ray(config: pytest.Config) -> str | None:
    address = config.getoption("--ray-address") or os.environ.get("RAY_ADDRESS") or config.getini("prereg_ray_address")
    return str(address) if _choice(config, "executor", EXECUTORS) == "ray" else None


def _trackers(config: pytest.Config) -> tuple[str, ...]:
    named = config.getoption("--track") or config.getini("prereg_track")
    for name in named:
        if name not in TRACKERS:
            raise pytest.UsageError(f"prereg_track names '{name}'; expected {' or '.join(TRACKERS)}")
    return tuple(dict.fromkeys(named))


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise argparse.ArgumentTypeError("say why the plan may cost more than was registered")
    return reason


def _given(config: pytest.Config, path: str | None) -> Path | None:
    return (config.invocation_params.dir / Path(path).expanduser()).absolute() if path else None


def _url(config: pytest.Config) -> str:
    """Return the store's place where it is a URL, and an empty string where it is a folder."""
    said = config.getoption("--store") or os.environ.get("PREREG_STORE") or str(config.getini("prereg_store"))
    if "://" not in said:
        return ""
    from harness.core.places import is_url, refusal

    if problem := refusal(said):
        raise pytest.UsageError(str(problem))
    return said if is_url(said) else ""


def _folder(config: pytest.Config, ini: str, option: str, variable: str = "") -> Path | None:
    given = _given(config, config.getoption(option) or (os.environ.get(variable, "") if variable else ""))
    if given:
        return given
    written = str(config.getini(ini))
    base = config.inipath.parent if config.inipath else config.rootpath
    return (base / Path(written).expanduser()).absolute() if written else None
