"""Arrays written row by row."""

import errno
import shutil
import subprocess

import numpy as np
import pytest
from chromhub.datasets_scripts.atomic import finished_folder
from chromhub.datasets_scripts.row_file import RowFile


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if not done or done.returncode:
        pytest.skip("no tmpfs may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_it_is_what_numpy_saves(tmp_path) -> None:
    array = np.arange(30, dtype=np.float32).reshape(5, 3, 2)
    with RowFile(tmp_path / "rows.npy", array.shape) as file:
        file.extend(array[:2].astype(np.float64))
        file.extend(array[2:])
    np.save(tmp_path / "saved.npy", array)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_rows_must_be_all_and_of_one_shape(tmp_path) -> None:
    with pytest.raises(ValueError, match="must get 5 rows, got 2"), RowFile(tmp_path / "rows.npy", (5, 2)) as file:
        file.extend(np.zeros((2, 2)))
    with (
        pytest.raises(ValueError, match=r"must have the shape \(2,\), got \(3,\)"),
        RowFile(tmp_path / "a.npy", (5, 2)) as f,
    ):
        f.extend(np.zeros((2, 3)))


def test_a_full_disk_is_an_error_before_the_work(small_disk) -> None:
    shape = (1000, 1000)  # 4 MB on a disk of 1 MiB
    with (
        pytest.raises(OSError, match=r"No space left on device while writing .*/out: free some space") as raised,
        finished_folder(small_disk / "out") as folder,
        RowFile(folder / "rows.npy", shape) as file,
    ):
        file.extend(np.zeros(shape))
    assert raised.value.errno == errno.ENOSPC
    assert list(small_disk.iterdir()) == []
