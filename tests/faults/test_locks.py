"""Locks die with their owner; a file system whose locks do not work is found out and refused, with the way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_rehearsal import RIG, ROOT, Study

from harness.core.errors import PreregError
from harness.core.locks import local_option, require_working_locks
from harness.core.store import Store

HOLD = """
import sys
from pathlib import Path
from harness.core.store import Store
lock = Store(sys.argv[1]).lock("k", "train C1")
assert lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_of_a_dead_owner_is_free_and_its_note_is_not_believed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    lock = Store(tmp_path).lock("k")
    holder = lock.holder()
    assert holder is not None
    assert (holder.pid, holder.label) == (owner.pid, "train C1")
    assert str(holder).startswith(f"pid {owner.pid} on {os.uname().nodename} since 2")
    assert not lock.acquire()
    owner.kill()
    owner.communicate()
    assert list(tmp_path.rglob("k.json")), "the note of the dead lies there still"
    assert lock.holder() is None
    assert lock.acquire()
    lock.release()


WAY_OUT = "ut the store on a local disk with --store FOLDER or PREREG_STORE"


@pytest.mark.timeout(600)
def test_a_store_without_working_locks_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    """flock grants every lock to everybody, in every process of a run."""
    study = Study(tmp_path / "study")
    life = study.start("-x", flock="always")
    assert life.end() != 0
    assert "file locks do not work on this file system (two processes held the same lock)" in life.text
    assert WAY_OUT in life.text
    assert "Traceback" not in life.text
    assert not study.said(), "no job runs where two processes could run it at once"


@pytest.mark.parametrize(("flock", "said"), [("ENOLCK", "No locks available"), ("ENOSYS", "not implemented")])
def test_a_file_system_that_knows_no_locks_is_refused(flock: str, said: str, tmp_path: Path) -> None:
    prepare = "import sys; from harness.core.store import Store; Store(sys.argv[1]).prepare()"
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(RIG), str(ROOT)]),
        "PREREG_RIG": json.dumps({"flock": flock}),
    }
    done = subprocess.run(
        [sys.executable, "-c", prepare, str(tmp_path / "store")], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "file locks do not work on this file system" in done.stderr
    assert said in done.stderr
    assert WAY_OUT in done.stderr


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:50 / {folder}/nfs rw,relatime shared:2 - nfs4 host:/export rw,vers=4.2,local_lock={local},addr=10.0.0.1
31 22 0:51 / {folder}/with\\040space rw,relatime shared:3 - lustre host:/scratch rw,localflock
32 30 0:52 / {folder}/nfs/inner rw,relatime shared:4 - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(("local", "found"), [("none", ""), ("flock", "local_lock=flock"), ("all", "local_lock=all")])
def test_locks_that_hold_on_one_host_only_are_found_by_their_mount_options(
    local: str, found: str, tmp_path: Path
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(folder=tmp_path, local=local))
    assert local_option(tmp_path / "nfs" / "store", mounts) == found
    assert local_option(tmp_path / "with space" / "store", mounts) == "localflock"
    assert local_option(tmp_path / "nfs" / "inner" / "store", mounts) == ""
    assert local_option(tmp_path, mounts) == ""
    assert local_option(tmp_path, tmp_path / "none") == ""


def test_a_network_folder_with_local_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.core.locks.local_option", lambda folder: "nolock")
    with pytest.raises(PreregError, match="mounted with nolock, its locks hold on one host only") as caught:
        require_working_locks(tmp_path / "locks")
    assert "--store FOLDER" in str(caught.value)
    assert not (tmp_path / "locks" / "proof.json").exists()
