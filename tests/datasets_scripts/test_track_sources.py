import json

import numpy as np
import pytest
from chromhub.datasets_scripts import tn5, track_sources
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.reads import ReadRules
from chromhub.datasets_scripts.store_inputs import TrackSource

from .conftest import SIZES, toy_codes, toy_signal, write_fasta

CELLS = "chr1\t100\t200\tAA-1\t1\nchr1\t100\t300\tCC-1\t1\nchr2\t0\t50\tAA-1\t1\nchr2\t8\t9\tGG-1\t1\n"


def report(store, name: str) -> dict:
    return next(entry for entry in store.report() if entry["input"] == name)


def cells(toy, **options) -> TrackSource:
    table = toy.file("cells.tsv", "AA-1\tT\nCC-1\tB\n")
    return TrackSource("pbmc", toy.file("f.tsv", CELLS), "fragments", barcodes=table, **options)


def test_bedgraph_equals_bigwig_and_peaks(toy) -> None:
    lines = []
    for chrom in SIZES:
        values = toy_signal(chrom, "a")
        lines += [f"{chrom[3:]}\t{i}\t{i + 1}\t{values[i]:g}" for i in np.flatnonzero(values)]
    bedgraph = TrackSource("a", toy.file("a.bedgraph", "\n".join(reversed(lines))), "bedgraph")
    store, plain = toy.build("one", tracks=(bedgraph,)), toy.build("two")
    for chrom in SIZES:
        assert np.array_equal(store.signal(chrom), plain.signal(chrom, "a"))
    entry = report(store, "track a")
    assert (entry["unit"], entry["read"], entry["kept"]) == ("intervals", len(lines), len(lines))


@pytest.mark.parametrize(("value", "expected"), [("one", 1), ("signal", 2.5)])
def test_peaks_as_signal(toy, value, expected) -> None:
    text = "chr1\t8\t18\tp\t9\t.\t2.5\t-1\t-1\t2\nchrUn\t0\t5\tp\t9\t.\t2.5\t-1\t-1\t2\n"
    store = toy.build(tracks=(TrackSource("p", toy.file("p.narrowPeak", text), "peaks", peak_value=value),))
    assert store.signal("chr1")[:6].tolist() == [0, 0, expected, expected, expected, 0]
    entry = report(store, "track p")
    assert entry["dropped"] == {"chromosome not in the genome": 1}
    assert any(note.startswith("peaks as signal: ") for note in entry["notes"])
    assert store.description["tracks"][0]["peak_value"] == value


def test_intervals_past_the_end_are_of_another_assembly(toy) -> None:
    path = toy.file("a.bedgraph", "chr1\t39990\t40001\t1\n")
    with pytest.raises(ValueError, match="an interval that ends at chr1:40001, the FASTA's chr1 has 40000 bp"):
        toy.build(tracks=(TrackSource("a", path, "bedgraph"),))
    with pytest.raises(ValueError, match="holds no interval"):
        toy.build(tracks=(TrackSource("a", toy.file("b.bedgraph", "# nothing\n"), "bedgraph"),))


def test_one_pass_gives_a_track_for_each_cell_type(toy, monkeypatch) -> None:
    passes = []
    plain = track_sources.spool_reads
    monkeypatch.setattr(track_sources, "spool_reads", lambda *a, **k: passes.append(a) or plain(*a, **k))
    store = toy.build(tracks=tuple(cells(toy).pseudobulks(prefix=False)))
    assert len(passes) == 1
    assert store.track_names == ["B", "T"]
    assert [np.flatnonzero(store.signal("chr1", name)).tolist() for name in "BT"] == [[25, 74], [25, 49]]
    assert np.flatnonzero(store.signal("chr2", "T")).tolist() == [0, 12]
    entry = report(store, "track T")
    assert (entry["read"], entry["kept"]) == (4, 2)
    assert entry["dropped"] == {"barcode not in the table": 1, "another cell type": 1}
    assert store.description["tracks"][1]["cell_type"] == "T"
    with pytest.raises(ValueError, match=r"have no barcode in common, .* starts with TT"):
        toy.build("b", tracks=tuple(cells_with(toy, "TT\tB\n").pseudobulks(prefix=False)))


def cells_with(toy, table: str) -> TrackSource:
    return TrackSource("p", toy.file("f.tsv", CELLS), "fragments", barcodes=toy.file("t.tsv", table))


