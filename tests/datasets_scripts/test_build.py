import errno
import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from chromhub.datasets_scripts import build as build_module
from chromhub.datasets_scripts import track_jobs
from chromhub.datasets_scripts.bed import read_intervals
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.folds import Split, asap_split
from chromhub.datasets_scripts.fragments import count_insertions
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import TrackSource

from .conftest import SIZES, toy_codes, toy_signal, write_fasta


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def report(store: GenomeStore, name: str) -> dict:
    return next(entry for entry in store.report() if entry["input"] == name)


def test_same_inputs_same_bytes(toy) -> None:
    first, second = toy.build("first"), toy.build("second")
    assert content(first.path) == content(second.path)
    names = "codes.npy store.json report.json split.json peaks.tsv blacklist.tsv unmappable.tsv gaps.tsv pieces.json"
    assert set(content(first.path)) == {*names.split(), "tracks/a.npy", "tracks/b.npy"}


@pytest.mark.parametrize(
    "change", [{"summary": "sum"}, {"genome": "x"}, {"peaks": None}, {"bin_size": 8}, {"tracks": 1}]
)
def test_fingerprint_changes_with_the_content(toy, change) -> None:
    if "tracks" in change:
        change = {"tracks": toy.inputs.tracks[:1]}
    assert toy.build("changed", **change).fingerprint != toy.build().fingerprint


def test_fingerprint_changes_with_a_base(toy) -> None:
    before = toy.build("before")
    sequences = {chrom: decode(toy_codes(chrom)) for chrom in SIZES}
    sequences["chr2"] = sequences["chr2"][:-1] + {"A": "C"}.get(sequences["chr2"][-1], "A")
    write_fasta(toy.inputs.fasta, sequences)
    after = toy.build("after")
    assert before.chrom_digests["chr1"] == after.chrom_digests["chr1"]
    assert before.chrom_digests["chr2"] != after.chrom_digests["chr2"]
    assert before.fingerprint != after.fingerprint


def test_gzip_and_lower_case_make_the_same_store(toy) -> None:
    plain = toy.build("plain")
    packed = toy.folder / "genome.fa.gz"
    packed.write_bytes(gzip.compress(toy.inputs.fasta.read_bytes().lower().replace(b"\n", b"\r\n")))
    assert toy.build("packed", fasta=packed).fingerprint == plain.fingerprint


def test_fragments(toy) -> None:
    path = toy.file("f.bed", "chr1\t100\t200\tA\t7\nchr2\t0\t50\tA\t1\nchr1\t100\t240\tA\t1\nchrM\t0\t9\tA\t1\n")
    store = toy.build(tracks=(TrackSource("atac", path, "fragments", (4, -5)),))
    assert store.summary == "sum"
    # 104, 194, 104, 234 and 4, 44
    assert {int(b): float(store.signal("chr1")[b]) for b in np.flatnonzero(store.signal("chr1"))} == {
        26: 2,
        48: 1,
        58: 1,
    }
    assert np.flatnonzero(store.signal("chr2")).tolist() == [1, 11]
    entry = report(store, "track atac")
    assert (entry["read"], entry["kept"], entry["unit"]) == (4, 3, "fragments")
    assert entry["dropped"] == {"chromosome not in the genome": 1}


@pytest.mark.parametrize("summary", ["max", "mean", "sum"])
def test_summaries_and_partial_last_bin(toy, summary) -> None:
    store = toy.build(summary=summary, bin_size=16)
    values = np.append(toy_signal("chr2", "a"), np.zeros(-SIZES["chr2"] % 16)).reshape(-1, 16)
    expected = {"max": values.max(1), "mean": values.mean(1), "sum": values.sum(1)}[summary]
    np.testing.assert_allclose(store.signal("chr2", "a"), expected, rtol=1e-6)


def test_names_of_every_input_are_brought_to_the_fastas(toy) -> None:
    sizes = {chrom.removeprefix("chr"): size for chrom, size in SIZES.items()}
    changed = toy.build(
        "renamed",
        tracks=(TrackSource("a", toy.bigwig("1.bw", sizes, lambda chrom: toy_signal("chr" + chrom, "a"))),),
        peaks=toy.file("p.bed", "1\t1000\t1300\n"),
        blacklist=toy.file("b.bed", "1\t10000\t11000\n"),
        unmappable=toy.file("u.bed", "2\t0\t5\n"),
        mask_regions=("2:100-200",),
        split=Split(("1",), (), ("2",)),
    )
    assert np.array_equal(changed.signal("chr2"), toy.build().signal("chr2", "a"))
    assert changed.peaks["chrom"].tolist() == ["chr1"]
    assert changed.blacklist.to_numpy().tolist() == [["chr1", 10_000, 11_000], ["chr2", 100, 200]]
    assert changed.split == Split(("chr1",), (), ("chr2",))


