"""Variants scored by classifiers: properties of the scores, and each as the plain model has it."""

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.fasta import Fasta
from chromhub.datasets_scripts.variants import Variant
from chromhub.inference.score import score_file
from chromhub.inference.variant_scorer import ScoreSettings, VariantScorer
from chromhub.inference.variants import GenomeBases
from chromhub.modeling import (
    AtacConfig,
    AtacForSequenceClassification,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
)

from .toy_genome import toy_codes, toy_store

CODES = toy_codes()
TWO = {"id2label": {0: "B", 1: "T"}, "problem_type": "multi_label_classification"}
SCORES = ["ref_logit", "alt_logit", "logit_change", "ref_probability", "alt_probability"]


def classifier(kind="atac", seed=0, **labels):
    torch.manual_seed(seed)
    if kind == "atac":
        size = {"input_length": 256, "target_length": 256, "bin_size": 16}
        model = AtacForSequenceClassification(AtacConfig.from_preset("dcnn-tiny", **size, **labels))
    else:
        config = ChromTransferConfig(tower1_blocks=1, tower2_blocks=1, input_length=257, **labels)
        model = ChromTransferForSequenceClassification(config)
    for name, parameter in model.named_parameters():
        if name in ("classifier.weight", "head.output.weight"):
            torch.nn.init.normal_(parameter)
    return model.eval()


@pytest.fixture(params=["atac", "chromtransfer"])
def model(request):
    return classifier(request.param, **TWO)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


def bases(chrom, start, end):
    return "".join("ACGTN"[code] for code in CODES[chrom][start:end])


def some_variants():
    """SNVs, insertions and deletions."""
    found = []
    for i, start in enumerate(np.random.default_rng(0).integers(1200, 8000, 12).tolist()):
        chrom = ("chrA", "chrB")[i % 2]
        ref = bases(chrom, start, start + 4 if i % 3 == 2 else start + 1)
        found.append(Variant(chrom, start, ref, ["CGTA"["ACGT".index(ref[0])], ref + "GAT", ref[0]][i % 3], f"v{i}", i))
    return found


def scorer(models, source, **settings):
    return VariantScorer(models, GenomeBases(source, CODES), ScoreSettings(**settings))


def logits(model, codes):
    with torch.no_grad():
        return model(torch.from_numpy(np.stack(codes))).logits.numpy()


