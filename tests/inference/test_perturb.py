"""Perturbations recover what a known rule planted."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.inference import perturb_folder
from chromhub.inference.crispri import compare, match_pairs, read_pairs
from chromhub.inference.gene_effects import decay_of_effects, gene_bins, score_genes, simpson
from chromhub.inference.perturb import perturb, plan_jobs
from chromhub.inference.perturb_folder import PerturbOptions, perturb_run
from chromhub.inference.perturbation import Perturbation, element_bins
from chromhub.modeling import ClasterConfig

from ..landscape_folder import REACH, SCALE, TRACKS, activity, write_landscape


class Rule(torch.nn.Module):
    """The simulation's own rule in place of a trained model."""

    def __init__(self, data) -> None:
        super().__init__()
        grid = data.grid
        self.config = ClasterConfig(
            num_input_bins=grid.num_input_bins, num_bins=grid.num_bins, bin_size=grid.bin_size, track_names=["RNA0"],
            landscape={"layers": [1]},
        )  # fmt: skip
        self.device = torch.device("cpu")

    def forward(self, inputs: torch.Tensor) -> SimpleNamespace:
        level = torch.from_numpy(activity(inputs.numpy()))
        return SimpleNamespace(predictions=level[:, None, None].expand(-1, 1, self.config.num_bins).float())


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return write_landscape(tmp_path_factory.mktemp("sim") / "data")


def planted(data, enhancers: pd.DataFrame) -> pd.DataFrame:
    """Return every enhancer with every gene of its neighbourhood, and whether the rule joins them."""
    rows = []
    for _, gene in data.genes.iterrows():
        for _, element in enhancers[enhancers["chrom"] == gene["chrom"]].iterrows():
            away = abs(element["start"] // 100 - gene["tss"] // 100)
            if away <= 50:
                joined = 3 < away <= REACH // 100
                rows.append((element["chrom"], element["start"], element["end"], gene["gene"], joined))
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "gene", "regulated"])


@pytest.mark.parametrize("kind", ["p1", "p2"])
def test_planted_pairs_are_recovered(simulated, kind):
    data, enhancers = simulated
    rows = data.rows("test")
    jobs, dropped = plan_jobs(data, enhancers, data.genes, rows=rows)
    assert set(dropped) <= {"element runs off its landscape"}
    effects = perturb(Rule(data), data, jobs, Perturbation(kind), batch_size=5)
    matched, missing = match_pairs(effects, planted(data, enhancers))
    assert 0 < matched["regulated"].mean() < 1
    if kind == "p2":  # takes the promoter's own mark too where an enhancer lies on it; away from it the two agree
        assert effects["delta"].gt(0).sum() >= matched["regulated"].sum()
    found = compare(matched)
    assert found["scores"]["delta"]["auprc"] == 1
    assert found["scores"]["delta"]["recall"] == 1
    assert found["scores"]["minus_distance"]["auprc"] <= 1
    assert found["random"] == pytest.approx(matched["regulated"].mean())
    assert missing == len(planted(data, enhancers)) - len(matched)


def test_an_effect_by_hand(simulated):
    data, enhancers = simulated
    jobs, _ = plan_jobs(data, enhancers, data.genes, rows=data.rows("test"))
    effects = perturb(Rule(data), data, jobs, Perturbation("p1"))
    one = effects.iloc[effects["delta"].argmax()]
    gene = data.genes.iloc[one["row"]]
    landscape = np.array(data.landscapes[one["row"]])
    place = 50 + one["start"] // 100 - gene["tss"] // 100
    lost = landscape[1, 50] * landscape[2, place] * np.exp(-abs(place - 50) * 100 / SCALE)
    bins = 600 // 200 + 1  # a gene of 600 bp that starts in the middle of a bin has four
    # a flat profile of an even number of bins: n - 1 strips
    assert one["delta"] == pytest.approx(lost * (bins - 1), rel=1e-4)
    assert one["distance"] == gene["tss"] - (one["start"] + one["end"]) // 2
    # half the mark, half the loss
    half = perturb(Rule(data), data, jobs, Perturbation("scale", tracks=("H3K27ac",), factor=0.5))
    assert half["delta"].max() == pytest.approx(lost * (bins - 1) / 2, rel=1e-4)