@pytest.mark.parametrize("name", ["peaks", "blacklist", "unmappable"])
def test_names_without_a_rule_are_refused_with_both_lists(toy, name) -> None:
    path = toy.file("x.bed", "NC_1\t0\t10\n")
    with pytest.raises(ValueError, match=r"x\.bed with the genome: \[NC_1\] against \[chr1, chr2\]"):
        toy.build(**{name: path})
    assert not (toy.folder / "store").exists()


def test_peaks_past_the_end_are_dropped_and_reported(toy) -> None:
    path = toy.file("p.bed", "chr1\t39900\t40001\nchr1\t39900\t40000\nchrUn\t0\t5\n")
    store = toy.build(peaks=path)
    assert store.peaks["end"].tolist() == [40_000]
    entry = report(store, "peaks")
    assert (entry["read"], entry["kept"]) == (3, 1)
    assert entry["dropped"] == {"chromosome not in the genome": 1, "past the chromosome's end": 1}
    with pytest.raises(ValueError, match="none of 1 peaks lies on the genome"):
        toy.build("other", peaks=toy.file("q.bed", "chr1\t39900\t40001\n"))


def test_masks_past_the_end_are_cut(toy) -> None:
    store = toy.build(blacklist=toy.file("b.bed", "chr1\t39900\t50000\nchr1\t45000\t50000\n"))
    assert store.blacklist.to_numpy().tolist() == [["chr1", 39_900, 40_000]]
    entry = report(store, "blacklist")
    assert (entry["read"], entry["kept"], entry["dropped"]) == (2, 1, {"past the chromosome's end": 1})


def test_empty_mask_is_fine_and_empty_peaks_are_not(toy) -> None:
    empty = toy.file("empty.bed", "")
    assert toy.build(blacklist=empty, unmappable=empty).blacklist.empty
    with pytest.raises(ValueError, match="holds no peak"):
        toy.build("other", peaks=empty)


def test_without_peaks_the_table_is_empty(toy) -> None:
    store = toy.build(peaks=None, blacklist=None, unmappable=None)
    assert store.peaks.empty
    assert list(store.peaks.columns) == ["chrom", "start", "end", "summit"]
    assert store.blacklist.empty


def test_mask_regions_join_the_blacklist(toy) -> None:
    store = toy.build(mask_regions=("chr2", "chr1:0-100"))
    expected = [["chr1", 0, 100], ["chr1", 10_000, 11_000], ["chr2", 0, 38_001]]
    assert store.blacklist.to_numpy().tolist() == expected
    assert report(store, "mask regions")["kept"] == 2
    with pytest.raises(ValueError, match="must end within chr1, which has 40000 bp"):
        toy.build("other", mask_regions=("chr1:0-40001",))
    with pytest.raises(ValueError, match="--mask-region chr9 with the genome"):
        toy.build("other", mask_regions=("chr9",))


def test_chosen_chromosomes(toy) -> None:
    store = toy.build(chroms=("chr2",))
    assert store.chrom_sizes == {"chr2": SIZES["chr2"]}
    assert np.array_equal(store.codes("chr2"), toy_codes("chr2"))
    assert store.split == Split((), ("chr2:0-19000",), ("chr2:19000-38001",))
    assert store.peaks["chrom"].tolist() == ["chr2"]
    assert report(store, "peaks")["dropped"] == {"chromosome not chosen": 3}
    with pytest.raises(ValueError, match=r"--chroms names \[chr9\], which .* lacks: it has \[chr1, chr2\]"):
        toy.build("other", chroms=("chr1", "chr9"))


def test_a_bigwig_without_a_chromosome_is_0_there(toy) -> None:
    path = toy.bigwig("c.bw", {"chr1": SIZES["chr1"]}, lambda chrom: toy_signal(chrom, "a"))
    store = toy.build(tracks=(TrackSource("c", path),))
    assert not store.signal("chr2").any()
    assert report(store, "track c")["notes"] == ["no signal for [chr2]: set to 0"]