def test_an_snv_and_a_deletion_by_the_plain_model(model, store):
    length = model.config.input_length
    centre = length // 2 - 1
    snv, deletion = some_variants()[0], some_variants()[2]
    ref = CODES[snv.chrom][snv.start - centre : snv.start - centre + length]
    alt = ref.copy()
    alt[centre] = "ACGT".index(snv.alt)
    start = deletion.trimmed()[0] - centre  # 3 bases are deleted, and as many drawn in from the right
    right = CODES[deletion.chrom][start : start + length + 3]
    cut = np.delete(right, slice(centre, centre + 3))
    expected = logits(model, [ref, alt, right[:length], cut]).reshape(2, 2, 2)
    scores = scorer(model, store, average_rc=False).score([snv, deletion])
    assert list(scores) == SCORES
    np.testing.assert_allclose(scores["ref_logit"], expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(scores["logit_change"], expected[:, 1] - expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(scores["alt_probability"], 1 / (1 + np.exp(-expected[:, 1])), atol=1e-5)
    # the log of the odds ratio, natural
    odds = [scores[f"{side}_probability"] / (1 - scores[f"{side}_probability"]) for side in ("ref", "alt")]
    np.testing.assert_allclose(scores["logit_change"], np.log(odds[1] / odds[0]), atol=1e-5)


def test_equal_alleles_score_0_exactly(model, store):
    same = [Variant(v.chrom, v.start, v.ref, v.ref) for v in some_variants()]
    assert (scorer(model, store, shifts=(0, 7)).score(same)["logit_change"] == 0).all()


def test_swapped_alleles_change_the_sign(model, store, tmp_path):
    refs = {start: bases("chrB", start, start + 1) for start in (2000, 3000, 4000, 5000)}  # in no other's window
    snvs = [Variant("chrB", start, ref, "CGTA"["ACGT".index(ref)]) for start, ref in refs.items()]
    one = scorer(model, store).score(snvs)
    changed = {chrom: codes.copy() for chrom, codes in CODES.items()}
    for v in snvs:
        changed[v.chrom][v.start] = "ACGT".index(v.alt)
    path = tmp_path / "swapped.fa"
    path.write_text("".join(f">{chrom}\n{''.join('ACGTN'[c] for c in codes)}\n" for chrom, codes in changed.items()))
    other = scorer(model, Fasta(path)).score([Variant(v.chrom, v.start, v.alt, v.ref) for v in snvs])
    assert np.abs(one["logit_change"]).min() > 1e-5
    np.testing.assert_allclose(other["logit_change"], -one["logit_change"], atol=5e-6)
    np.testing.assert_allclose(other["ref_probability"], one["alt_probability"], atol=1e-6)


@pytest.mark.parametrize("settings", [{"average_rc": False}, {"shifts": (0, 5, -16)}])
def test_the_batch_size_does_not_matter(model, store, settings):
    many, one = (scorer(model, store, batch_size=size, **settings).score(some_variants()) for size in (64, 1))
    size = max(1, np.abs(many["ref_logit"]).max())  # float32 logits of 7 are themselves known to 5e-7
    for name in many:
        np.testing.assert_allclose(many[name], one[name], rtol=0, atol=1e-6 * size, err_msg=name)


def test_strands_shifts_and_models_average_logits(model, store):
    variant, length = some_variants()[0], model.config.input_length
    kind = "atac" if isinstance(model, AtacForSequenceClassification) else "chromtransfer"
    models = [model, classifier(kind, seed=1, **TWO)]
    start = variant.start - (length // 2 - 1)
    windows = [CODES[variant.chrom][start + shift : start + shift + length] for shift in (0, 3)]
    windows += [3 - codes[::-1] for codes in windows]
    expected = np.mean([logits(each, windows).mean(0) for each in models], axis=0)
    scores = scorer(models, store, shifts=(0, 3)).score([variant])
    np.testing.assert_allclose(scores["ref_logit"][0], expected, atol=1e-5)
    np.testing.assert_allclose(scores["ref_probability"][0], 1 / (1 + np.exp(-expected)), atol=1e-5)


def test_labels_that_exclude_one_another_share_1(store):
    scores = scorer(classifier(id2label={0: "closed", 1: "open", 2: "both"}), store).score(some_variants())
    np.testing.assert_allclose(scores["alt_probability"].sum(1), 1)


def test_the_longest_allele_fits(store):
    made = scorer(classifier(), store, shifts=(0, 20, -20))
    assert made.alleles.longest == 107  # of 256 bp, the variant at 127; 20 bp to the right are shifted away
    base = bases("chrB", 5000, 5001)
    fits, too_long = (Variant("chrB", 5000, base, base + "A" * n) for n in (107, 108))
    assert made.statuses([fits, too_long]) == ["ok", "too_long"]
    assert made.score([fits])["logit_change"][0, 0] != 0


def test_a_file_with_null_and_background(store, tmp_path):
    model = classifier(**TWO)
    given = tmp_path / "a.vcf"
    base = bases("chrA", 5000, 5001)
    lines = [f"chrA\t5001\tm\t{base}\t<DEL>,{base}A,*\t.\t.\t."]
    lines += [f"{v.chrom}\t{v.start + 1}\t{v.name}\t{v.ref}\t{v.alt}\t.\t.\t." for v in some_variants()]
    given.write_text("\n".join(["##fileformat=VCFv4.3", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO", *lines, ""]))
    options = {"settings": ScoreSettings(num_null=9), "peaks": store.peaks}
    written = score_file(model, store, given, tmp_path / "a.tsv", **options)
    assert written.counts == {"ok": 13, "symbolic": 1, "overlapping": 1}
    names = [*SCORES, "active_allele_quantile", "logit_change_p"]
    assert list(written.columns) == [f"{name}.{label}" for name in names for label in "BT"]
    table = pd.read_csv(written.path, sep="\t")
    assert table["status"].tolist()[:3] == ["symbolic", "ok", "overlapping"]
    expected = scorer(model, store).score(some_variants())
    np.testing.assert_allclose(table["logit_change.T"][3:], expected["logit_change"][:, 1], atol=1e-5)
    p = table["logit_change_p.B"].dropna().to_numpy() * 10
    assert set(np.round(p, 3)) <= set(range(1, 11))
    # three peaks: quantiles are thirds, by probability
    peaks = scorer(model, store)
    peaks.find_background(store.peaks)
    assert set(np.round(peaks.score(some_variants())["active_allele_quantile"].ravel() * 3, 6)) <= {0, 1, 2, 3}
    annotated = score_file(model, store, given, tmp_path / "b.vcf", **options).path.read_text()
    assert 'ID=CHROMHUB_LOGIT_CHANGE_B,Number=A,Type=Float,Description="chromhub: alt_logit minus ref' in annotated
    assert "CHROMHUB_STATUS=symbolic,ok,overlapping" in annotated


@pytest.mark.parametrize(
    ("models", "settings", "sentence"),
    [
        (lambda tiny: [tiny, classifier()], {}, "got AtacForTrackPrediction and AtacForSequenceClassification: score"),
        (lambda _: [classifier(), classifier("chromtransfer")], {}, "must agree in `input_length`, got 256 and 257"),
        (lambda _: [classifier(), classifier(num_labels=1)], {}, "must agree in `num_labels`, got 2 and 1"),
        (lambda _: [classifier(), classifier(**TWO)], {}, "agree in whether their labels exclude one another"),
        (lambda _: [classifier(**TWO), classifier(**{**TWO, "id2label": {0: "T", 1: "B"}})], {}, "got B, T and T, B"),
        (lambda _: classifier().train(), {}, "must be in evaluation mode"),
        (lambda _: [], {}, "at least one model, got none"),
        (lambda _: classifier(), {"shifts": (0, 0)}, r"shifts must be different and less than half .* got \[0, 0\]"),
        (lambda _: classifier(), {"shifts": (127,)}, r"window of 256 bp, got \[127\]"),
        (lambda _: classifier(), {"shifts": ()}, r"got \[\]"),
    ],
)
def test_what_is_refused(tiny_model, store, models, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        scorer(models(tiny_model), store, **settings)
