import math

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.fasta import Fasta, decode
from chromhub.inference.marginal_folder import chosen_motifs
from chromhub.inference.marginalize import (
    MarginalEffect,
    backgrounds,
    effect_as_dict,
    insert,
    marginalize,
    marginalize_label,
    mean_interval,
    tn5_verdict,
)

from .toy_genome import toy_fasta


def test_insert():
    windows = np.zeros((2, 9), np.uint8)
    assert decode(insert(windows, "CNGT")[1]) == "AACAGTAAA"
    assert not windows.any()
    for sequence in ("", "A" * 10, "ACRT"):
        with pytest.raises(ValueError, match="a motif must be 1 to 9 letters of A, C, G, T and N"):
            insert(windows, sequence)


def test_backgrounds_keep_their_dinucleotides(tmp_path):
    pytest.importorskip("tangermeme.ersatz", reason='needs tangermeme: pip install "chromhub[interpret]"')
    source = Fasta(toy_fasta(tmp_path / "a.fa"))
    found = backgrounds(source, length=500, count=12, seed=1)
    assert found.shape == (12, 500)
    assert found.max() <= 3
    assert np.array_equal(found, backgrounds(source, length=500, count=12, seed=1))
    assert not np.array_equal(found, backgrounds(source, length=500, count=12, seed=2))
    with pytest.raises(ValueError, match="no chromosome of 20000 bp"):
        backgrounds(source, length=20_000, count=2)


def counted_signal(model, windows, track, batch_size):
    """A model whose signal is 1 and one more in the first bins for each GGG anywhere, on this strand alone."""
    hits = [sum(decode(row)[i : i + 3] == "GGG" for i in range(len(row) - 2)) for row in windows]
    signal = np.ones((len(windows), 256))
    signal[:, :128] += np.array(hits)[:, None]
    return signal


def test_effects_by_hand(tiny_model, monkeypatch):
    monkeypatch.setattr("chromhub.inference.marginalize._signal", counted_signal)
    windows = np.tile(np.array([0, 3], np.uint8), (4, 1024))
    seen = []
    found = marginalize(tiny_model, {"g": "GGG", "a": "AAA"}, windows, progress=lambda *now: seen.append(now))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    # Forward the first half goes from 1 to 2, so the target's mean from 1 to 1.5; CCC on the other strand does nothing.
    # The floor is 1 % of the mean of 1.
    expected = math.log2(1.51 / 1.01) / 2
    assert found[0].log2_fold == pytest.approx((expected,) * 3)
    assert found[1].log2_fold == (0, 0, 0)
    assert found[0].without.tolist() == [1.0] * 256
    assert found[0].inserted[[0, 255]].tolist() == [1.5, 1.0]
    # bp 1022 to 1025 of the window are bp 510 to 513 of the target: bins 127 and 128, of which one has changed
    assert found[0].local_log2_fold[0] == pytest.approx(expected)


def test_a_real_model(tiny_model):
    windows = np.random.default_rng(0).integers(0, 4, (3, 2048)).astype(np.uint8)
    (effect,) = marginalize(tiny_model, {"site": "TGACTCATGACTCA"}, windows, batch_size=2)
    with torch.no_grad():
        plain = tiny_model.to_signal(tiny_model(torch.from_numpy(windows)).predictions)[:, 0, 128:384].mean(0).numpy()
    assert effect.without == pytest.approx(plain, rel=1e-4)
    assert effect.log2_fold[1] <= effect.log2_fold[0] <= effect.log2_fold[2]
    own = windows[0, 1017:1031]  # the same bases again change nothing, on this strand
    assert np.array_equal(insert(windows[:1], decode(own)), windows[:1])


def test_a_classifier_by_hand(monkeypatch):
    def counted(model, batches, *, average_rc):  # GGG on this strand adds 2 to the second logit
        assert not average_rc
        for windows in batches:
            hits = [sum(decode(row)[i : i + 3] == "GGG" for i in range(len(row) - 2)) for row in windows]
            yield np.stack([np.zeros(len(windows)), 2.0 * np.array(hits) - 1], 1).astype(np.float32)

    monkeypatch.setattr("chromhub.inference.marginalize.class_logits", counted)
    windows = np.tile(np.array([0, 3], np.uint8), (5, 300))
    seen = []
    options = {"label": 1, "batch_size": 2, "progress": lambda *now: seen.append(now)}
    gained, nothing = marginalize_label(None, {"g": "GGG", "a": "AAA"}, windows, **options)
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert gained.logit_change == pytest.approx((1, 1, 1))  # 2 on one strand, 0 on the other
    assert nothing.logit_change == (0, 0, 0)
    assert effect_as_dict(gained) == {
        **{"name": "g", "sequence": "GGG", "backgrounds": 5},
        "logit_change": {"mean": 1.0, "low": 1.0, "high": 1.0},
    }


def test_interval_covers_the_mean():
    # 1,000 values of standard deviation 1: the mean's is .0316, and the interval 1.96 of it to each side
    mean, low, high = mean_interval(np.random.default_rng(0).normal(3, 1, 1000))
    assert mean - low == pytest.approx(1.96 * 0.0316, rel=0.1)
    assert high - mean == pytest.approx(1.96 * 0.0316, rel=0.1)


@pytest.mark.parametrize(
    ("fold", "learned"), [((0.6, 0.2, 1.0), True), ((0.6, -0.1, 1.3), False), ((0.4, 0.3, 0.5), False)]
)
def test_verdict(fold, learned):
    weak = MarginalEffect("tn5_2", "ACG", 5, (0, 0, 0), (-0.2, -0.3, -0.1), np.ones(2), np.ones(2))
    strong = MarginalEffect("tn5_1", "ACG", 5, (0, 0, 0), fold, np.ones(2), np.ones(2))
    found = tn5_verdict([weak, strong], 0.03)
    assert (found["learned"], found["strongest"], found["motif_share"]) == (learned, "tn5_1", 0.03)
    assert f"tn5_1 changes the signal at itself {2 ** fold[0]:.2f}-fold" in found["verdict"]
    assert ("no sign" in found["verdict"]) is not learned


def test_motifs_by_name():
    database = {"MA1 Reb1": np.eye(4), "MA2 Reb1b": np.eye(4)[::-1], "MA3 Abf1": np.eye(4)}
    found = chosen_motifs(["ttacccg", "abf", "MA1 reb1"], database)
    assert found == {"TTACCCG": "TTACCCG", "MA3 Abf1": "ACGT", "MA1 Reb1": "ACGT"}
    for wanted, sentence in ((["reb"], r"2 motifs are \(MA1 Reb1, MA2 Reb1b\)"), (["xyz"], "no motif has it")):
        with pytest.raises(ValueError, match=sentence):
            chosen_motifs(wanted, database)
