import json

import pytest
from chromhub.datasets_scripts.shards import Shards, fingerprint_of

from tests.datasets_scripts.exported import export_toy


def test_shards_describe_their_store(toy) -> None:
    shards = export_toy(toy)
    store = toy.build("again")
    for name in ("genome", "chrom_sizes", "chrom_digests", "bin_size", "summary", "track_names", "split"):
        assert getattr(shards, name) == getattr(store, name), name
    assert shards.layout.store_fingerprint == store.fingerprint
    assert shards.plan["stride"] == 400


def test_what_is_no_export_is_refused(toy, hub) -> None:
    toy.build()
    with pytest.raises(FileNotFoundError, match=r"holds no exported windows \(no shards.json\)"):
        Shards.open(toy.folder / "store")
    with pytest.raises(FileNotFoundError, match="org/none is neither a folder here nor a dataset on the Hub"):
        Shards.open("org/none")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": "chromhub-shards", "version": 9}', "must say chromhub-shards version 2, got .* version 9"),
        ('{"format": "chromhub-shards", "version": 2}', "is damaged: it lacks layout"),
    ],
)
def test_a_damaged_description_is_one_sentence(tmp_path, text, match) -> None:
    (tmp_path / "shards.json").write_text(text)
    with pytest.raises(ValueError, match=match):
        Shards.open(tmp_path)


def test_a_missing_cut_or_wrong_shard_is_refused(toy) -> None:
    shards = export_toy(toy)
    first, second = (toy.folder / "shards" / file.path for file in shards.files["train"][:2])
    whole = first.read_bytes()
    first.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"train-00000-of-\d+.parquet is no whole Parquet file"):
        shards.open_file(shards.files["train"][0])
    first.write_bytes((toy.folder / "shards" / shards.files["test"][-1].path).read_bytes())
    with pytest.raises(ValueError, match=r"is not the shard that shards\.json lists"):
        shards.open_file(shards.files["train"][0])
    second.unlink()
    with pytest.raises(FileNotFoundError, match=r"train-00001-of-.* is missing"):
        shards.open_file(shards.files["train"][1])


def test_a_list_of_windows_that_does_not_fit_is_refused(toy) -> None:
    shards = export_toy(toy)
    description = json.loads((toy.folder / "shards" / "shards.json").read_text())
    description["files"]["train"][0]["num_windows"] += 1
    description["fingerprint"] = fingerprint_of(description)
    (toy.folder / "shards" / "shards.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"windows.parquet lists 9\d train windows"):
        Shards.open(shards.name).windows("train")
    (toy.folder / "shards" / "windows.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"windows\.parquet is missing"):
        shards.windows("train")


def test_a_part_that_was_not_exported_is_named(toy) -> None:
    shards = export_toy(toy)
    del shards.files["test"]
    with pytest.raises(ValueError, match="has no test part: it has train, valid"):
        shards.windows("test")
