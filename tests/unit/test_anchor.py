"""Time stamps of an authority that is not the author: a local ``openssl ts`` one, over HTTP."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sealing import Repository, faults

from harness.core.errors import PreregError
from harness.plan.register import amend_file, seal_file
from harness.spec.anchor import query, signature_fault, stamped_at, status

CONFIG = """\
[tsa]
default_tsa = local
[local]
dir = {folder}
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
[extensions]
extendedKeyUsage = critical,timeStamping
"""


@dataclass
class Authority:
    folder: Path
    url: str = ""
    delay: str = ""

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, check=True)

    def found(self) -> None:
        (self.folder / "tsa.cnf").write_text(CONFIG.format(folder=self.folder))
        (self.folder / "serial").write_text("01")
        new = ("req", "-newkey", "rsa:2048", "-nodes")
        self.openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Local CA", "-days", "3")
        self.openssl(*new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Local TSA")
        self.openssl("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                     "-out", "tsa.pem", "-days", "3", "-extfile", "tsa.cnf", "-extensions", "extensions")  # fmt: skip

    def reply(self, asked: bytes) -> bytes:
        (self.folder / "query.tsq").write_bytes(asked)
        self.openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr")
        return (self.folder / "reply.tsr").read_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    found = Authority(tmp_path_factory.mktemp("tsa"))
    found.found()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            content = b"no time stamp" if self.path == "/broken" else found.reply(asked)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_query_is_one_that_openssl_reads(tmp_path: Path) -> None:
    (tmp_path / "q.tsq").write_bytes(query("ab" * 32))
    command = ["openssl", "ts", "-query", "-in", str(tmp_path / "q.tsq"), "-text"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Hash Algorithm: sha256" in text
    assert "Certificate required: yes" in text
    assert "ab ab ab ab" in text


def test_a_stamped_seal_is_verified_offline(repo: Repository, authority: Authority) -> None:
    seal = seal_file(repo.file, repo.place, tsa=authority.url)
    assert set(seal.stamps) == {seal.head}
    found = repo.verify(certificate=authority.certificate)
    assert found.holds, faults(found)
    assert any("time stamp of 20" in note and "not checked" not in note for note in found.notes)
    (note,) = [note for note in repo.verify().notes if "time stamp of" in note]
    assert "not checked: its signature" in note


def test_amendments_are_stamped_as_well(repo: Repository, authority: Authority) -> None:
    seal_file(repo.file, repo.place, tsa=authority.url)
    repo.change("shift >= 0.5", "shift >= 0.3")
    seal = amend_file(repo.file, "a slip", repo.place, tsa=authority.url)
    assert set(seal.stamps) == {entry.hash for entry in seal.entries}
    assert repo.verify(certificate=authority.certificate).holds


def test_a_forged_time_does_not_fit_the_stamp(repo: Repository, authority: Authority) -> None:
    seal_file(repo.file, repo.place, tsa=authority.url)
    repo.forge(lambda seal: seal["entries"][0].update(when="2001-01-01T00:00:00Z", commit="", clean=False))
    assert "its time stamp from http://127.0.0.1" in faults(repo.verify())
    assert "is of an entry that is not here" in faults(repo.verify())


def test_a_stamp_of_another_digest_is_found(repo: Repository, authority: Authority, tmp_path_factory) -> None:
    other = Repository(tmp_path_factory.mktemp("other"), "other")
    stamps = seal_file(other.file, other.place, tsa=authority.url).stamps
    seal = seal_file(repo.file, repo.place, tsa=authority.url)
    (stamp,) = stamps.values()
    repo.edit(lambda content: content["stamps"][seal.head].update(reply=stamp.reply))
    assert "its time stamp is of something else" in faults(repo.verify())


def test_a_removed_stamp_is_found(repo: Repository, authority: Authority) -> None:
    seal_file(repo.file, repo.place, tsa=authority.url)
    repo.edit(lambda content: content["stamps"].clear())
    assert "its time stamp from http://127.0.0.1" in faults(repo.verify())
    assert "was removed" in faults(repo.verify())


def test_a_stamp_of_another_authority_is_found(repo: Repository, authority: Authority, tmp_path: Path) -> None:
    seal_file(repo.file, repo.place, tsa=authority.url)
    other = Authority(tmp_path / "elsewhere")
    other.folder.mkdir()
    other.found()
    assert "is not one of this authority" in faults(repo.verify(certificate=other.certificate))


def test_an_edited_stamp_fails_its_signature(repo: Repository, authority: Authority) -> None:
    reply = authority.reply(query("cd" * 32))
    assert stamped_at(reply, "cd" * 32) is not None
    assert signature_fault(reply, "cd" * 32, authority.certificate) == ""
    at = reply.index(b"\x18\x0f20") + 2
    forged = reply[:at] + b"2001" + reply[at + 4 :]
    found = stamped_at(forged, "cd" * 32)
    assert found is not None
    assert found.year == 2001
    assert signature_fault(forged, "cd" * 32, authority.certificate)


def test_a_refusing_or_absent_authority_leaves_nothing_behind(repo: Repository, authority: Authority) -> None:
    for url, said in (
        (f"{authority.url}broken", "refuses"),
        ("http://127.0.0.1:9/", "does not answer"),
        ("ftp://x", "is no address"),
    ):
        with pytest.raises(PreregError, match=said):
            seal_file(repo.file, repo.place, tsa=url)
        assert not repo.seal.exists()
    assert status(b"") == -1
    assert stamped_at(b"", "ab" * 32) is None


def test_a_certificate_that_is_not_there_is_said(repo: Repository, authority: Authority, capsys) -> None:
    from harness.cli import main

    seal_file(repo.file, repo.place, tsa=authority.url)
    assert main(["verify", str(repo.file), "--tsa-cert", "nothing.pem"]) == 2
    assert "there is no certificate file" in capsys.readouterr().err
    assert main(["verify", str(repo.file), "--tsa-cert", str(authority.certificate), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["holds"] is True
