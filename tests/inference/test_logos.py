import numpy as np
import pytest
from chromhub.inference.logos import draw_letters, save_logo
from matplotlib.figure import Figure


def test_letters_pile_up_from_zero():
    heights = np.array([[1.0, 0], [0, -2.0], [3.0, 0], [0, -0.5]])
    axis = Figure().subplots()
    draw_letters(axis, heights)
    boxes = sorted((box.x0, box.y0, box.y1) for box in (patch.get_path().get_extents() for patch in axis.patches))
    # at 0: A from 0 to 1, G on top to 4. At 1: T hangs from 0 to -0.5, C below to -2.5
    assert [box[1:] for box in boxes] == [
        pytest.approx(pair, abs=1e-9) for pair in ((0, 1), (1, 4), (-2.5, -0.5), (-0.5, 0))
    ]
    assert boxes[0][0] == pytest.approx(-0.47)
    assert axis.get_ylim()[0] < -2.5
    assert axis.get_ylim()[1] > 4


def test_files(tmp_path):
    save_logo(tmp_path / "logo.png", {"a": np.eye(4), "b": -np.eye(4)}, first=100, formats=("png", "svg"))
    assert (tmp_path / "logo.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "logo.svg").read_text()
    assert "http-equiv" not in text
    assert text.count("<path") >= 8
    save_logo(tmp_path / "again.svg", {"a": np.eye(4)}, formats=("svg",))


def test_nothing_to_draw(tmp_path):
    save_logo(tmp_path / "flat.png", {"a": np.zeros((4, 3))})
    assert (tmp_path / "flat.png").exists()