def test_a_bigwig_of_another_assembly_is_refused(toy) -> None:
    path = toy.bigwig("c.bw", {"chr1": 39_999}, lambda _: np.ones(39_999, np.float32))
    with pytest.raises(
        ValueError, match=r"says chr1 has 39999 bp, the FASTA's chr1 has 40000: .* different assemblies"
    ):
        toy.build(tracks=(TrackSource("c", path),))


def test_tracks_without_signal_or_with_bad_signal_are_refused(toy) -> None:
    silent = toy.bigwig("silent.bw", SIZES, lambda chrom: np.zeros(SIZES[chrom], np.float32))
    with pytest.raises(ValueError, match=r"silent\.bw has no signal"):
        toy.build(tracks=(TrackSource("c", silent),))
    negative = toy.bigwig("negative.bw", SIZES, lambda chrom: -toy_signal(chrom, "a"))
    with pytest.raises(ValueError, match=r"negative\.bw at chr1:1: signal must not be negative, got -1"):
        toy.build(tracks=(TrackSource("c", negative),))
    negative.write_bytes(negative.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"negative\.bw is truncated"):
        toy.build(tracks=(TrackSource("c", negative),))
    assert sorted(path.name for path in toy.folder.iterdir() if path.is_dir()) == []


@pytest.mark.parametrize("name", ["fasta", "peaks", "blacklist", "unmappable", "split"])
def test_missing_files_are_named_before_anything_is_read(toy, name, monkeypatch) -> None:
    monkeypatch.setattr(build_module, "write_codes", None)
    with pytest.raises(FileNotFoundError, match=r"none\.x does not exist"):
        toy.build(**{name: toy.folder / "none.x"})


def test_split_is_checked_at_the_door(toy) -> None:
    with pytest.raises(ValueError, match=r"lacks: \[chr7\]; the genome has \[chr1, chr2\]"):
        toy.build(split=Split(("chr1",), ("chr7",), ()))
    with pytest.raises(ValueError, match="--split is needed for a genome without"):
        toy.build(split=None)
    with pytest.raises(ValueError, match="one of asap-0, asap-1"):
        toy.build(split="asap-9")


@pytest.mark.parametrize("prefix", ["chr", ""])
def test_a_human_genome_has_a_default_split(toy, prefix) -> None:
    names = [f"{prefix}{i}" for i in [*range(1, 23), "X"]]
    fasta = write_fasta(toy.folder / "human.fa", dict.fromkeys(names, "ACGTACGT"))
    sizes = dict.fromkeys(names, 8)
    track = TrackSource("t", toy.bigwig("h.bw", sizes, lambda _: np.ones(8, np.float32)))
    inputs = {"fasta": fasta, "tracks": (track,), "peaks": None, "blacklist": None, "unmappable": None}
    store = toy.build(**inputs, split=None)
    assert store.split == asap_split(0).placed_on(sizes)
    assert "took asap-0" in report(store, "split")["notes"][0]
    assert toy.build("three", **inputs, split="asap-3").split == asap_split(3).placed_on(sizes)
    with pytest.raises(ValueError, match="lacks"):
        toy.build("four", **inputs | {"fasta": write_fasta(toy.folder / "h.fa", {"chr1": "ACGTACGT"})}, split="asap-3")


def test_output_that_exists(toy) -> None:
    toy.build()
    with pytest.raises(FileExistsError, match=r"already exists: .*--overwrite"):
        toy.build()
    assert toy.build(overwrite=True, summary="sum").summary == "sum"
    (toy.folder / "photos").mkdir()
    toy.file("photos/cat.jpg", "miaow")
    with pytest.raises(FileExistsError, match="is not a chromhub store, so --overwrite does not replace it"):
        toy.build("photos", overwrite=True)
    assert (toy.folder / "photos" / "cat.jpg").exists()


@pytest.mark.parametrize(
    "where", ["build.write_codes", "build.peak_table", "track_jobs._write_track", "build._write_json"]
)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupted_build_leaves_what_was_there(toy, monkeypatch, where, error, overwrite) -> None:
    if overwrite:
        toy.build()
    before = sorted(toy.folder.rglob("*"))
    module, _, name = where.partition(".")
    real = getattr({"build": build_module, "track_jobs": track_jobs}[module], name)

    def fail(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)
        raise error

    monkeypatch.setattr(f"chromhub.datasets_scripts.{where}", fail)
    with pytest.raises(type(error)):
        toy.build(overwrite=overwrite)
    kept = toy.folder / ".store.partial"
    assert kept.exists() == (name == "_write_json")  # by then tracks are finished: the next run takes them up
    shutil.rmtree(kept, ignore_errors=True)
    assert sorted(toy.folder.rglob("*")) == before