def test_elements_at_the_centre(simulated):
    """Landscapes centred on elements: all genes that are predicted whole are measured."""
    data, _ = simulated
    genes = data.genes.assign(end=data.genes["start"] + 200)
    jobs, _ = plan_jobs(data, None, genes, rows=data.rows("valid"))
    assert all(job.element[0] == job.genes[0][0]["gene"] for job in jobs)  # genes lie 6 kb apart: none but their own
    jobs, dropped = plan_jobs(
        data, None, genes, rows=data.rows("valid"), active_track="H3K4me3", min_signal=1e9, inclusive=False
    )
    assert not jobs
    assert dropped["element is not active"] > 0


def test_changes_by_hand():
    landscape = np.arange(40, dtype=np.float32).reshape(4, 10)

    def changed(first=2, stop=5, **fields):
        return Perturbation(**fields).apply(landscape, first, stop, names=TRACKS, bin_size=100)

    assert np.flatnonzero(changed(kind="p1") != landscape).tolist() == [22, 23, 24]  # H3K27ac is row 2
    assert set(np.flatnonzero((changed(kind="p2") != landscape).any(1))) == {0, 1, 2}
    assert np.flatnonzero(changed(kind="zero", tracks=("H3K27me3",)) != landscape).tolist() == [32, 33, 34]
    assert changed(kind="scale", factor=2.0)[0, 2:5].tolist() == [4, 6, 8]
    assert changed(kind="flip")[1].tolist() == [10, 11, 14, 13, 12, 15, 16, 17, 18, 19]
    # bins 2 to 4 to 200 bp right of bin 5
    assert changed(kind="insert", offset=200, factor=0.5)[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 1, 1.5, 2]
    assert landscape[2, 2] == 22
    with pytest.raises(ValueError, match="got bins 8 to 11"):
        changed(kind="insert", offset=300)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "p3"}, "a perturbation must be one of p1, p2"),
        ({"kind": "zero"}, "zero needs the names"),
        ({"kind": "scale"}, "scale needs a factor"),
        ({"kind": "p1", "factor": 2.0}, "p1 has no factor"),
        ({"kind": "insert"}, "an offset in bp is what"),
        ({"kind": "p1", "offset": 2}, "an offset in bp is what"),
    ],
)
def test_a_wrong_perturbation_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Perturbation(**fields)


def test_tracks_are_found_by_their_mark():
    assert Perturbation("p1").rows(["x", "mESC_H3K27AC"]) == [1]
    assert Perturbation("p2").rows(["x", "h3-k27-me3"]) == [0]
    with pytest.raises(ValueError, match="p1 needs a track of h3k27ac, and the landscape has MNase"):
        Perturbation("p1").rows(["MNase"])
    with pytest.raises(ValueError, match="has no track 'y'; it has x"):
        Perturbation("flip", tracks=("y",)).rows(["x"])


def test_bins_of_elements_and_genes():
    options = {"num_bins": 11, "bin_size": 100}
    # eleven bins around 1000: 450 to 1550
    assert element_bins(450, 650, 1000, **options) == (0, 2)
    assert element_bins(450, 651, 1000, **options) == (0, 3)
    assert element_bins(450, 651, 1000, inclusive=False, **options) == (0, 2)
    assert element_bins(460, 470, 1000, inclusive=False, **options) == (0, 1)
    assert element_bins(440, 470, 1000, **options) is None
    assert element_bins(1500, 1551, 1000, **options) is None
    place = {"origin": 0, "num_bins": 10, "bin_size": 100}
    assert gene_bins(150, 301, 150, "+", measure="gene", **place) == (1, 4)
    assert gene_bins(150, 301, 450, "+", measure="tss", **place) == (2, 8)  # 2 to 7
    assert gene_bins(150, 301, 450, "-", measure="tss", **place) == (1, 7)  # 1 to 6
    assert gene_bins(150, 1001, 450, "-", measure="gene", **place) is None


def test_areas_as_scipy_has_them():
    integrate = pytest.importorskip("scipy.integrate")
    assert simpson(np.array([3.0])) == 3
    assert simpson(np.array([3.0, 5.0])) == 4
    rng = np.random.default_rng(0)
    for n in range(3, 12):
        values = rng.random(n)
        assert simpson(values) == pytest.approx(integrate.simpson(values), rel=1e-12)


