import json
import sys

import numpy as np
import pandas as pd
import pytest
from chromhub.inference.meme import write_motifs
from chromhub.inference.motif_discovery import FoundMotif, Match, discover, find_matches, seqlet_bed
from chromhub.inference.motif_folder import motifs_to_folder, summarise

SITE = "TGACTCAT"


def of(text):
    return np.array([[base == letter for letter in text] for base in "ACGT"], float)


def found(name="pos_0", rows=((0, 3, 8, "+"), (2, 1, 6, "-"), (2, 9, 14, "+"))):
    contributions = np.zeros((4, 5))
    contributions[0] = [0.1, 1.0, 0.3, -0.9, 0.2]
    return FoundMotif(name, of("ACGTA"), contributions, pd.DataFrame(rows, columns=["row", "start", "end", "strand"]))


def test_core_is_what_has_a_third_of_the_strongest():
    assert found().core == slice(1, 4)


def test_seqlets_on_the_genome():
    regions = pd.DataFrame({"chrom": ["chrB", "chrB", "chrA"], "start": [100, 50, 1000]})
    assert seqlet_bed([found(), found("neg_0", [(1, 0, 5, "+")])], regions).values.tolist() == [
        ["chrB", 50, 55, "neg_0", 0, "+"],
        ["chrB", 103, 108, "pos_0", 0, "+"],
        ["chrA", 1001, 1006, "pos_0", 0, "-"],
        ["chrA", 1009, 1014, "pos_0", 0, "+"],
    ]
    assert seqlet_bed([], regions).empty


def test_summary():
    summary = summarise([found(), found("neg_0", [(1, 0, 5, "+")])], [[], []], num_regions=3, database="a.meme")
    first = summary["motifs"][0]
    assert (summary["seqlets"], first["share"], first["regions"], first["consensus"]) == (4, 0.75, 2, "CGT")


@pytest.mark.parametrize(
    ("name", "e_value", "share"), [("tn5_2", 0.01, 0.75), ("tn5_2", 0.06, 0), ("AP1 site", 0.01, 0)]
)
def test_share_of_tn5(name, e_value, share):
    matches = [[Match(name, e_value / 9, e_value)], [Match("AP1 site", 1e-9, 1e-7)]]
    both = [found(), found("neg_0", [(1, 0, 5, "+")])]
    assert summarise(both, matches, num_regions=3, database="a.meme")["tn5_share"] == share


def random_motifs(count=60):
    rng = np.random.default_rng(0)
    made = {f"M{i}": rng.dirichlet([0.2] * 4, 9).T for i in range(count)}
    return {**made, "AP1 site": 0.97 * of(SITE) + 0.0075}


@pytest.mark.slow  # memelite is compiled first
def test_matches_on_both_strands():
    pytest.importorskip("memelite", reason='needs memelite: pip install "chromhub[interpret]"')
    forward = 0.97 * of(SITE) + 0.0075
    for motif in (forward, forward[::-1, ::-1]):
        ((best, second),) = find_matches([motif], random_motifs(), top=2)
        assert best.name == "AP1 site"
        assert best.e_value == pytest.approx(61 * best.p_value)
        assert best.e_value < 0.05 < second.e_value
    assert find_matches([], random_motifs()) == []


def planted(count=300, width=120):
    """Return sequences with a site in the middle third of most, and scores that are 1 at its bases."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (count, width))
    scores = rng.normal(0, 0.02, (count, 4, width))
    site = np.array(["ACGT".index(base) for base in SITE])
    for row in range(count):
        at = int(rng.integers(40, 72))
        placed = site if row % 2 else 3 - site[::-1]
        codes[row, at : at + 8] = placed
        scores[row, :, at : at + 8] += np.where(np.arange(4)[:, None] == placed, 1.0, -0.3)
    return np.eye(4, dtype=np.int8)[codes].transpose(0, 2, 1), scores.astype(np.float32)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(280)
def test_a_planted_motif_is_found(tmp_path):
    pytest.importorskip("modiscolite", reason="needs tfmodisco-lite: pip install 'chromhub[interpret]'")
    sequences, scores = planted()
    source = tmp_path / "attributions"
    source.mkdir()
    np.savez_compressed(source / "sequences.npz", sequences)
    np.savez_compressed(source / "attributions.npz", scores)
    (source / "regions.bed").write_text("".join(f"chr1\t{1000 * i}\t{1000 * i + 120}\n" for i in range(300)))
    write_motifs(tmp_path / "known.meme", random_motifs())
    summary = motifs_to_folder(source, tmp_path / "out", database=tmp_path / "known.meme", window=100)
    assert summary["tn5_share"] == 0
    best = max(summary["motifs"], key=lambda motif: motif["seqlets"])
    assert best["matches"][0]["name"] == "AP1 site"
    assert SITE[1:-1] in best["consensus"] or "TGAGTC" in best["consensus"]
    assert best["seqlets"] > 20
    folder = tmp_path / "out"
    assert json.loads((folder / "motifs.json").read_text()) == summary
    bed = pd.read_csv(folder / "seqlets.bed", sep="\t", header=None)
    place = bed[bed[3] == best["name"]].iloc[0]
    row, start = divmod(int(place[1]), 1000)
    sites = sequences[row].argmax(0)[start : start + int(place[2] - place[1])]
    text = "".join("ACGT"[base] for base in sites)
    assert SITE in text or SITE[::-1].translate(str.maketrans("ACGT", "TGCA")) in text
    assert (folder / "report" / "motifs.html").exists()
    assert (folder / "logos" / f"{best['name']}.png").exists()
    assert "http" not in (folder / "report.html").read_text()


def test_refusals(tmp_path, monkeypatch):
    write_motifs(tmp_path / "known.meme", random_motifs(2))
    with pytest.raises(
        FileNotFoundError, match=r"has no sequences\.npz; give the folder that `chromhub attribute` made"
    ):
        motifs_to_folder(tmp_path / "none", tmp_path / "out", database=tmp_path / "known.meme")
    sequences, scores = planted(3)
    monkeypatch.setitem(sys.modules, "modiscolite", None)
    with pytest.raises(ValueError, match=r"pip install \"chromhub\[interpret\]"):
        discover(sequences, scores)
