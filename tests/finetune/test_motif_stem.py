import numpy as np
import pytest
import torch
from chromhub.finetune.motif_stem import different, log_odds, shifted, start_from_motifs
from chromhub.finetune.recipe import load_recipe
from chromhub.inference.meme import write_motifs
from chromhub.modeling import AtacConfig
from chromhub.modeling.stems import build_stem
from torch import nn

CONV = {"type": "conv", "unit": "conv-relu", "padding": "same"}


def certain(bases: str) -> np.ndarray:
    motif = np.zeros((4, len(bases)))
    motif[["ACGT".index(base) for base in bases], range(len(bases))] = 1
    return motif


def stem_of(channels: int, width: int = 7) -> nn.Module:
    config = AtacConfig(stem={**CONV, "channels": channels, "kernel_size": width}, core={"type": "dilated"})
    return build_stem(config.stem_config)


@pytest.fixture
def motifs(tmp_path):
    path = tmp_path / "motifs.meme"
    write_motifs(path, {"first": certain("ACGTT"), "second": certain("GGAGG"), "third": certain("ACGTA")})
    return str(path)


def test_log_odds_by_hand():
    # a certain base: log2((1 + .01) / 1.04 / .25) = log2(3.8846); an absent one: log2(.01 / 1.04 / .25) = log2(.03846)
    filters = log_odds(certain("AC"), 4)
    assert filters.shape == (4, 4)
    np.testing.assert_allclose(filters[0], [0, np.log2(3.884615), np.log2(0.0384615), 0], rtol=1e-5)


def test_a_long_motif_keeps_its_most_informative_columns():
    motif = np.concatenate([np.full((4, 3), 0.25), certain("ACG")], axis=1)
    np.testing.assert_allclose(log_odds(motif, 3), log_odds(certain("ACG"), 3), atol=1e-6)


def test_shifts_fill_with_zeros():
    filters = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    assert shifted(filters, 1)[0, 0].tolist() == [0, 0, 1]
    assert shifted(filters, -2)[0, 0].tolist() == [2, 0, 0]


def test_like_filters_are_not_both_chosen():
    filters = np.stack([log_odds(certain(bases), 7) for bases in ("ACGTT", "ACGTA", "GGAGG")])
    assert 2 in different(filters, 2)  # with one of the two that are alike, whichever has the larger norm


def test_a_filter_answers_to_its_motif_on_either_strand(motifs):
    stem = stem_of(4)
    names = start_from_motifs(stem, motifs)
    assert "second" in names
    where = names.index("second")
    bases = torch.from_numpy(np.concatenate([np.full((4, 6), 0.0), certain("GGAGG"), np.full((4, 6), 0.0)], 1)).float()
    forward = stem(bases[None])[0].amax(-1)
    backward = stem(bases.flip(0, 1)[None])[0].amax(-1)
    assert forward[where] > 0
    torch.testing.assert_close(forward[where], backward[where + 2])
    assert forward[where] == forward.max()


def test_an_unknown_base_scores_as_the_average_base(motifs):
    stem = stem_of(4)
    start_from_motifs(stem, motifs)
    unknown, average = torch.zeros(1, 4, 20), torch.full((1, 4, 20), 0.25)
    torch.testing.assert_close(stem.conv(unknown)[..., 5:-5], stem.conv(average)[..., 5:-5], atol=1e-6, rtol=0)
    assert (stem(unknown) == 0).all()  # and passes no filter


def test_another_stem_is_refused(motifs):
    stem = build_stem(AtacConfig.from_preset("convnext-dcnn-tiny").stem_config)
    with pytest.raises(ValueError, match="needs a conv stem with unit conv-relu, got ConvNextBlock"):
        start_from_motifs(stem, motifs)


def test_too_few_motifs_are_refused(motifs):
    with pytest.raises(ValueError, match=r"at most twice the 3 motifs of motifs\.meme, got `model.stem.channels` 8"):
        start_from_motifs(stem_of(8), motifs)


def test_a_base_has_its_filters_already():
    with pytest.raises(ValueError, match="stem_motifs is for a model that reads sequence and starts from scratch"):
        load_recipe(data="store", base="base", mode="full", stem_motifs="jaspar:fungi")
