"""What the command line, the environment and the ini file ask of the plugin."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import pytest

from harness.core.errors import PreregError

if TYPE_CHECKING:
    from harness.core.settings import Home

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
    results. ``fast`` gives up equal bytes of training on CUDA for time. ``named`` are the files and folders that the
    command names.
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
    named: tuple[Path, ...] = ()


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
    asked = _Asked(config, _home(config))
    return Options(
        root=asked.home.root,
        store=asked.url() or asked.folder("prereg_store", "--store", "PREREG_STORE") or asked.home.store,
        out=asked.folder("prereg_out", "--prereg-out") or asked.home.out,
        data=asked.folder("prereg_data", "--prereg-data", "PREREG_DATA"),
        rehearse=config.getoption("--rehearse"),
        gpu=bool(_ASKS_FOR_GPU.search(config.getoption("-m", default="") or "")),
        lenient=config.getoption("--exit-on") == "errors",
        figures=not config.getoption("--no-figures"),
        preview=bool(config.getoption("--collect-only", default=False)),
        ahead=not config.getoption("maxfail", default=0),
        over_budget=config.getoption("--over-budget") or "",
        log_json=_given(config, config.getoption("--log-json")),
        command=command(config),
        engine=cast("Engine", asked.choice("engine", ENGINES)),
        engine_asked=bool(config.getoption("--engine")),
        fast=config.getoption("--fast"),
        ray=asked.ray(),
        several=hasattr(config, "workerinput"),
        track=asked.trackers(),
        named=_named(config),
    )


def command(config: pytest.Config) -> str:
    """Return the command line of the run; a worker is told that of the process that started it."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told.get("prereg_command") or shlex.join(["pytest", *map(str, config.invocation_params.args)])


def _home(config: pytest.Config) -> Home:
    """Return the root and the ini file: what ``-c`` and ``--rootdir`` say, else what the preregs that are named do.

    pytest's own root is none to rely on: the value of any option that names something that exists counts for it, so a
    store that the first run made would move the reports of the second.
    """
    from harness.core.settings import Home, find

    here = config.invocation_params.dir
    if config.getoption("inifilename"):
        return Home(config.rootpath, here, config.inipath)
    try:
        home = find(_named(config), here)
    except PreregError as error:
        raise pytest.UsageError(str(error)) from error
    return replace(home, root=config.rootpath) if config.getoption("rootdir") else home


def _named(config: pytest.Config) -> tuple[Path, ...]:
    """Return the files and folders that the command names, without the items in them."""
    given = config.args if config.args_source == config.ArgsSource.ARGS else ()
    here = config.invocation_params.dir
    return tuple(Path(os.path.normpath(here / each.partition("::")[0])) for each in given)


@dataclass(frozen=True)
class _Asked:
    """What the command line, the environment and the ini file of ``home`` say."""

    config: pytest.Config
    home: Home

    def ini(self, name: str) -> Any:
        """Return a value of the ini file: pytest's word, unless it took another file or ``-o`` overrides it."""
        overridden = any(each.startswith(f"{name}=") for each in self.config.getoption("override_ini") or ())
        if overridden or self.home.ini == self.config.inipath:
            return self.config.getini(name)
        return self.home.said.get(name, "")

    def choice(self, what: str, known: Sequence[str]) -> str:
        """Return the chosen one of ``known``, by default the first."""
        given = (
            (f"--{what}", self.config.getoption(what)),
            (f"PREREG_{what.upper()}", os.environ.get(f"PREREG_{what.upper()}")),
            (f"prereg_{what} in the ini file", self.ini(f"prereg_{what}")),
        )
        source, name = next(((source, str(name)) for source, name in given if name), ("", known[0]))
        if name not in known:
            raise pytest.UsageError(f"{source}: '{name}' is no {what}; expected one of {', '.join(known)}")
        return name

    def ray(self) -> str | None:
        """Return the address of the Ray cluster, None for none."""
        address = self.config.getoption("--ray-address") or os.environ.get("RAY_ADDRESS")
        return str(address or self.ini("prereg_ray_address")) if self.choice("executor", EXECUTORS) == "ray" else None

    def trackers(self) -> tuple[str, ...]:
        """Return the trackers that are told of results."""
        said = self.config.getoption("--track") or self.ini("prereg_track")
        named = said.split() if isinstance(said, str) else said
        for name in named:
            if name not in TRACKERS:
                raise pytest.UsageError(f"prereg_track names '{name}'; expected {' or '.join(TRACKERS)}")
        return tuple(dict.fromkeys(named))

    def url(self) -> str:
        """Return the store's place where it is a URL, and an empty string where it is a folder."""
        said = self.config.getoption("--store") or os.environ.get("PREREG_STORE") or str(self.ini("prereg_store"))
        if "://" not in said:
            return ""
        from harness.core.places import is_url, refusal

        if problem := refusal(said):
            raise pytest.UsageError(str(problem))
        return said if is_url(said) else ""

    def folder(self, name: str, option: str, variable: str = "") -> Path | None:
        """Return a folder that was named: relative to where pytest was started, or to the ini file that says it."""
        from harness.core.places import no_folder

        source, folder = option, _given(self.config, self.config.getoption(option))
        if folder is None and variable and os.environ.get(variable):
            source, folder = variable, _given(self.config, os.environ[variable])
        written = str(self.ini(name))
        if folder is None and written:
            base = self.home.ini.parent if self.home.ini else self.home.root
            source, folder = f"{name} in the ini file", (base / Path(written).expanduser()).absolute()
        if folder is not None and (fault := no_folder(folder)):
            raise pytest.UsageError(f"{source}: {folder} {fault}; expected a folder")
        return folder


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise argparse.ArgumentTypeError("say why the plan may cost more than was registered")
    return reason


def _given(config: pytest.Config, path: str | None) -> Path | None:
    return (config.invocation_params.dir / Path(path).expanduser()).absolute() if path else None
