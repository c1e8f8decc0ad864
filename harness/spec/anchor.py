"""External anchor: an RFC 3161 time stamp of an entry's hash, by an authority that is not its author.

The request is 69 bytes that need no library; the reply is kept whole. Without the authority's certificate, only what
the reply says is read: the hash that it is of, and its time. With it (``--tsa-cert``), the ``openssl`` program checks
the signature, offline.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import PreregError

_SHA256 = bytes.fromhex("300d06096086480165030402010500")
"""AlgorithmIdentifier of SHA-256."""
_TIME = re.compile(rb"\x18[\x0f-\x15](\d{14})(?:\.\d+)?Z")
_GRANTED = (0, 1)
_TIMEOUT = 30.0


def request_stamp(digest: str, url: str) -> bytes:
    """Ask an authority for a time stamp of a SHA-256 (hex) and return its reply (DER).

    Raises:
        PreregError: it cannot be reached, refuses, or answers for another hash.
    """
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise PreregError(f"'{url}' is no address of a time-stamping authority; expected http://… or https://…")
    asked = urllib.request.Request(url, query(digest), {"Content-Type": "application/timestamp-query"})
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT) as answer:
            reply: bytes = answer.read()
    except OSError as error:
        hint = "nothing was sealed; try again, or seal without --tsa"
        raise PreregError(f"the time-stamping authority at {url} does not answer: {error}. {hint}") from error
    if status(reply) not in _GRANTED:
        raise PreregError(f"the time-stamping authority at {url} refuses (status {status(reply)}); nothing was sealed")
    if stamped_at(reply, digest) is None:
        raise PreregError(f"the reply of {url} is no time stamp of this seal; nothing was sealed")
    return reply


def query(digest: str) -> bytes:
    """Return a TimeStampReq (DER) for a SHA-256 (hex) with a nonce, asking for the certificate as well."""
    imprint = _der(0x30, _SHA256 + _der(0x04, bytes.fromhex(digest)))
    nonce = b"\x01" + secrets.token_bytes(7)  # a first byte below 0x80 keeps the number positive
    return _der(0x30, _der(0x02, b"\x01") + imprint + _der(0x02, nonce) + _der(0x01, b"\xff"))


def _der(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([tag, len(content)]) + content


def status(reply: bytes) -> int:
    """Return the PKIStatus of a TimeStampResp (0 granted, 1 granted with changes), or -1 for what is none."""
    try:
        _, start = _header(reply, 0)
        _, inner = _header(reply, start)
        return reply[inner + 2] if reply[inner : inner + 2] == b"\x02\x01" else -1
    except IndexError:
        return -1


def _header(data: bytes, at: int) -> tuple[int, int]:
    """Return the tag of the DER value at a place and where its content starts."""
    length = data[at + 1]
    return data[at], at + 2 + (length & 0x7F if length & 0x80 else 0)


def stamped_at(reply: bytes, digest: str) -> datetime | None:
    """Return the time that a reply gives to a hash, or None when it is of another one. Checks no signature.

    In a TSTInfo the imprint comes before genTime with only the serial number between.
    """
    imprint = b"\x04\x20" + bytes.fromhex(digest)
    at = reply.find(imprint)
    found = _TIME.search(reply, at + len(imprint)) if at >= 0 else None
    if found is None:
        return None
    return datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def signature_fault(reply: bytes, digest: str, certificate: Path) -> str:
    """Say why a reply is no valid stamp of a hash under an authority's certificates (PEM), or nothing.

    Raises:
        PreregError: the certificate or the openssl program is not there.
    """
    if not certificate.is_file():
        raise PreregError(f"there is no certificate file '{certificate}'")
    with tempfile.NamedTemporaryFile(suffix=".tsr") as file:
        file.write(reply)
        file.flush()
        command = ["openssl", "ts", "-verify", "-digest", digest, "-in", file.name, "-CAfile", str(certificate)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise PreregError(f"the openssl program is needed to verify a time stamp: {error}") from error
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if ":error:" in line or line.startswith("error")]
    return _reason(lines[0]) if lines else "openssl says no"


def _reason(line: str) -> str:
    """Return the words of an OpenSSL error line."""
    parts = [part for part in line.split(":") if part]
    return parts[5] if len(parts) > 5 else line
