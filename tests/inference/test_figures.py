import numpy as np
import pandas as pd
import pytest
from chromhub.inference.figures import MAX_DRAWN, loss_name, scatter, tracks, training_curve
from chromhub.modeling import AtacConfig, ClasterConfig

PNG = b"\x89PNG\r\n\x1a\n"
NONE = {"loss": None, "eval_loss": None, "eval_pearson": None, "learning_rate": None}


def is_picture(path):
    return path.read_bytes().startswith(PNG) and path.stat().st_size > 5000


@pytest.mark.parametrize(
    "history",
    [
        [{"step": 5, "epoch": 0.5, **NONE, "loss": 0.5}],
        [{"step": 5, "epoch": 0.5, **NONE}],
        [{"step": i, "epoch": i / 10, **NONE, "eval_loss": 1 / i, "eval_pearson": 0.1 * i} for i in (1, 2, 9)],
        [{"step": i, "epoch": i / 10, **NONE, "loss": 1 / i, "eval_pearson": -0.1} for i in range(1, 200)],
    ],
)
def test_training_curve(history, tmp_path):
    training_curve(history, tmp_path / "curve.png")
    assert is_picture(tmp_path / "curve.png")


def test_a_run_without_history_has_no_curve(tmp_path):
    with pytest.raises(ValueError, match="must hold at least one row"):
        training_curve([], tmp_path / "curve.png")


def test_scatter(tmp_path):
    true = np.random.default_rng(0).gamma(0.5, 2, (4, 1, 256))
    scatter(true * 0.5, true, tmp_path / "some.png", title="t", unit="u")
    scatter(np.zeros((2, 1, 4)), np.zeros((2, 1, 4)), tmp_path / "zeros.png", title="t", unit="u")
    assert is_picture(tmp_path / "some.png")
    assert is_picture(tmp_path / "zeros.png")
    with pytest.raises(ValueError, match="must hold at least one bin"):
        scatter(np.zeros(0), np.zeros(0), tmp_path / "none.png", title="t", unit="u")


@pytest.mark.parametrize("num_tracks", [1, 3])
def test_tracks(tmp_path, num_tracks):
    true = np.random.default_rng(0).gamma(0.5, 2, (num_tracks, 512))
    peaks = pd.DataFrame({"chrom": ["c", "d"], "start": [1100, 1100], "end": [1300, 1300]})
    names = [f"t{i}" for i in range(num_tracks)]
    options = {"chrom": "c", "start": 1000, "bin_size": 4, "track_names": names, "unit": "u"}
    tracks(true * 0.5, true, tmp_path / "peaks.png", peaks=peaks, **options)
    tracks(true * 0, true * 0, tmp_path / "zeros.png", **options)
    assert is_picture(tmp_path / "peaks.png")
    assert is_picture(tmp_path / "zeros.png")


def test_a_curve_is_named_after_the_loss():
    claster, atac = ClasterConfig.from_preset("claster-tiny"), AtacConfig()
    assert loss_name(claster, "pearson") == "smooth L1 loss of standardised signal"
    assert loss_name(atac, "auroc") == "cross-entropy"
    assert loss_name(atac, "pearson") == "Poisson negative log likelihood"
    assert loss_name(AtacConfig(loss="profile_count"), "pearson") == "loss of profile and count"


def test_many_tracks_draw_as_many_as_fit(tmp_path, monkeypatch):
    """The strongest ones in the region; a picture of more would take minutes."""
    titles = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **_: titles.append(text))
    labels = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_ylabel", lambda self, text, **_: labels.append(text))
    true = np.repeat(np.arange(100.0)[:, None], 64, 1)
    options = {"chrom": "c", "start": 0, "bin_size": 4, "unit": "u"}
    tracks(true, true, tmp_path / "many.png", track_names=[f"t{i}" for i in range(100)], **options)
    assert titles[0].endswith(f"the {MAX_DRAWN} strongest here of 100 tracks")
    assert labels[::2] == [f"t{i}\ntrue" for i in range(100 - MAX_DRAWN, 100)]
    tracks(true[:3], true[:3], tmp_path / "few.png", track_names=["a", "b", "c"], **options)
    assert titles[1] == "c:0-256   log1p(u)"
