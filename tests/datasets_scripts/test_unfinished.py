import pytest
from chromhub.datasets_scripts.unfinished import unfinished_parts


def interrupted(path, settings, *names):
    def run():
        with unfinished_parts(path, settings) as folder:
            for name in names:
                (folder / name).write_text(name)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()


def test_parts_are_kept_after_an_interruption_and_gone_in_the_end(tmp_path):
    path = tmp_path / "out.tsv"
    interrupted(path, {"batch": (1, 2)}, "part-0")
    with unfinished_parts(path, {"batch": (1, 2)}) as folder:
        assert (folder / "part-0").read_text() == "part-0"
        path.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["out.tsv"]


def test_other_settings_start_anew(tmp_path):
    interrupted(tmp_path / "out.tsv", {"batch": 1}, "part-0")
    with unfinished_parts(tmp_path / "out.tsv", {"batch": 2}) as folder:
        assert not list(folder.glob("part-*"))


def test_nothing_worth_keeping_leaves_nothing(tmp_path):
    interrupted(tmp_path / "out.tsv", {})
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_one_file_and_a_file_that_exists(tmp_path):
    with unfinished_parts(tmp_path / "out.tsv", {}) as folder:
        with (
            pytest.raises(FileExistsError, match="another process is making"),
            unfinished_parts(tmp_path / "out.tsv", {}),
        ):
            pass
        with unfinished_parts(tmp_path / "out.tsv", {}, leader=False) as shared:
            assert shared == folder
        assert folder.is_dir()
    (tmp_path / "there").write_text("mine")
    with pytest.raises(FileExistsError, match="already exists"), unfinished_parts(tmp_path / "there", {}):
        pass
