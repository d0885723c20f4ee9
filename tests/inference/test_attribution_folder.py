import json

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.bigwig import BigWig
from chromhub.datasets_scripts.fasta import Fasta
from chromhub.inference.attribute import AttributionSettings, attribute_window
from chromhub.inference.attribution_folder import attribute_to_folder, attribution_regions, mean_where_covered
from chromhub.modeling import ChromTransferConfig, ChromTransferForSequenceClassification

from .toy_genome import toy_codes, toy_fasta, toy_store

GRADIENT = AttributionSettings("input-x-gradient", width=100)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


def regions(*rows):
    return pd.DataFrame(
        [(chrom, middle - 10, middle + 10) for chrom, middle in rows], columns=["chrom", "start", "end"]
    )


def test_regions_are_the_merged_summits_or_a_bed(store):
    assert attribution_regions(store, None).to_dict("list") == {
        "chrom": ["chrB", "chrA", "chrA"],  # the genome's order
        "middle": [150, 3100, 6100],
    }
    given = regions(("C", 2500), ("A", 4000), ("A", 4000))
    assert attribution_regions(store, given).to_dict("list") == {"chrom": ["chrA", "chrC"], "middle": [4000, 2500]}
    assert attribution_regions(store, None, max_regions=2)["middle"].tolist() == [150, 6100]
    with pytest.raises(ValueError, match="no chromosome chrX"):
        attribution_regions(store, regions(("chrA", 4000), ("chrX", 5)))


def test_peaks_need_a_store(tmp_path):
    with pytest.raises(ValueError, match="give the regions to attribute"):
        attribution_regions(Fasta(toy_fasta(tmp_path / "a.fa")), None)


def test_the_folder(tiny_model, store, tmp_path):
    chosen = attribution_regions(store, regions(("chrA", 4000), ("chrA", 4060), ("chrB", 5000), ("chrC", 20)))
    seen = []
    found = attribute_to_folder(
        tiny_model,
        store,
        tmp_path / "out",
        regions=chosen,
        settings=GRADIENT,
        num_logos=2,
        progress=lambda *now: seen.append(now),
    )
    folder = tmp_path / "out"
    assert json.loads((folder / "attribute.json").read_text()) == found
    assert found["regions"] == {
        **{"asked": 4, "kept": 3, "width": 100},
        "dropped": {"N or the chromosome's end": 1, "not additive": 0},  # chrC:20 hangs off the chromosome
    }
    assert found["largest_additivity_error"] is None
    assert seen == [(0, 4), (4, 4)]
    bed = pd.read_csv(folder / "regions.bed", sep="\t", header=None).values.tolist()
    assert bed == [["chrB", 4950, 5050], ["chrA", 3950, 4050], ["chrA", 4010, 4110]]
    sequences, scores = (np.load(folder / f"{name}.npz")["arr_0"] for name in ("sequences", "attributions"))
    assert sequences.shape == scores.shape == (3, 4, 100)
    codes = toy_codes()
    for row, (chrom, start, end) in enumerate(bed):
        assert np.array_equal(sequences[row].argmax(0), codes[chrom][start:end])
        window = codes[chrom][start - 974 : start + 1074]
        assert np.array_equal(scores[row], attribute_window(tiny_model, window, GRADIENT).hypothetical)
    own = (sequences * scores).sum(1)
    track = BigWig(folder / "contributions.bw").binned(
        "chrA", size=9002, bin_size=1, summary="sum", allow_negative=True
    )
    assert track[3950:4010] == pytest.approx(own[1, :60], rel=1e-5)
    assert track[4010:4050] == pytest.approx((own[1, 60:] + own[2, :40]) / 2, rel=1e-5, abs=1e-7)
    assert not track[:3950].any()
    assert len(list((folder / "logos").glob("*.png"))) == len(list((folder / "logos").glob("*.svg"))) == 2
    assert len(list((folder / "logos").glob("01_*"))) == 2


def test_a_classifier(store, tmp_path):
    model = ChromTransferForSequenceClassification(
        ChromTransferConfig.from_preset("finetuning", id2label={0: "HepG2", 1: "K562"})
    ).eval()
    chosen = attribution_regions(store, regions(("chrA", 4000)))
    options = {"regions": chosen, "settings": GRADIENT, "num_logos": 0}
    found = attribute_to_folder(model, store, tmp_path / "out", track="K562", **options)
    assert found["track"] == "K562"
    window = torch.from_numpy(toy_codes()["chrA"][None, 3700:4300])
    with torch.no_grad():
        logit = model(window).logits[0, 1].item()
    assert pd.read_csv(tmp_path / "out" / "regions.tsv", sep="\t")["output"].item() == pytest.approx(logit, rel=1e-5)
    with pytest.raises(ValueError, match="the model has no label 'A'; it has HepG2, K562"):
        attribute_to_folder(model, store, tmp_path / "two", track="A", **options)


