import json
from dataclasses import replace

import pytest
from chromhub.datasets_scripts.folds import Split
from chromhub.inference.provenance import (
    Provenance,
    SeenChrom,
    find_leak,
    find_provenance,
    find_untold,
    leak_record,
    library_versions,
    part_intervals,
    record_text,
    refuse_leak,
)
from huggingface_hub import HfApi, try_to_load_from_cache


class Genome:
    """As much of a GenomeStore as provenance looks at."""

    def __init__(self, genome="toy", digests=None, **parts):
        self.genome = genome
        self.chrom_sizes = {"chr1": 1000, "chr2": 500}
        self.chrom_digests = digests or {"chr1": "one", "chr2": "two"}
        self.split = Split(**{"train": (), "valid": (), "test": (), **parts})


def provenance(trained=(), selected=(), *, genome="toy", base=None):
    return Provenance(
        base_model="org/base" if base else None,
        genome=genome,
        trained_on=tuple(SeenChrom(*chrom) for chrom in trained),
        selected_on=tuple(SeenChrom(*chrom) for chrom in selected),
        tracks=("atac",),
        seed=3,
        mode="lora",
        data_fingerprint="f00d",
        recipe={"epochs": 2},
        versions={"torch": "2.0"},
        base=base,
    )


def test_round_trip_with_a_chain(tmp_path):
    base = provenance([("chr2", "two", ((0, 500),))], genome="other")
    whole = provenance([("chr1", "one", ((0, 10), (20, 30)))], [("chr1", "one", ((50, 60),))], base=base)
    whole.save(tmp_path)
    assert Provenance.load(tmp_path) == whole
    assert find_provenance(tmp_path) == whole
    assert json.loads((tmp_path / "provenance.json").read_text())["trained_on"][0]["intervals"] == [[0, 10], [20, 30]]
    assert list(whole.chain()) == [whole, base]
    assert whole.seen() == [
        ("toy", whole.trained_on[0]),
        ("toy", whole.selected_on[0]),
        ("other", base.trained_on[0]),
    ]
    assert whole.seen(selection=False) == [("toy", whole.trained_on[0]), ("other", base.trained_on[0])]


def test_keys_of_a_later_version_are_passed_over():
    values = {**provenance().to_dict(), "later": 1}
    assert Provenance.from_dict(values) == provenance()


def test_no_file_is_none_and_a_damaged_one_is_an_error(tmp_path):
    assert Provenance.load(tmp_path) is None
    assert find_provenance(tmp_path) is None
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(ValueError, match=r"provenance\.json is not valid JSON .*; restore the file"):
        Provenance.load(tmp_path)
    (tmp_path / "provenance.json").write_text('{"genome": "toy"}')
    with pytest.raises(ValueError, match="does not say what the model has seen: KeyError 'trained_on'"):
        Provenance.load(tmp_path)
    (tmp_path / "provenance.json").write_text('{"trained_on": [{"chrom": "c", "digest": "d", "intervals": [3]}]}')
    with pytest.raises(ValueError, match="does not say what the model has seen: TypeError"):
        Provenance.load(tmp_path)


def test_from_the_hub(tmp_path, hub):
    api = HfApi()
    for name in ("org/with", "org/without"):
        api.create_repo(name)
        (tmp_path / "config.json").write_text("{}")
        api.upload_file(repo_id=name, path_in_repo="config.json", path_or_fileobj=tmp_path / "config.json")
    provenance().save(tmp_path)
    api.upload_file(repo_id="org/with", path_in_repo="provenance.json", path_or_fileobj=tmp_path / "provenance.json")
    assert find_provenance("org/with") == provenance()
    assert find_provenance("org/without") is None
    assert find_provenance("org/without") is None  # the cache knows by now
    assert not isinstance(try_to_load_from_cache("org/without", "provenance.json"), str)


def test_a_hub_that_cannot_be_asked_is_not_taken_for_a_clean_model(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=r"what org/unheard-of was trained on is not known: .*; try again online"):
        find_provenance("org/unheard-of")


def test_intervals_of_a_part():
    store = Genome(test=("chr1:0-100", "chr1:100-150", "chr1:300-400", "chr2"))
    assert part_intervals(store, "test") == (
        SeenChrom("chr1", "one", ((0, 150), (300, 400))),  # those that touch are one
        SeenChrom("chr2", "two", ((0, 500),)),
    )
    assert part_intervals(store, "valid") == ()


