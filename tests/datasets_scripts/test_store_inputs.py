from dataclasses import replace
from pathlib import Path

import pytest
from chromhub.datasets_scripts.reads import ReadRules
from chromhub.datasets_scripts.store_inputs import (
    InputReport,
    TrackSource,
    check_inputs,
    name_and_path,
    parse_normalise,
)


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("k562=a/b.bw", "k562", "a/b.bw"),
        ("a/k562.bigWig", "k562", "a/k562.bigWig"),
        ("a/cells.day.1.bed.gz", "cells.day.1", "a/cells.day.1.bed.gz"),
        ("plain", "plain", "plain"),
    ],
)
def test_name_and_path(text, name, path) -> None:
    assert name_and_path(text) == (name, Path(path))


def test_parse_recognises_the_format(tmp_path) -> None:
    path = tmp_path / "dose=3.bw"  # an equals sign in its name
    path.touch()
    assert TrackSource.parse(str(path)) == TrackSource("dose=3", path)
    assert TrackSource.parse(f"x={path}", kind="bedgraph").kind == "bedgraph"
    with pytest.raises(FileNotFoundError, match=r"none\.bw does not exist"):
        TrackSource.parse(str(tmp_path / "none.bw"))


@pytest.mark.parametrize(
    ("text", "depth", "name"), [("none", None, "none"), ("cpm", 1e6, "cpm"), ("2e7", 2e7, "to 20000000")]
)
def test_normalise(text, depth, name) -> None:
    assert parse_normalise(text) == depth
    assert TrackSource("a", Path("a.bw"), depth=depth).normalisation == name


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "rpkm"])
def test_bad_normalise(text) -> None:
    with pytest.raises(ValueError, match="--normalise must be none, cpm or a depth above 0"):
        parse_normalise(text)


def test_pseudobulks_of_a_barcode_table(tmp_path) -> None:
    (tmp_path / "cells.tsv").write_text("AA-1\tT cell\nCC-1\tB\n")
    track = TrackSource("pbmc", Path("f.tsv"), "fragments", barcodes=tmp_path / "cells.tsv")
    assert [(t.name, t.cell_type) for t in track.pseudobulks(prefix=False)] == [("B", "B"), ("T_cell", "T_cell")]
    assert [t.name for t in track.pseudobulks(prefix=True)] == ["pbmc.B", "pbmc.T_cell"]
    assert replace(track, barcodes=None).pseudobulks(prefix=True) == [replace(track, barcodes=None)]


def test_summary_defaults(toy) -> None:
    fragments = TrackSource("f", toy.file("f.bed", ""), "fragments")
    assert check_inputs(toy.inputs) == "max"
    assert check_inputs(replace(toy.inputs, tracks=(fragments,))) == "sum"
    both = replace(toy.inputs, tracks=(*toy.inputs.tracks, fragments))
    with pytest.raises(ValueError, match="in one store need --summary"):
        check_inputs(both)
    assert check_inputs(replace(both, summary="mean")) == "mean"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tracks": ()}, "at least one track"),
        ({"bin_size": 3}, "--bin-size must be a power of two from 1 to 4096, got 3"),
        ({"bin_size": 0}, "--bin-size must be"),
        ({"bin_size": 8192}, "--bin-size must be"),
        ({"summary": "median"}, "--summary must be one of max, mean, sum, got 'median'"),
    ],
)
def test_bad_options(toy, change, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_inputs(replace(toy.inputs, **change))


@pytest.mark.parametrize(
    ("tracks", "sentence"),
    [
        ((TrackSource("a/b", Path("a.bw")),), "must be letters, digits"),
        ((TrackSource(".", Path("a.bw")),), "must be letters, digits"),
        ((TrackSource("a", Path("a.bw")), TrackSource("a", Path("b.bw"))), "two tracks are called 'a'"),
    ],
)
def test_bad_tracks(toy, tracks, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_inputs(replace(toy.inputs, tracks=tracks))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "sam"}, "--kind must be one of bigwig, bedgraph"),
        ({"rules": ReadRules(duplicates="all")}, "--duplicates must be one of marked, keep, collapse, got 'all'"),
        ({"rules": ReadRules(min_mapping_quality=255)}, "--min-mapq must be from 0 to 254, got 255"),
        ({"peak_value": "two"}, "--peak-value must be one of one, signal, name, got 'two'"),
        ({"kind": "peaks", "depth": 1e6}, "peaks have no depth"),
        ({"kind": "tagalign", "barcodes": "f.bed"}, "--barcodes needs fragments with barcodes, got a tagalign file"),
        ({"barcodes": "f.bed", "rules": ReadRules(duplicates="collapse")}, "would merge cells: leave it out"),
        ({"exclude": ("chr1:9-5",)}, "a region must end after its start"),
        ({"path": "a.bw"}, r"a\.bw is a bigWig, not a fragments file"),
    ],
)
def test_bad_track_options(toy, change, sentence) -> None:
    track = TrackSource("f", toy.file("f.bed", "chr1\t0\t5\n"), "fragments")
    paths = {name: toy.folder / value for name, value in change.items() if name in ("path", "barcodes")}
    with pytest.raises(ValueError, match=sentence):
        check_inputs(replace(toy.inputs, tracks=(replace(track, **(change | paths)),)))


def test_digest_sees_both_ends_and_the_size(tmp_path) -> None:
    path = tmp_path / "a"
    body = bytearray(3 << 20)
    path.write_bytes(body)
    before = InputReport.of("x", path)
    for place in (0, len(body) - 1):
        changed = bytearray(body)
        changed[place] = 1
        path.write_bytes(changed)
        assert InputReport.of("x", path).sha256 != before.sha256
    path.write_bytes(body + b"\0")
    assert InputReport.of("x", path).num_bytes != before.num_bytes
