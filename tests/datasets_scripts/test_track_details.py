import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.datasets_scripts.track_details import TrackDetails

from .bigwig_files import BEDGRAPH, write_raw_bigwig
from .conftest import SIZES


def built(toy, **details):
    return build_store(toy.inputs, toy.folder / "store", details=details)


def test_a_mask_file(toy) -> None:
    path = toy.file("m.bed", "chr2\t10\t20\nchr1\t100\t201\nchr1\t39990\t50000\nchrUn\t0\t9\n")
    store = built(toy, b=TrackDetails(mask=path))
    assert store.track_mask("a").empty
    expected = [["chr1", 100, 201], ["chr1", 39_990, 40_000], ["chr2", 10, 20]]
    assert store.track_mask("b").to_numpy().tolist() == expected
    assert store.description["tracks"][1]["masked_bp"] == 121
    assert store.has_masks
    # bins of 4 bp: 96-100 is measured, 100 to 204 is not (the last bin is touched by base 200)
    windows = pd.DataFrame({"chrom": ["chr1", "chr1", "chr2"], "start": [92, 1000, 0]})
    mask = store.gather_mask(store.flat_starts(windows), 120)
    assert (mask.shape, mask.dtype) == ((3, 2, 30), np.uint8)
    assert mask[:, 0].all()
    assert mask[0, 1].tolist() == [1] * 2 + [0] * 26 + [1] * 2
    assert mask[1, 1].all()
    assert mask[2, 1].tolist() == [1] * 2 + [0] * 3 + [1] * 25  # 8 to 20
    with pytest.raises(ValueError, match="must lie within the genome"):
        store.gather_mask(np.array([-4]), 8)


def test_without_masks_everything_counts(toy) -> None:
    store = toy.build()
    assert not store.has_masks
    assert store.gather_mask(np.array([0, 40_000]), 400).all()


def test_gaps_of_a_bigwig(toy) -> None:
    intervals = [(0, 50, 1.0), (60, 1000, 2.0), (2000, 40_000, 3.0)]
    path = write_raw_bigwig(toy.folder / "g.bw", {"chr1": SIZES["chr1"]}, [("chr1", BEDGRAPH, intervals)])
    inputs = {"tracks": (TrackSource("g", path),)}
    assert toy.build("plain", **inputs).track_mask().empty
    store = build_store(
        toy.inputs.__class__(**{**toy.inputs.__dict__, **inputs}),
        toy.folder / "store",
        details={"g": TrackDetails(mask_gaps=100)},
    )
    # the file says nothing of chr2 at all
    assert store.track_mask("g").to_numpy().tolist() == [["chr1", 1000, 2000], ["chr2", 0, 38_001]]
    assert any("not measured: 2 intervals, 39,001 bp" in note for note in store.report()[-1]["notes"])


def test_masks_change_the_fingerprint(toy) -> None:
    plain = toy.build("plain").fingerprint
    one = built(toy, a=TrackDetails(mask=toy.file("m.bed", "chr1\t0\t9\n"))).fingerprint
    assert one != plain


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ({"mask_gaps": -1}, "mask_gaps of track a must be a number of bp"),
        ({"tolerance": 0.5}, r"tolerance of track a must lie in \[0, 0\.1\), got 0\.5"),
    ],
)
def test_bad_details(toy, details, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        built(toy, a=TrackDetails(**details))


def test_a_mask_that_is_missing(toy) -> None:
    with pytest.raises(FileNotFoundError, match="the mask of track a, does not exist"):
        built(toy, a=TrackDetails(mask=toy.folder / "none.bed"))


def test_tolerance(toy) -> None:
    store = built(toy, a=TrackDetails(tolerance=0.001))
    assert [track["dtype"] for track in store.description["tracks"]] == ["uint8", "uint8"]  # integers stay exact
    assert store.signal("chr1").dtype == np.float32
