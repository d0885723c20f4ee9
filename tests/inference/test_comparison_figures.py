import numpy as np
import pandas as pd
from chromhub.inference.comparison_figures import browser, learning_curves
from matplotlib.image import imread

COLOURS = {"tuned": "#009E73", "none": "#222222", "measured": "#0072B2", "predicted": "#D55E00"}


def test_learning_curves_leave_out_what_was_not_measured(tmp_path):
    measured = [
        {"step": 10, "eval_pearson": 0.1},
        {"step": 15, "eval_pearson": None},
        {"step": 20, "eval_pearson": 0.3},
    ]
    never = [{"step": 10, "eval_pearson": None}]
    learning_curves({"tuned": measured, "none": never}, tmp_path / "a.png", colours=COLOURS)
    learning_curves({"tuned": measured}, tmp_path / "b.png", colours=COLOURS)
    with_gap, alone = imread(tmp_path / "a.png"), imread(tmp_path / "b.png")
    assert with_gap.std() > 0.01
    np.testing.assert_array_equal(with_gap, alone)  # a run that was never validated draws nothing


def test_a_browser_picture_shades_only_peaks_of_its_region(tmp_path):
    rows = {"measured": np.arange(250, dtype=np.float32), "predicted": np.ones(250, np.float32)}

    def draw(name, *peaks):
        table = pd.DataFrame(peaks, columns=["chrom", "start", "end"])
        place = {"chrom": "chr1", "start": 5000, "bin_size": 4, "unit": "insertions per bp", "colours": COLOURS}
        browser(rows, tmp_path / name, **place, shaded={"peaks": table})
        return imread(tmp_path / name)

    bare = draw("bare.png")
    np.testing.assert_array_equal(
        bare, draw("far.png", ("chr2", 5200, 5400), ("chr1", 4000, 5000), ("chr1", 6000, 6100))
    )
    assert (bare != draw("near.png", ("chr1", 5200, 5400))).any()
