"""When Python looks for garbage: not in what is there to stay."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collecting() -> Iterator[None]:
    """Leave the garbage collector out of planning, and what planning made out of its later rounds.

    Registrations, plans and schemas live as long as the session: looking through them again and again costs a
    fifth of a collection.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


def leave_what_there_is() -> None:
    """Keep what is loaded out of the garbage collector's later rounds, and at the end all there is.

    Python looks for garbage several times while it takes its modules apart: a quarter of a second where matplotlib is
    loaded, of a process that is over.
    """
    gc.freeze()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