def test_an_interrupted_run_goes_on(tiny_model, store, tmp_path, monkeypatch):
    monkeypatch.setattr("chromhub.inference.attribution_folder._CHUNK", 1)
    chosen = attribution_regions(store, regions(("chrA", 4000), ("chrB", 5000), ("chrB", 6000)))

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attribute_to_folder(
            tiny_model, store, tmp_path / "out", regions=chosen, settings=GRADIENT, num_logos=0, progress=stop
        )
    assert not (tmp_path / "out").exists()
    calls = []

    def counted(*args, **options):
        calls.append(1)
        return attribute_window(*args, **options)

    monkeypatch.setattr("chromhub.inference.attribution_folder.attribute_window", counted)
    attribute_to_folder(tiny_model, store, tmp_path / "out", regions=chosen, settings=GRADIENT, num_logos=0)
    assert len(calls) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    attribute_to_folder(
        tiny_model, store, tmp_path / "whole", regions=chosen, settings=GRADIENT, num_logos=0, overwrite=True
    )
    whole, resumed = (np.load(tmp_path / name / "attributions.npz")["arr_0"] for name in ("whole", "out"))
    assert np.array_equal(whole, resumed)


def test_what_is_not_additive_is_left_out(tiny_model, store, tmp_path, monkeypatch):
    pytest.importorskip("tangermeme.ersatz", reason='needs tangermeme: pip install "chromhub[interpret]"')
    chosen = attribution_regions(store, regions(("chrA", 4000), ("chrB", 5000)))
    settings = AttributionSettings("deep-lift", shuffles=1, width=100)
    found = attribute_to_folder(tiny_model, store, tmp_path / "out", regions=chosen, settings=settings, num_logos=0)
    assert found["largest_additivity_error"] < 1e-3
    table = pd.read_csv(tmp_path / "out" / "regions.tsv", sep="\t")
    assert table["additivity_error"].max() == pytest.approx(found["largest_additivity_error"], rel=1e-4)

    def worse(model, codes, *args, **options):
        found = attribute_window(model, codes, *args, **options)
        return found._replace(additivity_error=1.0 if codes[0] == first else found.additivity_error)

    first = toy_codes()["chrB"][5000 - 1024]
    monkeypatch.setattr("chromhub.inference.attribution_folder.attribute_window", worse)
    codes_differ = toy_codes()["chrA"][4000 - 1024] != first
    again = {"regions": chosen, "settings": settings, "num_logos": 0, "overwrite": True}
    if codes_differ:
        found = attribute_to_folder(tiny_model, store, tmp_path / "out", **again)
        assert found["regions"]["dropped"]["not additive"] == 1
        assert len(np.load(tmp_path / "out" / "attributions.npz")["arr_0"]) == 1
    else:
        with pytest.raises(ValueError, match="no region is left of 2"):
            attribute_to_folder(tiny_model, store, tmp_path / "out", **again)


def test_refusals(tiny_model, store, tmp_path, monkeypatch):
    chosen = attribution_regions(store, None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.txt").touch()
    for options, error, sentence in (
        ({"track": "dnase"}, ValueError, "the model has no track 'dnase'; it has track_0"),
        ({"output": tmp_path / "mine", "overwrite": True}, FileExistsError, "holds other files"),
        ({"settings": AttributionSettings(width=4096)}, ValueError, "window of 2048 bp, got 4096"),
    ):
        options = {"output": tmp_path / "new", "settings": GRADIENT, "regions": chosen, **options}
        with pytest.raises(error, match=sentence):
            attribute_to_folder(tiny_model, store, **options)
    monkeypatch.setitem(__import__("sys").modules, "tangermeme.ersatz", None)
    with pytest.raises(ValueError, match=r'deep-lift: this needs tangermeme: pip install "chromhub\[interpret\]"'):
        attribute_to_folder(tiny_model, store, tmp_path / "new", regions=chosen, settings=AttributionSettings())
    assert not (tmp_path / "new").exists()


def test_mean_where_covered():
    table = pd.DataFrame({"chrom": ["b", "a", "a", "a"], "start": [5, 10, 0, 2], "end": [9, 14, 4, 6]})
    values = np.array([[1.0] * 4, [7] * 4, [2] * 4, [4] * 4])
    found = [(chrom, start, values.tolist()) for chrom, start, values in mean_where_covered(table, values)]
    assert found == [("a", 0, [2, 2, 3, 3, 4, 4]), ("a", 10, [7] * 4), ("b", 5, [1] * 4)]
