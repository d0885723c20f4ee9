"""The fixtures hold what their docstrings promise."""

import torch


def test_every_part_of_the_tiny_model_matters(tiny_model) -> None:
    codes = torch.randint(4, (1, 2048), dtype=torch.uint8)
    with torch.no_grad():
        whole = tiny_model(codes).predictions
        assert whole.std() > 0.1
        tiny_model.stem.grn.gamma.zero_()
        assert (tiny_model(codes).predictions - whole).abs().max() > 1e-3
