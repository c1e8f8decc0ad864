"""A small repository with one prereg, its bank, its table and its judge's prompt, for tests of the seal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.compose import declare_kinds
from harness.core.ident import digest
from harness.core.store import Store
from harness.plan.register import Place, amend_file, seal_file
from harness.plan.verify import Verified, verify_file
from harness.spec.seal import Seal, read_seal, seal_path, write_seal

TEXT = """\
# A toy for the seal.
prereg: 1
id: {id}
title: A toy
question: Is b above a?
hypotheses:
  H1:
    claim: b is above a
    all:
      big: shift >= 0.5
      clear: ci(shift) > 0
kill:
  none: ci(shift) < 0.1
triage:
  - H1: b is above a -> go on
  - otherwise: not shown -> stop
confidence: {{LOW: otherwise}}
estimands:
  shift: table.b - table.a
measures:
  table: {{kind: recorded, file: tables/toy.csv, columns: {{item: dim, a: number, b: number}}, resample: item}}
dims:
  item: {{file: banks/items.yaml, primary: mean}}
"""
BANK = "# items\nlevels:\n" + "".join(f"  - {{name: i{n}, text: item {n}}}\n" for n in range(1, 5))
TABLE = "item,a,b\ni1,1.0,2.0\ni2,1.1,2.2\ni3,0.9,1.8\ni4,1.2,2.1\n"

Edit = Callable[[dict[str, Any]], None]


class Repository:
    """A git repository in ``folder``; ``place`` has its store and reports."""

    def __init__(self, folder: Path, name: str = "toy") -> None:
        declare_kinds()
        self.folder, self.name = folder, name
        for sub in ("banks", "tables"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / "banks" / "items.yaml").write_text(BANK)
        (folder / "tables" / "toy.csv").write_text(TABLE)
        self.file.write_text(TEXT.format(id=name))
        (folder / ".gitignore").write_text(".prereg\n")
        self.git("init", "-q")
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")
        self.commit()

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    @property
    def seal(self) -> Path:
        return seal_path(self.file)

    @property
    def place(self) -> Place:
        return Place(Store(self.folder / ".prereg"), self.folder / "results", None)

    def git(self, *arguments: str, date: str = "") -> str:
        import os

        env = {**os.environ, **({"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date} if date else {})}
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, date: str = "") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "state", date=date)
        return self.git("rev-parse", "HEAD")

    def sealed(self) -> Seal:
        return seal_file(self.file, self.place)

    def amended(self, because: str = "it was a slip") -> Seal:
        return amend_file(self.file, because, self.place)

    def verify(self, **options: Any) -> Verified:
        return verify_file(self.file, declare=declare_kinds, **options)

    def change(self, old: str, new: str, file: Path | None = None) -> None:
        file = file or self.file
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def edit(self, edit: Edit) -> None:
        """Edit the JSON of the seal and nothing else."""
        content = json.loads(self.seal.read_bytes())
        edit(content)
        self.seal.write_text(json.dumps(content))

    def forge(self, edit: Edit) -> None:
        """Edit the JSON of the seal and make every digest, hash and link fit again."""
        self.edit(edit)
        seal, previous, entries = read_seal(self.seal), "", []
        for entry in seal.entries:
            fields = {**vars(entry), "previous": previous, "meaning_sha256": digest(entry.meaning)}
            entries.append(type(entry)(**fields).sealed())
            previous = entries[-1].hash
        write_seal(Seal(self.seal, seal.id, tuple(entries), previous, seal.stamps))


def faults(found: Verified) -> str:
    return "\n".join(found.faults)
