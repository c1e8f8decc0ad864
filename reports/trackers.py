"""Weights & Biases and MLflow, each imported only when it is asked for. They are told, and nothing depends on them.

Where they write is up to their own environment variables (``WANDB_MODE``, ``WANDB_PROJECT``, ``WANDB_DIR``,
``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``, …). Without them: the project or experiment ``prereg``.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from reports.tracking import ArmRun

PROJECT = "prereg"
_BATCH = 1000
"""Metrics that MLflow takes at once."""
_PACKAGES = {"wandb": "wandb", "mlflow": "mlflow-skinny"}


class TrackerError(Exception):
    """A tracker cannot be used; the message says what to do."""


def write(tracker: str, runs: Sequence[ArmRun], root: Path) -> str:
    """Write runs to a tracker and return where they are, in a few words.

    Args:
        tracker: ``wandb`` or ``mlflow``.
        runs: one per arm.
        root: the folder for what is kept locally, unless the environment names another.

    Raises:
        TrackerError: its package is not installed, or it has no credentials.
        Exception: whatever the tracker raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            library = importlib.import_module(tracker)
        except ImportError as error:
            package = _PACKAGES[tracker]
            raise TrackerError(f"the package '{package}' is not installed; run: pip install {package}") from error
        return TRACKERS[tracker](library, runs, root)


def to_wandb(wandb: Any, runs: Sequence[ArmRun], root: Path) -> str:
    """Write to Weights & Biases.

    A run that is there already (on the server or, offline, below the same folder) is given its outcome anew; losses
    belong to keys, so those that are there are the same.
    """
    offline = os.environ.get("WANDB_MODE", "") == "offline"
    folder = Path(os.environ.get("WANDB_DIR") or root)
    if not offline and os.environ.get("WANDB_MODE", "") != "disabled" and not wandb.login(prompt=False):
        raise TrackerError("there is no API key; set WANDB_API_KEY, or WANDB_MODE=offline to write files only")
    for run in runs:
        written = any((folder / "wandb").glob(f"offline-run-*-{run.id}")) if offline else False
        settings = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True)
        with wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT, id=run.id, name=run.name, group=run.group,
            tags=run.tags, config={**run.config, "artifacts": run.artifacts}, resume="allow", dir=str(folder),
            job_type="rehearsal" if run.config["rehearsal"] else "registered", settings=settings,
        ) as live:  # fmt: skip
            if not (written or live.resumed):
                for step, row in enumerate(_rows(run)):
                    live.log(row, step=step)
            live.summary.update(run.outcome)
    return f"{len(runs)} runs in {folder / 'wandb'}, offline" if offline else f"{len(runs)} runs"


def _rows(run: ArmRun) -> Iterator[dict[str, float]]:
    for step in range(max((len(losses) for losses in run.losses.values()), default=0)):
        yield {name: losses[step] for name, losses in run.losses.items() if step < len(losses)}


def to_mlflow(mlflow: Any, runs: Sequence[ArmRun], root: Path) -> str:
    """Write to MLflow, by default into ``mlflow.db`` and ``mlartifacts`` in the folder.

    MLflow gives its own ids; ours is the tag ``prereg.run``, by which a run that is there already is found again.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    place = None if uri else (root / "mlartifacts").as_uri()
    uri = uri or f"sqlite:///{root / 'mlflow.db'}"
    client = mlflow.tracking.MlflowClient(tracking_uri=uri)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
    experiment = client.get_experiment_by_name(name)
    number = (
        experiment.experiment_id if experiment is not None else client.create_experiment(name, artifact_location=place)
    )
    for run in runs:
        known = client.search_runs([number], filter_string=f"tags.`prereg.run` = '{run.id}'", max_results=1)
        tags = {"prereg.run": run.id, "prereg.group": run.group, "prereg.tags": ", ".join(run.tags)}
        there = known[0] if known else client.create_run(number, run_name=run.name, tags=tags)
        mine = there.info.run_id
        for name_of, value in {**tags, **run.outcome}.items():
            client.set_tag(mine, name_of, value)
        for name_of, value in run.config.items():
            client.log_param(mine, name_of, value)
        client.log_dict(mine, run.artifacts, "artifacts.json")
        for metric, losses in run.losses.items():
            begun = len(client.get_metric_history(mine, metric)) if known else 0
            points = (
                mlflow.entities.Metric(metric, loss, 0, step) for step, loss in enumerate(losses) if step >= begun
            )
            while batch := list(islice(points, _BATCH)):
                client.log_batch(mine, metrics=batch)
        client.set_terminated(mine)
    return f"{len(runs)} runs in {uri}"


TRACKERS: dict[str, Callable[[Any, Sequence[ArmRun], Path], str]] = {"wandb": to_wandb, "mlflow": to_mlflow}
