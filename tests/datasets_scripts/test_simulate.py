import json

import numpy as np
import pytest
from chromhub.datasets_scripts import simulate as sim
from chromhub.datasets_scripts.bed import read_peaks
from chromhub.datasets_scripts.bigwig import BigWig
from chromhub.datasets_scripts.fasta import Fasta

SMALL = {"chr1": 60_000, "chr2": 20_000}
SPLIT = {"train": ["chr1"], "valid": [], "test": ["chr2"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sim") / "genome"
    sim.simulate(path, seed=3, chrom_sizes=SMALL, split=SPLIT)
    return path


def test_the_matrices_are_jaspar_s():
    motifs = sim.read_meme(sim.MOTIF_FILE)
    assert set(motifs) == {*sim.GENERAL_MOTIFS, *(name for own in sim.CELL_TYPES.values() for name in own)}
    best = {name: "".join("ACGT"[i] for i in motif.probabilities.argmax(axis=1)) for name, motif in motifs.items()}
    assert best["FOS::JUN"] == "ATGAGTCAT"  # MA0099
    assert best["HNF1A"] == "GTTAATGATTAAC"  # MA0046
    for motif in motifs.values():
        assert motif.matrix_id.startswith("MA")
        np.testing.assert_allclose(motif.probabilities.sum(axis=1), 1)


def test_a_matrix_with_a_missing_row_is_refused(tmp_path):
    path = tmp_path / "bad.meme"
    path.write_text("MEME version 4\n\nMOTIF M1 ONE\nletter-probability matrix: alength= 4 w= 2\n 1 0 0 0\n")
    with pytest.raises(ValueError, match=r"bad.meme: motif M1 must hold .* got 1 rows"):
        sim.read_meme(path)
    path.write_text("MEME version 4\n")
    with pytest.raises(ValueError, match="found none"):
        sim.read_meme(path)


def instances(*rows):
    centres, motifs, strengths = zip(*rows, strict=True)
    return sim.Instances(np.array(centres, float), np.array(motifs), np.array(strengths, float))


def test_motifs_open_together_and_only_where_they_are_read():
    # one perfect motif: 1 / (1 + 1.4^4) = 1 / 4.8416; two at the same base: 2^4 / (2^4 + 1.4^4) = 16 / 19.8416
    one = sim.openness(instances((500, "SPI1", 1)), size=1000, read_motifs=("SPI1",))
    two = sim.openness(instances((500, "SPI1", 1), (500, "CTCF", 1)), size=1000, read_motifs=("SPI1", "CTCF"))
    assert one[500] == pytest.approx(1 / 4.8416)
    assert two[500] == pytest.approx(16 / 19.8416)
    assert two.argmax() == 500
    other = sim.openness(instances((500, "SPI1", 1)), size=1000, read_motifs=("GATA1",))
    assert not other.any()


def test_an_instance_at_the_edge_stays_inside():
    assert sim.openness(instances((3, "SPI1", 1)), size=100, read_motifs=("SPI1",)).shape == (100,)


def test_peaks_are_runs_with_their_summit():
    profile = np.array([0.9, 0.3, 0, 0.3, 0.5, 0.3, 0, 0.8], dtype=np.float32)
    assert sim.call_peaks(profile) == [(0, 2, 0), (3, 6, 4), (7, 8, 7)]
    assert sim.call_peaks(np.zeros(5, np.float32)) == []


def test_planted_words_follow_the_matrix():
    certain = sim.Motif("X", "MA1", np.eye(4)[[0, 0, 1, 3]])  # AACT, and AGTT on the other strand
    codes = np.full(400, 4, np.uint8)
    rng = np.random.default_rng(0)
    planted = list(sim.plant_site(rng, codes, start=10, motifs=[certain] * 8))
    text = "".join("ACGTN"[c] for c in codes)
    words = [text[int(centre - 1.5) : int(centre - 1.5) + 4] for centre, _, _ in planted]
    assert set(words) == {"AACT", "AGTT"}
    assert all(strength == 1 for _, _, strength in planted)
    gaps = np.diff([centre for centre, _, _ in planted]) - 4
    assert gaps.min() >= 5
    assert gaps.max() <= 25


def test_the_folder_reads_back_through_the_front_doors(folder):
    assert Fasta(folder / "genome.fa").chrom_sizes == SMALL
    assert json.loads((folder / "split.json").read_text()) == SPLIT
    counts = {}
    for cell in sim.CELL_TYPES:
        track = BigWig(folder / f"{cell}.bw")
        assert track.chrom_sizes == SMALL
        counts[cell] = track.binned("chr1", size=60_000, bin_size=1, summary="max")
        rate = BigWig(folder / f"{cell}.rate.bw").binned("chr1", size=60_000, bin_size=1, summary="max")
        peaks = read_peaks(folder / f"{cell}.narrowPeak")
        for row in peaks[peaks["chrom"] == "chr1"].itertuples():
            assert rate[row.summit] == rate[row.start : row.end].max()
        # Poisson: the total is within five standard deviations of the expected total
        assert abs(counts[cell].sum() - rate.sum()) < 5 * np.sqrt(rate.sum())
    agnostic = BigWig(folder / "agnostic.bw").binned("chr1", size=60_000, bin_size=1, summary="max")
    np.testing.assert_array_equal(agnostic, (counts["erythroid"] + counts["myeloid"]) / 2)


def test_the_depth_is_the_stated_one(folder):
    for cell in sim.CELL_TYPES:
        rates = BigWig(folder / f"{cell}.rate.bw")
        total = sum(rates.binned(c, size=s, bin_size=1, summary="sum").sum(dtype=np.float64) for c, s in SMALL.items())
        assert total == pytest.approx(0.3 * 80_000, rel=1e-5)


def test_the_same_seed_gives_the_same_files(folder, tmp_path):
    sim.simulate(tmp_path / "again", seed=3, chrom_sizes=SMALL, split=SPLIT)
    sim.simulate(tmp_path / "other", seed=4, chrom_sizes=SMALL, split=SPLIT)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert (folder / "genome.fa").read_bytes() != (tmp_path / "other" / "genome.fa").read_bytes()


def test_a_folder_that_exists_and_a_chromosome_too_short_are_refused(folder, tmp_path):
    with pytest.raises(FileExistsError, match="--overwrite"):
        sim.simulate(folder, chrom_sizes=SMALL)
    with pytest.raises(ValueError, match="must be at least 3000 bp, got chr1 of 100"):
        sim.simulate(tmp_path / "short", chrom_sizes={"chr1": 100})
