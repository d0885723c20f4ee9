"""One process at a time makes an output; real processes hold the lock here."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chromhub.datasets_scripts import output_lock as module
from chromhub.datasets_scripts.output_lock import check_unlocked, output_lock

pytestmark = pytest.mark.skipif(module.fcntl is None, reason="Windows has no flock")


@contextmanager
def held_elsewhere(file: Path) -> Iterator[subprocess.Popen]:
    """Hold a lock file in another process, as chromhub does there."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)\nprint(flush=True); input()"
    command = [sys.executable, "-c", code, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_the_second_is_refused_and_the_lock_ends_with_its_process(tmp_path) -> None:
    file = tmp_path / ".out.lock"
    with held_elsewhere(file) as process:
        sentence = "another process is making out right now: wait for it, or stop it"
        with pytest.raises(FileExistsError, match=sentence), output_lock(file, "out"):
            pass
        with pytest.raises(FileExistsError, match=sentence):
            check_unlocked(file, "out")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert file.exists()
        check_unlocked(file, "out")
        with output_lock(file, "out") as held:  # what a killed process left is taken over
            assert held
    assert not file.exists()


def test_a_lock_whose_file_is_gone_is_no_lock(tmp_path, monkeypatch) -> None:
    """Its holder ended and deleted it between this process's opening and locking it."""
    file, real = tmp_path / ".out.lock", module._lock
    opened = []

    def lock(handle: int, path: str | Path) -> bool:
        opened.append(handle)
        if len(opened) == 1:
            file.unlink()
        return real(handle, path)

    monkeypatch.setattr(module, "_lock", lock)
    with output_lock(file, "out"):
        assert len(opened) == 2
        assert os.path.samestat(os.fstat(opened[1]), file.stat())


def test_a_file_system_without_locks_goes_on(tmp_path, monkeypatch) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(module.fcntl, "flock", none)
    with module.output_lock(tmp_path / ".out.lock", "out") as held:
        assert not held
    assert list(tmp_path.iterdir()) == []


def test_a_planted_link_is_not_followed(tmp_path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / ".out.lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="symbolic links"), output_lock(tmp_path / ".out.lock", "out"):
        pass
