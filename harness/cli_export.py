"""``prereg export --osf`` on the command line: a registration as a document for a registry."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    export = commands.add_parser(
        "export", help="write a registration as a document for a registry",
        description="Write the answers to the form 'OSF Preregistration' (version 3): NAME.osf.md for people and "
        "NAME.osf.json with the form's question ids. What the preregistration and its seal do not say is written as "
        "not stated.",
    )  # fmt: skip
    export.add_argument("--osf", type=Path, required=True, metavar="FILE", help="the preregistration")
    export.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: that of FILE)")
    export.add_argument("--data", type=Path, metavar="DIR", help="folder of recorded tables")
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.core.durable import replace_file
    from harness.core.errors import PreregError, Problem, Where
    from harness.explain.osf import Sealed, osf_form
    from harness.plan.verify import verify_file
    from harness.spec.seal import seal_path

    declare_kinds()
    data = Path(options.data) if options.data else None
    bound = load_bound(options.osf, data_root=data)
    sealed = None
    if seal_path(options.osf).exists():
        found = verify_file(options.osf, data=data, full=True, declare=declare_kinds)
        sealed = Sealed(found.seal, found.faults) if found.seal is not None else None
    form = osf_form(bound, sealed)
    folder = options.out or options.osf.parent
    texts = {"md": form.markdown(), "json": json.dumps(form.plain(), indent=1, ensure_ascii=False) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, text in texts.items():
            path = folder / f"{options.osf.stem}.osf.{ending}"
            replace_file(path, text.encode())
            print(f"written: {path}")
    except OSError as error:
        raise PreregError(Problem(Where(str(folder)), f"cannot be written: {error.strerror}")) from error
    unanswered = form.plain()["not_stated"]
    if sealed is None:
        print("it is not sealed: seal it first, and the document says since when it is registered")
    print(f"not stated in the registration, and left to you: {', '.join(unanswered) or 'nothing'}")