def test_a_track_alone_reads_the_file_itself(toy) -> None:
    track = cells(toy).pseudobulks(prefix=True)[0]
    store = toy.build(tracks=(track,))
    assert (store.track_names, float(np.sum(store.signal("chr1")))) == (["pbmc.B"], 2)


@pytest.mark.parametrize("chroms", [None, ("chr1",)])
def test_normalised_counts_do_not_depend_on_the_chosen_chromosomes(toy, chroms) -> None:
    path = toy.file("f.bed", "chr1\t0\t50\nchr1\t0\t60\nchr2\t0\t50\n")
    track = TrackSource("f", path, "fragments", depth=1e6)
    store = toy.build(tracks=(track,), chroms=chroms)
    # 3 fragments are 6 insertions: each counts 1e6 / 6
    assert store.signal("chr1")[0] == pytest.approx(2e6 / 6)
    described = store.description["tracks"][0]
    assert (described["normalisation"], described["depth"]) == ("cpm", 6)
    assert described["scale"] == pytest.approx(1e6 / 6)
    assert any("normalised (cpm): depth 6" in note for note in report(store, "track f")["notes"])


@pytest.mark.parametrize("kind", ["bigwig", "bedgraph"])
def test_normalised_signal(toy, kind) -> None:
    path = toy.bigwig("n.bw", SIZES, lambda chrom: np.full(SIZES[chrom], 2.0, np.float32))
    if kind == "bedgraph":
        path = toy.file("n.bedgraph", "".join(f"{chrom}\t0\t{size}\t2\n" for chrom, size in SIZES.items()))
    store = toy.build(tracks=(TrackSource("n", path, kind, depth=78_001),))
    # 2 at each of 78,001 bp, scaled to a sum of 78,001
    assert set(np.unique(store.signal("chr1"))) == {1.0}
    assert store.description["tracks"][0]["normalisation"] == "to 78001"
    assert store.description["tracks"][0]["depth"] == 2 * 78_001


def test_raw_tracks_say_so(toy) -> None:
    described = toy.build().description["tracks"][0]
    assert described["normalisation"] == "none"
    assert "depth" not in described


def test_excluded_reads_are_counted_and_leave_the_depth(toy) -> None:
    lines = [
        "chr1\t0\t50",
        "chr1\t1990\t2001",
        "chr1\t2100\t2200",
        "chr1\t3000\t3100",
        "chr2\t0\t50",
        "MT\t0\t9",
        "x\t0\t9",
    ]
    path = toy.file("f.bed", "\n".join(lines))
    exclude = ("chr1:2000-3000", "2", "chrM", "chrZ")
    store = toy.build(tracks=(TrackSource("f", path, "fragments", exclude=exclude, depth=8),))
    assert np.flatnonzero(store.signal("chr1")).tolist() == [0, 12, 750, 774]
    assert store.signal("chr1")[0] == 2  # 2 of 7 fragments count, which are 4 insertions, scaled to 8
    assert not store.signal("chr2").any()
    entry = report(store, "track f")
    assert entry["dropped"] == {"in an excluded region": 4, "chromosome not in the genome": 1}
    assert (entry["read"], entry["kept"]) == (7, 2)
    assert "nothing to exclude: neither the genome nor the file has chrZ" in entry["notes"]
    assert store.description["tracks"][0]["exclude"] == list(exclude)


@pytest.mark.parametrize("kind", ["bigwig", "bedgraph"])
def test_excluded_signal_is_zero(toy, kind) -> None:
    path = toy.folder / "a.bw"
    if kind == "bedgraph":
        path = toy.file("n.bedgraph", "".join(f"{chrom}\t0\t{size}\t2\n" for chrom, size in SIZES.items()))
    store = toy.build(tracks=(TrackSource("n", path, kind, exclude=("chr1:1001-1100", "chr2")),))
    assert not store.signal("chr1")[250:275].any()
    assert store.signal("chr1")[275:280].all()
    assert not store.signal("chr2").any()


def test_rules_are_described(toy) -> None:
    path = toy.file("f.bed", "chr1\t0\t50\nchr1\t0\t50\n")
    rules = ReadRules(min_mapping_quality=30, duplicates="collapse")
    store = toy.build(tracks=(TrackSource("f", path, "fragments", (4, -4), rules),))
    described = store.description["tracks"][0]
    expected = {"kind": "fragments", "tn5_shift": [4, -4], "min_mapping_quality": 30, "duplicates": "collapse"}
    assert expected.items() <= described.items()
    assert described["sum"] == 2
    json.dumps(described)


