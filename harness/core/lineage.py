"""Where an artifact comes from, and why two of them are not the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.core.browse import Browser, Known, is_key, sized

_ABSENT = "(none)"
_LONGEST = 60
_DECIDING = ("kind", "version", "params", "files", "seed", "engine")
"""What decides a key beside the inputs, in the order in which people want to hear of it."""


def tree(browser: Browser, top: Known) -> Iterator[str]:
    """Yield the lines of a provenance tree: what an artifact was made from, down to the first model and tables.

    What several nodes share is shown where it first stands. What many nodes have in common (host, versions,
    command) is listed once, below.
    """
    writer = _Tree(browser)
    yield from writer.node(top, "", "", "")
    if writer.made_on:
        yield ""
        yield from (f"[{number}] {text}" for text, number in writer.made_on.items())


class _Tree:
    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.shown: set[str] = set()
        self.made_on: dict[str, int] = {}

    def node(self, known: Known, role: str, first: str, rest: str) -> Iterator[str]:
        again = known.key in self.shown
        self.shown.add(known.key)
        named = f"{role}: " if role and not is_key(role) else ""
        yield f"{first}{named}{_head(known)}" + (" (shown above)" if again else "")
        if again:
            return
        children = list(known.inputs.items())
        bar = "│ " if children else "  "
        if made := self._made(known):
            yield f"{rest}{bar}{made}"
        for source in _sources(known):
            yield f"{rest}{bar}{source}"
        for place, (name, key) in enumerate(children):
            last = place == len(children) - 1
            below = self.browser.get(key)
            if below is None:
                yield f"{rest}{'└─' if last else '├─'} {name}: {key[:12]} (not in this store)"
                continue
            yield from self.node(below, name, f"{rest}{'└─' if last else '├─'} ", f"{rest}{'   ' if last else '│  '}")

    def _made(self, known: Known) -> str:
        made = known.made
        told = []
        if made.get("when"):
            told.append(str(made["when"]))
        if "wall_s" in made:
            told.append(f"{float(made['wall_s']):.1f} s")
        if made.get("max_rss_mb"):
            told.append(f"peak memory {float(made['max_rss_mb']):.0f} MB")
        if made.get("max_gpu_mb"):
            told.append(f"peak GPU memory {float(made['max_gpu_mb']):.0f} MB")
        if made.get("device"):
            told.append(f"on {made['device']}")
        if known.files:
            told.append(sized(sum(known.files.values())))
        if where := _made_on(made):
            told.append(f"[{self.made_on.setdefault(where, len(self.made_on) + 1)}]")
        return ", ".join(told)


def _head(known: Known) -> str:
    version = known.job.get("version")
    kind = f"{known.kind} v{version}" if version is not None else known.kind
    state = "" if known.state == "stored" else f" ({known.state})"
    return f"{known.label}  {known.key[:12]}  {kind}{state}"


def _sources(known: Known) -> Iterator[str]:
    """What a job reads that is no artifact: files by content, and models from elsewhere."""
    for role, file in (known.job.get("files") or {}).items():
        yield f"{role}: file {file.get('path')} sha256 {str(file.get('sha256'))[:12]}"
    model = (known.job.get("params") or {}).get("model")
    if isinstance(model, Mapping) and (model.get("hf") or model.get("path")):
        revision = f" at {model['revision']}" if model.get("revision") else ""
        yield f"model: {model.get('hf') or model.get('path')}{revision}"


def _made_on(made: Mapping[str, Any]) -> str:
    told = [str(made[name]) for name in ("host",) if made.get(name)]
    versions = {"python": made.get("python"), **(made.get("versions") or {})}
    told += [f"{name} {version}" for name, version in versions.items() if version]
    text = ", ".join(told)
    if command := made.get("command"):
        shown = command if isinstance(command, str) else " ".join(map(str, command))
        text = f"{text}; {shown}" if text else shown
    return text


def differences(browser: Browser, left: Known, right: Known) -> Iterator[str]:
    """Yield why two artifacts have different keys: each field that differs, and through inputs what lies behind.

    A pair of inputs that was compared before is not compared again.
    """
    yield from _Comparison(browser).lines(left, right, "")


class _Comparison:
    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.told: set[tuple[str, str]] = set()

    def lines(self, left: Known, right: Known, indent: str) -> Iterator[str]:
        self.told.add((left.key, right.key))
        unknown = [known.key[:12] for known in (left, right) if known.state == "damaged"]
        if unknown:
            yield f"{indent}the manifest of {' and '.join(unknown)} is damaged: run prereg store verify"
            return
        some = False
        for name in _DECIDING:
            for path, old, new in _changed(name, _deciding(left, name), _deciding(right, name)):
                some = True
                yield f"{indent}{path} {_say(old)} / {_say(new)}"
        for role in dict.fromkeys([*left.inputs, *right.inputs]):
            one, other = left.inputs.get(role, ""), right.inputs.get(role, "")
            if one != other:
                some = True
                yield from self._input(role, one, other, indent)
        if not some:
            yield f"{indent}nothing that is on record differs: they were planned by different versions of the harness"

    def _input(self, role: str, one: str, other: str, indent: str) -> Iterator[str]:
        role = "estimate" if is_key(role) else role  # a verdict's inputs go by the digest of their formula
        if not one or not other:
            yield f"{indent}input {role} {self._named(one)} / {self._named(other)}"
            return
        left, right = self.browser.get(one), self.browser.get(other)
        if left is None or right is None:
            gone = " and ".join(key[:12] for key, known in ((one, left), (other, right)) if known is None)
            yield f"{indent}input {role} {one[:12]} / {other[:12]} ({gone} is not in this store)"
        elif (one, other) in self.told:
            yield f"{indent}input {role} differs as above: {_pair(left, right)}"
        else:
            yield f"{indent}input {role} differs: {_pair(left, right)}"
            yield from self.lines(left, right, indent + "  ")

    def _named(self, key: str) -> str:
        known = self.browser.get(key) if key else None
        return f"{known.label} {key[:12]}" if known else key[:12] or _ABSENT


def _pair(left: Known, right: Known) -> str:
    names = left.label if left.label == right.label else f"{left.label} / {right.label}"
    return f"{names} ({left.key[:12]} / {right.key[:12]})"


def _deciding(known: Known, name: str) -> Any:
    value = known.job.get(name)
    if name == "files":
        return {role: file.get("sha256") for role, file in (value or {}).items()}
    return known.kind if name == "kind" else value


def _changed(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the places at which two JSON values differ, as deep as both have the same shape."""
    if old == new and type(old) is type(new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _changed(f"{path}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changed(f"{path}[{index}]", one, other)
    else:
        yield path, old, new


def _say(value: Any) -> str:
    if value is None:
        return _ABSENT
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text or '""'
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