def test_a_leak_is_named_and_joined():
    seen = provenance(
        [("chr1", "one", ((0, 120), (390, 395), (80, 130)))],
        base=provenance([("chr2", "two", ((100, 101),))]),
    )
    store = Genome(test=("chr1:100-200", "chr1:300-400", "chr2"))
    assert find_leak(seen, store, "test") == ["chr1:100-130", "chr1:390-395", "chr2:100-101"]
    sentence = (
        r"the test part of the data overlaps .*: chr1:100-130, chr1:390-395, chr2:100-101; choose another "
        "split, or give --allow-leak"
    )
    with pytest.raises(ValueError, match=sentence):
        refuse_leak(seen, store, "test")


def test_intervals_that_only_touch_are_no_leak():
    seen = provenance([("chr1", "one", ((0, 100), (200, 1000)))])
    store = Genome(test=("chr1:100-200",))
    assert find_leak(seen, store, "test") == []
    refuse_leak(seen, store, "test")


def test_many_leaks_are_counted():
    seen = provenance([("chr1", "one", tuple((i, i + 1) for i in range(0, 20, 2)))])
    with pytest.raises(ValueError, match=r"chr1:8-9 and 5 more;"):
        refuse_leak(seen, Genome(test=("chr1",)), "test")


@pytest.mark.parametrize(
    ("genome", "chrom", "digest", "leaks"),
    [
        ("toy", "chr1", "else", True),  # the same name in the same assembly, masked otherwise
        ("TOY", "1", "else", True),
        ("toy", "chr2", "else", True),
        ("toy", "chr3", "else", False),
        ("", "chr1", "else", False),  # an assembly without a name equals none
        ("hg19", "chr1", "else", False),
        ("hg19", "renamed", "one", True),  # the same sequence
        ("", "renamed", "", False),
    ],
)
def test_what_makes_two_chromosomes_the_same(genome, chrom, digest, leaks):
    seen = provenance([(chrom, digest, ((0, 10),))], genome=genome)
    assert bool(find_leak(seen, Genome(test=("chr1", "chr2")), "test")) == leaks
    assert bool(find_leak(seen, Genome(genome="", digests={"chr1": "", "chr2": ""}, test=("chr1",)), "test")) is False


@pytest.mark.parametrize(
    ("genome", "chrom", "digest", "size", "untold"),
    [
        ("", "chr1", "else", 1000, ["chr1:0-10"]),  # one base changed, or another assembly
        ("GRCtoy", "1", "else", 1000, ["chr1:0-10"]),  # an alias, perhaps
        ("", "chr1", "else", 999, []),  # another assembly
        ("", "chr1", "one", 1000, []),  # a leak, which is told
        ("toy", "chr1", "else", 1000, []),  # likewise
        ("", "chr3", "else", 1000, []),
        ("", "chr1", "else", 0, ["chr1:0-10"]),  # a record that tells no sizes
        ("hg19", "chr1", "else", 0, []),
    ],
)
def test_where_it_cannot_be_told(genome, chrom, digest, size, untold):
    seen = provenance([(chrom, digest, ((0, 10),), size)], genome=genome)
    seen = replace(seen, base_model=None)
    store = Genome(test=("chr1:0-500",))
    assert find_untold(seen, store, "test") == untold
    record = leak_record(seen, store, "test", allowed=False)
    assert record["checked"] == (not untold)
    assert record.get("unchecked", []) == untold
    assert bool(record["overlaps"]) == (digest == "one" or genome == "toy")


def test_sizes_are_kept(tmp_path):
    seen = provenance([("chr1", "one", ((0, 10),), 1000)])
    seen.save(tmp_path)
    assert Provenance.load(tmp_path).trained_on[0].size == 1000
    assert part_intervals(Genome(test=("chr2",)), "test")[0].size == 500


def test_validation_counts_for_the_test_part_but_not_for_itself():
    seen = provenance([("chr1", "one", ((0, 10),))], [("chr2", "two", ((0, 500),))])
    assert find_leak(seen, Genome(valid=("chr2",)), "valid") == []
    assert find_leak(seen, Genome(test=("chr2",)), "test") == ["chr2:0-500"]
    assert find_leak(seen, Genome(valid=("chr1",)), "valid") == ["chr1:0-10"]
    assert find_leak(seen, Genome(train=("chr1",)), "train") == ["chr1:0-10"]


def test_versions():
    assert {"python", "chromhub", "torch", "transformers"} <= set(library_versions())


def test_an_interval_is_a_line_and_nothing_is_lost():
    record = {
        "trained_on": [{"chrom": "chr1", "intervals": [[0, 512], [1024, 2048]]}],
        "recipe": {"betas": [0.9, 0.95]},
    }
    text = record_text(record)
    assert json.loads(text) == record
    assert [line.strip() for line in text.splitlines() if "512" in line] == ["[0, 512],"]