def test_scores_by_hand():
    table = pd.DataFrame(
        {
            "element": ["e", "e", "e", "f"],
            "track": "t",
            "base": [5.0, 4.0, 3.0, 1.0],
            "perturbed": [1.0, 6.0, 3.0, 1.0],
            "distance": [500, -100, 300, 7],
        }
    )
    found = score_genes(table)
    assert found["delta"].tolist() == [4, 2, 0, 0]
    assert found["ratio_to_max"].tolist() == [1, 0.5, 0, 0]
    assert found["z"].tolist() == [1, 0, -1, 0]  # mean 2, deviation 2
    assert found["primary"].tolist() == [True, False, False, True]
    assert found["closest"].tolist() == [False, True, False, True]
    decay = decay_of_effects(found, np.array([0, 200, 600]))
    assert decay["pairs"].tolist() == [2, 2]
    assert decay["mean"].tolist() == [0.25, 0.5]


def test_pairs_by_hand(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(
        "chrom\tstart\tend\tgene\tRegulated\nc\t10\t20\tA.7\t1\nc\t10\t20\tB\tFALSE\nc\t90\t99\tA\t0\nc\t10\t20\tX\t0\n"
    )
    effects = score_genes(
        pd.DataFrame(
            {
                "element": ["e", "e", "f"], "chrom": "c", "start": [15, 15, 95], "end": [30, 30, 96], "track": "t",
                "gene": ["A.1", "B", "A"], "base": [9.0, 9.0, 9.0], "perturbed": [4.0, 8.0, 7.0],
                "distance": [900, 5, 5],
            }
        )
    )  # fmt: skip
    matched, missing = match_pairs(effects, read_pairs(path))
    assert missing == 1
    assert matched["regulated"].tolist() == [True, False, False]
    found = compare(matched)
    assert found["scores"]["delta"] == {"auprc": 1.0, "threshold": 5.0, "precision": 1.0, "recall": 1.0}
    # by distance the regulated pair is last: one in three
    assert found["scores"]["minus_distance"]["auprc"] == pytest.approx(1 / 3)
    # primary of e is A, of f its only gene: 1 of 2 right; closest is B and f's
    assert found["calls"]["primary"] == {"precision": 0.5, "recall": 1.0, "accuracy": pytest.approx(2 / 3)}
    assert found["calls"]["closest"]["precision"] == 0
    path.write_text("chrom\tstart\tend\tgene\n")
    with pytest.raises(ValueError, match="must have a column 'regulated'"):
        read_pairs(path)
    path.write_text("chrom,start,end,gene,regulated\nc,1,2,A,maybe\n")
    with pytest.raises(ValueError, match="line 2: regulated must be 0 or 1, got 'maybe'"):
        read_pairs(path)


def test_a_folder_of_effects(simulated, tmp_path, monkeypatch):
    data, enhancers = simulated
    monkeypatch.setattr(perturb_folder, "load_landscape_model", lambda run: Rule(data))
    bed, table = tmp_path / "e.bed", tmp_path / "pairs.tsv"
    enhancers.to_csv(bed, sep="\t", index=False, header=False)
    planted(data, enhancers).to_csv(table, sep="\t", index=False)
    options = PerturbOptions(elements=bed, pairs=table, figures=1)
    summary = perturb_run("run", data.path, tmp_path / "out", Perturbation("p1"), options)
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert summary["crispri"]["RNA0"]["scores"]["delta"]["auprc"] == 1
    assert summary["closest_is_primary"]["count"] <= summary["elements"]
    effects = pd.read_csv(tmp_path / "out" / "effects.tsv", sep="\t")
    assert len(effects) == summary["pairs"]
    assert (tmp_path / "out" / "effect_1.png").stat().st_size > 1000
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"decay.tsv", "pairs.tsv"}
    with pytest.raises(FileExistsError, match="already exists"):
        perturb_run("run", data.path, tmp_path / "out", Perturbation("p1"), options)
    for wrong, message in (
        (PerturbOptions(), "give --elements with landscapes of genes, or --genes"),
        (PerturbOptions(elements=bed, active_track="x"), "has no track 'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            perturb_run("run", data.path, tmp_path / "other", Perturbation("p1"), wrong)
    bed.write_text("a\t1\t2\te\na\t3\t4\te\n")
    with pytest.raises(ValueError, match="names of elements must differ, got 'e' twice"):
        perturb_run("run", data.path, tmp_path / "other", Perturbation("p1"), PerturbOptions(elements=bed))
    assert not (tmp_path / "other").exists()