def test_a_wrong_tn5_shift_is_noted(toy, monkeypatch) -> None:
    monkeypatch.setattr(tn5, "_MIN_CUTS", 1000)
    lines = []
    for chrom, size in SIZES.items():
        bases, centres = toy_codes(chrom), np.arange(50, size - 50)
        sites = centres[(bases[centres - 2] == 2) & (bases[centres + 2] == 1)]  # a palindrome: G, three bp, C
        ends = zip(sites[:-40], sites[40:], strict=True)
        lines += [f"{chrom}\t{first - 4}\t{last + 5}" for first, last in ends]  # from the first to the last of nine bp
    path = toy.file("f.bed", "\n".join(lines))
    found = {}
    for name, shift in (("raw", (0, 0)), ("right", (4, -4))):
        store = toy.build(name, tracks=(TrackSource("f", path, "fragments", shift),))
        found[name] = [note for note in report(store, "track f")["notes"] if "Tn5" in note]
    assert found["right"] == []
    assert found["raw"][0].endswith("--tn5-shift 4,-4 puts both on it")


def shared_scaffold(toy):
    """Return a genome of chr1, chr2 and a scaffold, all of the same name but the chromosomes in the files below."""
    sequences = {chrom: decode(toy_codes(chrom)) for chrom in SIZES}
    return write_fasta(toy.folder / "s.fa", {**sequences, "KI270728.1": "ACGT" * 500})


def test_a_shared_scaffold_does_not_hide_the_chromosomes(toy) -> None:
    text = "1\t100\t200\n2\t100\t200\n2\t500\t700\nKI270728.1\t10\t20\n"
    tracks = (
        TrackSource("f", toy.file("f.bed", text), "fragments"),
        TrackSource("g", toy.file("g.bedgraph", "".join(f"{line}\t1\n" for line in text.splitlines())), "bedgraph"),
    )
    peaks, fasta = toy.file("p.bed", text), shared_scaffold(toy)
    store = toy.build(fasta=fasta, tracks=tracks, peaks=peaks, summary="sum", bin_size=4)
    sums = {chrom: [float(store.signal(chrom, name).sum()) for name in "fg"] for chrom in store.chrom_sizes}
    assert sums == {"chr1": [2, 100], "chr2": [4, 300], "KI270728.1": [2, 10]}
    assert len(store.peaks) == 4
    assert [entry.get("warnings", []) for entry in store.report()] == [[]] * len(store.report())


def test_what_loses_over_half_says_what(toy) -> None:
    text = "chr1\t100\t200\nNC_1\t100\t200\nNC_2\t500\t700\n"
    track = TrackSource("f", toy.file("f.bed", text), "fragments")
    store = toy.build(tracks=(track,), peaks=toy.file("p.bed", text), summary="sum")
    lost = "only 1 of 3 {} are kept (2 chromosome not in the genome, the genome lacks [NC_1, NC_2]): is it of the same"
    for name, file, unit in (("track f", "f.bed", "fragments"), ("peaks", "p.bed", "peaks")):
        (warning,) = report(store, name)["warnings"]
        assert warning.startswith(f"{name} {file}: {lost.format(unit)}")


def test_a_chromosome_of_another_length_matters_where_it_is_read(toy) -> None:
    sizes = {**SIZES, "chr2": SIZES["chr2"] - 2}
    path = toy.bigwig("n.bw", sizes, lambda chrom: np.ones(sizes[chrom], np.float32))
    with pytest.raises(ValueError, match=r"n\.bw says chr2 has 37999 bp, the FASTA's chr2 has 38001"):
        toy.build(tracks=(TrackSource("n", path),))
    split = Split(("chr1:0-10000",), ("chr1:10000-20000",), ("chr1:20000-30000",))
    for options in ({"tracks": (TrackSource("n", path),), "chroms": ("chr1",)}, {"tracks": (_without_chr2(path),)}):
        store = toy.build("s", overwrite=True, split=split, summary="sum", peaks=None, **options)
        assert float(store.signal("chr1", "n").sum()) == SIZES["chr1"]
        assert any(note.startswith("chr2 has 37,999 bp") for note in report(store, "track n")["notes"])


def _without_chr2(path) -> TrackSource:
    return TrackSource("n", path, exclude=("chr2",))
