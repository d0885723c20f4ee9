import gzip

import pytest
from chromhub.datasets_scripts.compressed import is_gzip, open_binary


def test_reads_plain_and_gzip_whatever_the_name(tmp_path) -> None:
    (tmp_path / "plain.gz").write_bytes(b"abc")
    (tmp_path / "packed").write_bytes(gzip.compress(b"abc") + gzip.compress(b"def"))  # bgzip has many members
    assert not is_gzip(tmp_path / "plain.gz")
    with open_binary(tmp_path / "plain.gz") as file:
        assert file.read() == b"abc"
    with open_binary(tmp_path / "packed") as file:
        assert file.read() == b"abcdef"


def test_truncated_gzip_is_refused(tmp_path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(range(256)) * 100)[:-20])
    with pytest.raises(ValueError, match=r"a\.gz is a truncated or damaged gzip file"), open_binary(path) as file:
        file.read()


def test_damaged_gzip_is_refused(tmp_path) -> None:
    path = tmp_path / "a.gz"
    packed = bytearray(gzip.compress(bytes(range(256)) * 100))
    packed[20:40] = bytes(20)
    path.write_bytes(packed)
    with pytest.raises(ValueError, match="truncated or damaged"), open_binary(path) as file:
        file.read()


def test_missing_file(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"), open_binary(tmp_path / "none"):
        pass
