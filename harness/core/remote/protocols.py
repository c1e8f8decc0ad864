"""Which protocols can hold a store that several machines share, and what speaks them."""

from __future__ import annotations

import importlib.util

EXCLUSIVE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Protocols whose fsspec client can create an object only if there is none, in one step at the server. ``file://``
can as well, by a hard link. fsspec's own ``mode="create"`` looks first and writes then, which two writers can do at
the same time: a protocol that inherits it is refused."""
CLIENTS = {
    "s3": "'pytest-prereg[s3]'", "s3a": "'pytest-prereg[s3]'", "gs": "gcsfs", "gcs": "gcsfs",
    "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs",
}  # fmt: skip
"""What to install for a protocol."""
_MODULES = {"s3fs": ("s3", "s3a"), "gcsfs": ("gs", "gcs"), "adlfs": ("az", "abfs", "abfss")}
"""The package that speaks a protocol."""
SAFE = "s3://, gs://, az:// or file:// (a folder that is mounted everywhere)"
"""Where a store can be shared, as messages say it."""
LOCAL = ("file", "local")
"""Protocols of a folder, which is looked at without a network."""


def unsafe(protocol: str) -> str:
    """Say why a protocol cannot hold a store that several share, or nothing.

    No client of those that can is imported to find out, and none makes a connection.
    """
    if protocol in (*EXCLUSIVE, *LOCAL):
        return ""
    try:
        from fsspec import get_filesystem_class
        from fsspec.implementations.local import LocalFileSystem

        client = get_filesystem_class(protocol)
    except ImportError as error:
        return f"nothing is installed for {protocol}:// ({error})"
    except ValueError as error:
        return str(error)
    if issubclass(client, LocalFileSystem):
        return ""
    return f"{protocol}:// cannot write a file only if there is none yet, so two writers could mix their work"


def lacking(protocol: str) -> str:
    """Return the package that a protocol needs and that is not installed, or nothing; none is imported."""
    needed = ["fsspec", *(name for name, protocols in _MODULES.items() if protocol in protocols)]
    return next((name for name in needed if importlib.util.find_spec(name) is None), "")


def install(protocol: str) -> str:
    """Say what to install for a protocol, or what to use in its place."""
    packages = CLIENTS.get(protocol)
    return f"install it: pip install {packages}" if packages else "use s3://, gs://, az:// or file://"
