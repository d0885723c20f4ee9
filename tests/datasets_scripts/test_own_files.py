"""What may be replaced."""

import pytest
from chromhub.datasets_scripts.own_files import check_apart, check_outside_data, check_own, clear_own, files_below, fits

FILES = ("store.json", "tracks/*.npy", "checkpoints/checkpoint-[0-9]*/**")


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("store.json", True),
        ("tracks/a.npy", True),
        ("tracks/deep/a.npy", False),  # `*` stays within a name
        ("other/store.json", False),
        ("checkpoints/checkpoint-2/a/b.pt", True),
        ("checkpoints/notes.txt", False),
        (".store.json.partial-0123abcd", True),  # what a killed process left
        (".out.lock", True),
        (".ssh", False),
    ],
)
def test_a_path_fits_part_by_part(name, ours) -> None:
    assert any(fits(name, pattern) for pattern in FILES) == ours


def test_a_folder_with_another_file_anywhere_stays(tmp_path) -> None:
    make(tmp_path, "store.json", "tracks/a.npy")
    check_own(tmp_path, FILES, others="other files")
    for name in ("thesis.txt", "tracks/thesis.txt", "tracks/deep/a.npy", ".hidden"):
        make(tmp_path, name)
        with pytest.raises(FileExistsError, match=rf"holds other files \({name}\), which --overwrite would delete"):
            check_own(tmp_path, FILES, others="other files")
        (tmp_path / name).unlink()
    (tmp_path / "tracks" / "linked").symlink_to(tmp_path)  # not followed
    with pytest.raises(FileExistsError, match="tracks/linked"):
        check_own(tmp_path, FILES, others="other files")


def test_names_that_are_anybodys_need_a_mark(tmp_path) -> None:
    make(tmp_path, "store.json")
    check_own(tmp_path, FILES, others="other files", marks={"store.json": "store"})
    with pytest.raises(FileExistsError, match=r"is not a folder that this command wrote \(no store.json of ours\)"):
        check_own(tmp_path, FILES, others="other files", marks={"store.json": "chromhub"})
    (tmp_path / "store.json").unlink()
    check_own(tmp_path, FILES, others="other files", marks={"store.json": "chromhub"})  # empty: nobody's


def test_only_own_files_are_deleted(tmp_path) -> None:
    make(tmp_path, "store.json", "tracks/a.npy", "tracks/thesis.txt", "checkpoints/checkpoint-2/x.pt", ".run.lock")
    clear_own(tmp_path, FILES)
    assert sorted(files_below(tmp_path)) == [".run.lock", "tracks/thesis.txt"]
    assert not (tmp_path / "checkpoints").exists()


def test_no_output_is_holds_or_lies_in_an_input(tmp_path) -> None:
    make(tmp_path, "in/data/genome.fa")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    data = tmp_path / "in" / "data"
    for output, said in (
        (data, "is what is read"),
        (tmp_path / "in", "holds .*/in/data, which is read"),
        (tmp_path / "link", "holds"),
        (data / "new", "lies in"),
        (tmp_path / "link" / "data" / "new", "lies in"),
    ):
        with pytest.raises(FileExistsError, match=said):
            check_apart(output, "org/name", None, data)
    check_apart(tmp_path / "in" / "data2", data)
    check_apart(tmp_path / "out", data)


def test_nothing_is_written_into_a_store(tmp_path) -> None:
    make(tmp_path, "store/store.json")
    with pytest.raises(FileExistsError, match=r"lies in the data folder .*/store \(it holds store.json\)"):
        check_outside_data(tmp_path / "store" / "deep" / "run")
    check_outside_data(tmp_path / "store")