def test_report(toy) -> None:
    seen = []
    store = build_module.build_store(
        toy.inputs, toy.folder / "store", on_progress=lambda stage, done, total: seen.append((stage, done, total))
    )
    assert seen[0] == ("sequence chr1", 1, 0)
    assert ("track b", 2, 2) in seen
    names = ["fasta", "split", "peaks", "blacklist", "unmappable", "track a", "track b"]
    assert [entry["input"] for entry in store.report()] == names
    entry = report(store, "fasta")
    assert (entry["file"], entry["num_bytes"]) == ("genome.fa", toy.inputs.fasta.stat().st_size)
    assert entry["notes"] == ["78,001 bp, of which N 100"]
    assert len({entry["sha256"] for entry in store.report()}) == len(names)


def test_iupac_is_reported(toy) -> None:
    sequences = {chrom: decode(toy_codes(chrom)) for chrom in SIZES}
    write_fasta(toy.inputs.fasta, sequences | {"chr2": "RY" + sequences["chr2"][2:]})
    assert "2 IUPAC letters became N" in report(toy.build(), "fasta")["notes"]


def test_real_yeast(shared, tmp_path) -> None:
    data = shared / "data" / "yeast"
    fragments = data / "yeast_500k_SRR1822137.bedpe.gz"
    inputs = build_module.StoreInputs(
        fasta=data / "sacCer3_nuclear.fa.gz",
        tracks=(TrackSource("atac", fragments, "fragments", (4, -5)),),
        mask_regions=("chrXII:451575-468931",),
        split=Path(__file__).parents[2] / "recipes" / "yeast.split.json",
    )
    store = build_module.build_store(inputs, tmp_path / "yeast")
    counts = dict(count_insertions(fragments, store.chrom_sizes, tn5_shift=(4, -5))[0])
    assert sum(store.chrom_sizes.values()) == 12_071_326
    assert store.signal("chrIV").sum() == counts["chrIV"].sum()
    entry = report(store, "track atac")
    assert entry["read"] == 467_908
    # mitochondrial fragments: the FASTA holds the nuclear chromosomes only
    assert entry["dropped"] == {"chromosome not in the genome": 16_876}
    table = read_intervals(fragments)
    here = table[(table["chrom"] == "chrII") & (table["end"] > 5)]
    starts = here["start"].to_numpy() + 4
    assert counts["chrII"][starts].min() >= 1


@pytest.mark.parametrize("name", ["thesis.txt", "tracks/thesis.npy", "tracks/deep/a.npy", ".hidden"])
def test_a_store_with_a_foreign_file_is_not_replaced(toy, name) -> None:
    path = toy.build().path
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=rf"files that are no part of its store \({name}\), which --overwrite"):
        toy.build(overwrite=True)
    assert (path / name).read_text() == "mine"


def test_adding_a_track_keeps_foreign_files(toy) -> None:
    path = toy.build().path
    for name in ("thesis.txt", "tracks/notes.txt"):
        (path / name).write_text("mine")
    build_module.add_tracks(path, [TrackSource("c", toy.folder / "a.bw")])
    assert [(path / name).read_text() for name in ("thesis.txt", "tracks/notes.txt")] == ["mine", "mine"]


def test_a_store_that_a_kill_left_without_its_name_is_opened(toy) -> None:
    path = toy.build().path
    path.rename(path.with_name(f".{path.name}.old-0123abcd"))
    assert GenomeStore.open(path).track_names == ["a", "b"]
    assert not path.with_name(f".{path.name}.old-0123abcd").exists()


@pytest.mark.parametrize("name", ["../../a", "/etc/a", "x/a"])
def test_a_track_outside_its_store_is_refused(toy, name) -> None:
    file = toy.build().path / "store.json"
    file.write_text(file.read_text().replace('"name": "a"', f'"name": "{name}"'))
    with pytest.raises(ValueError, match=r"store\.json names"):
        GenomeStore.open(file.parent)


def test_the_assay_is_recorded_as_it_is_told(toy) -> None:
    assert toy.build().assay == ""
    told = toy.build("told", assay="ATAC-seq")
    assert told.assay == told.description["assay"] == "ATAC-seq"
    with pytest.raises(ValueError, match=r"--assay must be up to 60 letters, .*got '# ATAC"):
        toy.build("no", assay="# ATAC\n")
