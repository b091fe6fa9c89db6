"""The lock: shared with RELION, signed, recognised as stale when its owner is dead."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitreous.errors import LockedError, ProjectError
from vitreous.project import lock, trash
from vitreous.project.folder import ProjectFolder
from vitreous.project.lock import LockPolicy, break_stale_lock, locked, read_owner
from vitreous.project.pipeline import Status

QUICK = LockPolicy(timeout_s=0.2, nameless_s=0.3)


def sign(root: Path, **changes: object) -> None:
    """Leave a lock as another process would."""
    fields = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "boot": lock.boot_id(),
        "namespace": lock.pid_namespace(),
        "started": lock.process_start(os.getpid()),
        "time": f"{time.time():.3f}",
    } | changes
    (root / lock.FOLDER).mkdir()
    text = "vitreous: adding a job\n" + "".join(f"{k}: {v}\n" for k, v in fields.items())
    (root / lock.FOLDER / "lock_default_pipeline.star").write_text(text)


def test_the_lock_says_who_holds_it_and_goes_away(tmp_path: Path) -> None:
    with locked(tmp_path, "adding Class2D/job007/") as held:
        owner = read_owner(tmp_path)
        assert owner is not None
        assert held.is_ours()
        assert (owner.pid, owner.host) == (os.getpid(), socket.gethostname())
        assert "adding Class2D/job007/" in str(owner)
        assert not owner.is_dead
        assert (tmp_path / ".relion_lock").stat().st_mode & 0o777 == 0o700
        with (
            pytest.raises(LockedError, match=f"process {os.getpid()}"),
            locked(tmp_path, "b", policy=QUICK),
        ):
            pass
    assert read_owner(tmp_path) is None


def test_a_waiter_gets_the_lock_when_it_is_given_back(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from vitreous.project.lock import locked\n"
        "with locked(Path(sys.argv[1]), 'slow'):\n print('held', flush=True); time.sleep(0.3)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with locked(tmp_path, "mine", policy=LockPolicy(timeout_s=10)):
            assert read_owner(tmp_path).pid == os.getpid()


@pytest.mark.parametrize(
    "changes",
    [{"pid": 2**22 + 5}, {"started": 1}, {"boot": "another-boot"}],
    ids=["no such process", "number used again", "machine started anew"],
)
def test_the_lock_of_a_dead_process_is_recognised_offered_and_removed(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    sign(tmp_path, **changes)
    start = time.monotonic()
    with (
        pytest.raises(LockedError, match=r"does not run any more.*vitreous unlock"),
        locked(tmp_path, "x"),
    ):
        pass
    assert time.monotonic() - start < 1
    owner = break_stale_lock(tmp_path)
    assert owner is not None
    assert owner.reason == "adding a job"
    with locked(tmp_path, "x", policy=QUICK):
        pass
    assert break_stale_lock(tmp_path) is None


def test_a_really_killed_owner_is_recognised(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal; from pathlib import Path\n"
        "from vitreous.project.lock import locked\n"
        "with locked(Path(sys.argv[1]), 'doomed'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    with pytest.raises(LockedError, match="doomed"), locked(tmp_path, "x"):
        pass
    assert break_stale_lock(tmp_path) is not None


def test_a_living_owner_and_one_on_another_host_are_left_unless_forced(tmp_path: Path) -> None:
    sign(tmp_path)
    with pytest.raises(LockedError, match="not removed"):
        break_stale_lock(tmp_path)
    (tmp_path / lock.FOLDER / "lock_default_pipeline.star").unlink()
    (tmp_path / lock.FOLDER).rmdir()
    sign(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(LockedError, match="elsewhere"):
        break_stale_lock(tmp_path)
    shutil.rmtree(tmp_path / lock.FOLDER)
    sign(tmp_path, namespace="pid:[of a container]", pid=2**22 + 5)
    with pytest.raises(LockedError, match="not removed"):
        break_stale_lock(tmp_path)
    assert break_stale_lock(tmp_path, force=True) is not None
    assert not (tmp_path / lock.FOLDER).exists()


def test_a_lock_of_relion_is_waited_for_and_its_reason_shown(tmp_path: Path) -> None:
    (tmp_path / lock.FOLDER).mkdir()
    (tmp_path / lock.FOLDER / "lock_default_pipeline.star").write_text("lock mechanism for x\n")
    with (
        pytest.raises(LockedError, match="lock mechanism for x"),
        locked(tmp_path, "x", policy=QUICK),
    ):
        pass
    assert break_stale_lock(tmp_path, force=True) is not None


def test_a_lock_without_a_name_is_stale_after_a_while(tmp_path: Path) -> None:
    (tmp_path / lock.FOLDER).mkdir()
    with pytest.raises(LockedError), locked(tmp_path, "x", policy=LockPolicy(5, nameless_s=0.3)):
        pass
    (tmp_path / lock.FOLDER / "lock_default_pipeline.star").touch()
    with pytest.raises(LockedError, match="not removed"):
        break_stale_lock(tmp_path)
    os.utime(tmp_path / lock.FOLDER, (0, 0))
    assert break_stale_lock(tmp_path) is not None


def test_a_lock_that_was_taken_away_stops_the_write(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    before = folder.file.read_text()

    def change_without_lock() -> None:
        with folder.edit("x") as pipeline:
            pipeline.counter = 9
            break_stale_lock(tmp_path, force=True)

    with pytest.raises(ProjectError, match="taken away"):
        change_without_lock()
    assert folder.file.read_text() == before


def test_a_missing_folder_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="gone"), locked(tmp_path / "no", "x"):
        pass


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "ask its owner"),
        (errno.EROFS, "read-only"),
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_a_refusal_of_the_file_system_stops_at_once_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    start = time.monotonic()
    with pytest.raises(ProjectError, match=advice), locked(tmp_path, "x"):
        pass
    assert time.monotonic() - start < 1


def test_who_waits_is_told_for_whom(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = LockPolicy(timeout_s=0.3, notice_s=0.1)
    with (
        locked(tmp_path, "a long change"),
        pytest.raises(LockedError),
        locked(tmp_path, "b", policy=policy),
    ):
        pass
    (message,) = caplog.messages
    assert "waiting for the lock" in message
    assert "a long change" in message


def test_an_old_lock_of_relion_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / lock.FOLDER).mkdir()
    (tmp_path / lock.FOLDER / "lock_default_pipeline.star").write_text("a reason of RELION")
    long_ago = time.time() - 3600
    os.utime(tmp_path / lock.FOLDER, (long_ago, long_ago))
    began = time.monotonic()
    with (
        pytest.raises(LockedError, match="unlock --force"),
        locked(tmp_path, "b", policy=LockPolicy(notice_s=0.1)),
    ):
        pass
    assert time.monotonic() - began < 10


def test_a_lock_is_told_as_such_by_what_moves_files(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("adding") as pipeline:
        name = pipeline.add_process("External", "relion.external", Status.SUCCEEDED).name
    hurried = ProjectFolder(tmp_path, policy=QUICK)
    with (
        locked(tmp_path, "a long change"),
        pytest.raises(LockedError, match="a long change") as caught,
    ):
        trash.delete(hurried, trash.plan_delete(hurried, [name]))
    assert "file system" not in str(caught.value)
