import sys

import numpy as np
import pytest
from chromhub.inference.meme import consensus, information, informative_consensus, read_motifs, write_motifs
from chromhub.inference.motif_database import known_motifs

HEAD = "MEME version 4\n\nALPHABET= ACGT\n\n"
ONE = "letter-probability matrix: alength= 4 w= 2 nsites= 20\n0.5 0.5 0 0\n 0\t0\t1.0\t0\n"


def test_probabilities_beside_log_odds(tmp_path):
    path = tmp_path / "a.meme"
    odds = "log-odds matrix: alength= 4 w= 2\n 116 -353 59 12\n -40 -57 -72 77\n\n"
    path.write_text(f"{HEAD}MOTIF M1  first one\n\n{odds}{ONE}\nURL http://x\n\nMOTIF M2\n{ONE.replace('1.0', '0.99')}")
    found = read_motifs(path)
    assert list(found) == ["M1 first one", "M2"]
    assert found["M1 first one"].tolist() == [[0.5, 0], [0.5, 0], [0, 1], [0, 0]]
    assert found["M2"][:, 1].tolist() == [0, 0, 1, 0]
    write_motifs(tmp_path / "b.meme", found)
    again = read_motifs(tmp_path / "b.meme")
    assert all(np.allclose(again[name], found[name]) for name in found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "at least one MOTIF"),
        ("MOTIF A\n", "motif A must have a letter-probability matrix"),
        ("MOTIF A\n" + ONE.replace("w= 2", "w= 3"), "motif A must have 3 rows of 4 probabilities"),
        ("MOTIF A\n" + ONE.replace("1.0", "0.7"), "motif A must have 2 rows"),
        (f"MOTIF A\n{ONE}\nMOTIF A\n{ONE}", "two motifs are named A"),
    ],
)
def test_damaged(tmp_path, text, sentence):
    (tmp_path / "a.meme").write_text(HEAD + text)
    with pytest.raises(ValueError, match=sentence):
        read_motifs(tmp_path / "a.meme")


def test_heights_by_hand():
    # one base has 2 bits, two halves 1 bit, four quarters none
    matrix = np.array([[1, 0.5, 0.25], [0, 0.5, 0.25], [0, 0, 0.25], [0, 0, 0.25]])
    assert information(matrix) == pytest.approx(np.array([[2, 0.5, 0], [0, 0.5, 0], [0, 0, 0], [0, 0, 0]]))
    assert consensus(matrix) == "AAA"


def test_real_databases(shared):
    assert len(read_motifs(shared / "data/motifs/H13CORE_meme_format.meme")) == 1611
    yeast = read_motifs(shared / "data/motifs/yeast_macisaac_yeast.v1.meme")
    assert len(yeast) == 124
    assert consensus(yeast["ABF1"]) == "TATCACTATATACGA"


def test_consensus_of_what_is_known():
    # 0.3 bits: one base of probability .55 with .15 each for the others has 2 - 1.706 = .294, of .6 .371 bits
    flat, weak, some, sure = [0.25] * 4, [0.55, 0.15, 0.15, 0.15], [0.1, 0.6, 0.15, 0.15], [0, 0, 1, 0]
    matrix = np.array([flat, sure, weak, some, sure, weak]).T
    assert consensus(matrix) == "AGACGA"
    assert informative_consensus(matrix) == "GnCG"
    assert informative_consensus(np.array([flat, weak]).T) == ""


def test_jaspar():
    pytest.importorskip("pyjaspar", reason='needs pyjaspar: pip install "chromhub[jaspar]"')
    name, motifs = known_motifs("jaspar:nematodes")
    assert name.startswith("JASPAR")
    assert name.endswith(" nematodes")
    assert consensus(motifs["MA0260.1 che-1"]) == "GAAACC"
    assert all(matrix.sum(0) == pytest.approx(1) for matrix in motifs.values())


def test_a_group_that_jaspar_lacks(monkeypatch):
    with pytest.raises(ValueError, match=r"one of vertebrates, .*, got 'worms' in 'jaspar:worms'"):
        known_motifs("jaspar:worms")
    monkeypatch.setitem(sys.modules, "pyjaspar", None)
    with pytest.raises(ValueError, match=r'pip install "chromhub\[jaspar\]"'):
        known_motifs("jaspar:fungi")
