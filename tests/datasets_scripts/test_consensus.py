from dataclasses import replace

import numpy as np
import pytest
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.consensus import add_consensus
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.datasets_scripts.track_details import TrackDetails

from .conftest import SIZES


@pytest.fixture
def path(toy):
    """Bins of 4 bp of chr1: a 1 2 0, b 3 0 0, c 0 5 1, then 0; c is not measured from 4 to 8."""
    tracks = []
    for name, values in {"a": [1, 2, 0], "b": [3, 0, 0], "c": [0, 5, 1]}.items():
        signal = np.zeros(SIZES["chr1"], np.float32)
        signal[:12] = np.repeat(np.float32(values), 4)
        file = toy.bigwig(f"t{name}.bw", {"chr1": SIZES["chr1"]}, lambda _, signal=signal: signal)
        tracks.append(TrackSource(name, file))
    details = {
        "a": TrackDetails({"cell_type": "T"}),
        "b": TrackDetails({"cell_type": "T"}),
        "c": TrackDetails({"cell_type": "B"}, mask=toy.file("m.bed", "chr1\t4\t8\n")),
    }
    return build_store(replace(toy.inputs, tracks=tuple(tracks)), toy.folder / "store", details=details).path


@pytest.mark.parametrize(
    ("how", "threshold", "expected"),
    # the second bin has two tracks that were measured
    [("mean", None, [4 / 3, 1, 1 / 3]), ("max", None, [3, 2, 1]), ("open", 1.0, [1, 1, 1]), ("open", 3.0, [1, 0, 0])],
)
def test_by_hand(path, how, threshold, expected) -> None:
    store = add_consensus(path, "all", how=how, threshold=threshold)
    assert store.track_names == ["a", "b", "c", "all"]
    assert store.signal("chr1", "all")[:4].tolist() == pytest.approx([*expected, 0])
    entry = store.description["tracks"][-1]
    assert (entry["kind"], entry["how"], entry["of"], entry["threshold"]) == (
        "consensus",
        how,
        ["a", "b", "c"],
        threshold,
    )
    assert store.track_mask("all").empty
    assert store.report()[-1]["input"] == "track all"


def test_open_counts_cell_types_not_tracks(path) -> None:
    store = add_consensus(path, "open", how="open", threshold=0.0)
    assert store.signal("chr1", "open")[:3].tolist() == [2, 1, 2]


def test_summaries_are_left_out_of_the_next_one_and_masks_go_along(path) -> None:
    add_consensus(path, "x", how="max")
    assert add_consensus(path, "y", how="max").description["tracks"][-1]["of"] == ["a", "b", "c"]
    masked = add_consensus(path, "z", how="max", tracks=["c", "x"])
    assert masked.track_mask("z").empty  # x was measured there
    assert masked.signal("chr1", "z")[1] == 2


def test_bad_options(path) -> None:
    for options, sentence in (
        ({"how": "median"}, "--how must be one of mean, max, open, got 'median'"),
        ({"how": "open"}, "--threshold must be given for --how open"),
        ({"how": "mean", "threshold": 1.0}, "--threshold must be given for --how open, and for that alone"),
        ({"how": "mean", "tracks": ["a"]}, "needs two different tracks or more"),
        ({"how": "mean", "tracks": ["a", "q"]}, "has no track 'q': it has"),
    ):
        with pytest.raises(ValueError, match=sentence):
            add_consensus(path, "all", **options)
    with pytest.raises(ValueError, match="has a track 'a' already"):
        add_consensus(path, "a", how="mean")
    with pytest.raises(ValueError, match="--name must be letters"):
        add_consensus(path, "a/b", how="mean")
