from dataclasses import replace
from pathlib import Path

import pytest
from chromhub.datasets_scripts.store_inputs import InputReport, TrackSource, check_inputs


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("k562=a/b.bw", "k562", "a/b.bw"),
        ("a/k562.bigWig", "k562", "a/k562.bigWig"),
        ("a/cells.day.1.bed.gz", "cells.day.1", "a/cells.day.1.bed.gz"),
        ("plain", "plain", "plain"),
    ],
)
def test_parse(text, name, path) -> None:
    assert TrackSource.parse(text) == TrackSource(name, Path(path))


def test_a_file_with_an_equals_sign_in_its_name(tmp_path) -> None:
    path = tmp_path / "dose=3.bw"
    path.touch()
    assert TrackSource.parse(str(path)) == TrackSource("dose=3", path)


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
        ((TrackSource("a", Path("a.bed")),), "--track must be a bigWig .* for fragments use --fragments"),
        ((TrackSource("a", Path("a.BigWig"), "fragments"),), "--fragments must be a BED-like file"),
    ],
)
def test_bad_tracks(toy, tracks, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_inputs(replace(toy.inputs, tracks=tracks))


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
