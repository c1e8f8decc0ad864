"""A bucket on 127.0.0.1, by moto's server, whose answers fail as planned.

Requests are answered one at a time, so that a conditional write is one step, as it is on S3.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

TIMEOUT_S = 6
"""Seconds after which clients give up on an answer here."""

Plan = Callable[[int, str, str], str]
"""Says of the n-th request (from 0), its method and its path what happens: "" nothing, "500", "503", "drop" (the
connection ends unanswered), "lost" (as "drop", but it was done), "hang" (no answer in time), "cut" (half a body)."""


class Bucket:
    """A server with one bucket, and what it was asked."""

    def __init__(self) -> None:
        self.plan: Plan = lambda number, method, path: ""
        self.asked: list[tuple[str, str]] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time, self._counting = threading.Lock(), threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.env = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "SECRET-testing",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "FSSPEC_S3": json.dumps({"config_kwargs": {"read_timeout": TIMEOUT_S, "connect_timeout": TIMEOUT_S}}),
        }  # fmt: skip
        self._client = boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1",
                                    aws_access_key_id="testing", aws_secret_access_key="SECRET-testing")  # fmt: skip
        self._client.create_bucket(Bucket="bucket")
        self.begin()

    def begin(self, plan: Plan | None = None) -> str:
        """Fail as planned from now on; return the URL of a store that is empty."""
        self.asked.clear()
        self.plan = plan or (lambda number, method, path: "")
        return f"s3://bucket/{uuid.uuid4().hex[:8]}"

    def heal(self) -> None:
        self.plan = lambda number, method, path: ""

    def contents(self, url: str) -> dict[str, bytes]:
        """Return every object of a store by its path."""
        prefix = url.removeprefix("s3://bucket/") + "/"
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {
            key.removeprefix(prefix): self._client.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys
        }

    def copy_to(self, url: str, folder: Path) -> Path:
        for name, content in self.contents(url).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    def spoil(self, url: str, part: str, content: bytes) -> str:
        """Put other bytes in the place of the one object whose path has ``part`` in it; return its path."""
        (name,) = [name for name in self.contents(url) if part in name]
        key = f"{url.removeprefix('s3://bucket/')}/{name}"
        self._client.put_object(Bucket="bucket", Key=key, Body=content)
        return name

    def close(self) -> None:
        self._server.shutdown()

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._counting:
            number = len(self.asked)
            self.asked.append((method, path))
        wrong = self.plan(number, method, path)
        if wrong in ("500", "503"):
            code = {"500": "InternalError", "503": "SlowDown"}[wrong]
            body = f"<Error><Code>{code}</Code><Message>planned</Message></Error>".encode()
            start(f"{wrong} Planned", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [b"" if method == "HEAD" else body]
        if wrong == "drop":
            return _hang_up(environ)
        if wrong == "hang":
            time.sleep(TIMEOUT_S * 1.5)
            return _hang_up(environ)
        given: list[Any] = []
        with self._one_at_a_time:
            body = b"".join(self._app(environ, lambda status, headers, error=None: given.extend((status, headers))))
        if wrong == "lost":
            return _hang_up(environ)
        start(*given)
        if wrong == "cut" and len(body) > 1:
            return _half(environ, body)
        return [body]


def _half(environ: dict[str, Any], body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    _hang_up(environ)


def _hang_up(environ: dict[str, Any]) -> Iterable[bytes]:
    with contextlib.suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


@contextlib.contextmanager
def environment(bucket: Bucket) -> Iterator[None]:
    """Have this process talk to the bucket, too."""
    before = {name: os.environ.get(name) for name in bucket.env}
    os.environ.update(bucket.env)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
