import numpy as np
import pytest
import yaml
from chromhub.datasets_scripts.shard_windows import ShardWindows
from chromhub.datasets_scripts.shards import Shards
from chromhub.datasets_scripts.streaming import StreamingWindows
from chromhub.hub_models.publish_dataset import push_dataset
from datasets import load_dataset
from huggingface_hub import HfApi

from tests.datasets_scripts.conftest import toy
from tests.datasets_scripts.exported import AUGMENTED, assert_same, export_toy

__all__ = ["toy"]


def test_windows_come_back_from_the_hub(hub, toy) -> None:
    here = export_toy(toy)
    pushed = push_dataset(here.name, "org/windows", license="cc-by-4.0")
    there = Shards.open("org/windows")
    assert (there.name, there.revision, there.fingerprint) == ("org/windows", pushed.revision, here.fingerprint)
    assert there.windows("train").equals(here.windows("train"))

    one, other = (ShardWindows(shards, "train", **AUGMENTED) for shards in (here, there))
    assert_same(other.batch([9, 1, 70]), one.batch([9, 1, 70]))
    options = {"batch_size": 16, **AUGMENTED}
    for found, expected in zip(
        StreamingWindows(there, "train", **options), StreamingWindows(here, "train", **options), strict=True
    ):
        assert_same(found, expected)
    stream = load_dataset("org/windows", split="valid", streaming=True).with_format("arrow")
    starts = np.concatenate([table["start"].to_numpy() for table in stream.iter(16)])
    assert starts.tolist() == here.windows("valid")["start"].tolist()


def test_one_commit_holds_exactly_the_folder_and_the_licence(hub, toy) -> None:
    shards = export_toy(toy)
    pushed = push_dataset(shards.name, "org/windows", license="cc-by-4.0", private=True)
    files = hub.files("org/windows", "datasets")
    here = {path.relative_to(shards.name).as_posix(): path for path in (toy.folder / "shards").rglob("*.*")}
    assert set(files) == set(pushed.files) == set(here)
    assert all(files[name] == path.read_bytes() for name, path in here.items() if name != "README.md")
    repo = hub.repos["datasets", "org/windows"]
    assert repo.private
    assert len(repo.history(pushed.revision)) == 2  # the repository's own first commit, and ours
    card = files["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "cc-by-4.0"
    assert [file["split"] for file in front["configs"][0]["data_files"]] == ["train", "valid", "test"]
    assert "chromhub train --data org/windows" in card
    assert str(toy.folder) not in card
    assert "license" not in (toy.folder / "shards" / "README.md").read_text()


def test_stale_shards_go_and_other_files_stay(hub, toy) -> None:
    shards = export_toy(toy)
    push_dataset(shards.name, "org/windows", license="mit")
    api = HfApi()
    for name in ("data/train-00000-of-99999.parquet", "paper.txt"):
        api.upload_file(repo_id="org/windows", repo_type="dataset", path_or_fileobj=b"x", path_in_repo=name)
    pushed = push_dataset(shards.name, "org/windows", license="mit")
    assert set(hub.files("org/windows", "datasets")) == {*pushed.files, "paper.txt"}


@pytest.mark.parametrize(
    ("repo_id", "license", "match"),
    [
        ("windows", "mit", "a dataset's name on the Hub is ORG/NAME, got 'windows'"),
        ("org/windows", "MIT", "did you mean mit"),
    ],
)
def test_nothing_is_sent_where_something_is_wrong(hub, toy, repo_id, license, match) -> None:
    shards = export_toy(toy)
    with pytest.raises(ValueError, match=match):
        push_dataset(shards.name, repo_id, license=license)
    (toy.folder / "shards" / shards.files["train"][0].path).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="is no whole Parquet file"):
        push_dataset(shards.name, "org/windows", license="mit")
    assert not hub.log


def test_a_dataset_of_someone_else_is_not_ours(hub, toy) -> None:
    HfApi().create_repo("org/other", repo_type="dataset")
    with pytest.raises(FileNotFoundError, match=r"org/other has no shards\.json: chromhub did not make it"):
        Shards.open("org/other")
