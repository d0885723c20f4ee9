import gzip

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.fasta import Fasta
from chromhub.datasets_scripts.variants import Variant
from chromhub.inference import score as score_module
from chromhub.inference.ranks import Ranks
from chromhub.inference.score import score_file
from chromhub.inference.variant_scorer import ScoreSettings, VariantScorer
from chromhub.inference.variant_tables import info_keys
from chromhub.inference.variants import GenomeBases
from chromhub.modeling import AtacConfig, AtacForTrackPrediction

from .toy_genome import toy_codes, toy_store

CODES = toy_codes()
SIGNED = ("logfc", "max_difference", "smoothed_logfc")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


def bases(chrom, start, end):
    return "".join("ACGTN"[code] for code in CODES[chrom][start:end])


def some_variants(count=12, seed=0):
    rng, found = np.random.default_rng(seed), []
    for i, start in enumerate(rng.integers(1200, 8000, count).tolist()):
        chrom = ("chrA", "chrB")[i % 2]
        ref = bases(chrom, start, start + 1)
        alt = ["CGTA"["ACGT".index(ref)], ref + "GAT", ref][i % 3]
        if i % 3 == 2:
            ref = bases(chrom, start, start + 4)
        found.append(Variant(chrom, start, ref, alt, f"v{i}", i))
    return found


def scorer(model, store, **settings):
    return VariantScorer([model], GenomeBases(store, CODES), ScoreSettings(**settings))


def test_an_snv_by_the_plain_model(tiny_model, store):
    variant = some_variants(1)[0]
    scores = scorer(tiny_model, store, window=400, average_rc=False).score([variant])
    codes = np.stack([CODES["chrA"][variant.start - 1023 : variant.start + 1025]] * 2).copy()
    codes[1, 1023] = "ACGT".index(variant.alt)
    with torch.no_grad():
        signal = torch.expm1(tiny_model(torch.from_numpy(codes)).predictions)[:, 0].double().numpy()
    per_base = np.repeat(signal, 4, axis=1)[:, 1023 - 200 : 1023 + 200]
    ref, alt = per_base.mean(1)
    assert scores["ref_signal"][0, 0] == pytest.approx(ref, rel=1e-5)
    assert scores["logfc"][0, 0] == pytest.approx(np.log2((alt + 1e-3) / (ref + 1e-3)), abs=1e-5)
    # The reference's notebook: smooth by 8 bins, take bin 256 of 512, REF / (ALT + 1e-4).
    weights = np.exp(-0.5 * (np.arange(-32, 33) / 8) ** 2)
    smoothed = signal[:, 256 - 32 : 256 + 33] @ (weights / weights.sum())
    assert scores["paper_fold_change"][0, 0] == pytest.approx(smoothed[0] / (smoothed[1] + 1e-4), rel=1e-5)


def test_equal_alleles_score_0_exactly(tiny_model, store):
    same = [Variant(v.chrom, v.start, v.ref, v.ref) for v in some_variants()]
    scores = scorer(tiny_model, store).score(same)
    for name in (*SIGNED, "jsd"):
        assert (scores[name] == 0).all(), name


def test_swapped_alleles_change_the_sign(tiny_model, tmp_path):
    variants = [v for v in some_variants() if len(v.ref) == 1]
    one = scorer(tiny_model, toy_store(tmp_path / "ref"), average_rc=False).score(variants)
    changed = {chrom: "".join("ACGTN"[c] for c in codes) for chrom, codes in CODES.items()}
    for i, v in enumerate(variants):
        genome = changed | {v.chrom: changed[v.chrom][: v.start] + v.alt + changed[v.chrom][v.end :]}
        path = tmp_path / f"{i}.fa"
        path.write_text("".join(f">{chrom}\n{sequence}\n" for chrom, sequence in genome.items()))
        swapped = Variant(v.chrom, v.start, v.alt, v.ref)
        other = scorer(tiny_model, Fasta(path), average_rc=False).score([swapped])
        assert abs(one["logfc"][i, 0]) > 1e-4
        for name in SIGNED:
            assert other[name][0, 0] == pytest.approx(-one[name][i, 0], abs=1e-5)
        assert other["jsd"][0, 0] == pytest.approx(one["jsd"][i, 0], abs=1e-5)


@pytest.mark.parametrize("settings", [{"average_rc": False}, {"shifts": (0, 16, -16)}])
def test_the_batch_size_does_not_matter(tiny_model, store, settings):
    many, one = (scorer(tiny_model, store, batch_size=size, **settings).score(some_variants()) for size in (64, 1))
    for name in many:
        np.testing.assert_allclose(many[name], one[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_both_strands_and_shifts_average_in_the_scale_of_training(tiny_model, store):
    variant = some_variants(1)[0]
    start = variant.start - 1023
    total = 0
    for shift in (0, 32):
        codes = CODES["chrA"][start + shift : start + shift + 2048][None].copy()
        reverse = np.array([3, 2, 1, 0, 4], np.uint8)[codes[:, ::-1]].copy()
        forward = tiny_model.predict(torch.from_numpy(codes))[0, 0].numpy()
        backward = tiny_model.predict(torch.from_numpy(reverse))[0, 0].numpy()[::-1]
        total = total + np.roll(forward, shift // 4) / 4 + np.roll(backward, shift // 4) / 4
    expected = np.expm1(np.repeat(total, 4)[1023 - 256 : 1023 + 256]).mean()
    scores = scorer(tiny_model, store, shifts=(0, 32)).score([variant])
    assert scores["ref_signal"][0, 0] == pytest.approx(expected, rel=1e-5)


def test_several_models_average(tiny_model, store):
    torch.manual_seed(5)
    other = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny")).eval()
    genome, variants = GenomeBases(store, CODES), some_variants(2)
    both = VariantScorer([tiny_model, other], genome, ScoreSettings()).score(variants)
    again = VariantScorer([tiny_model, tiny_model], genome, ScoreSettings()).score(variants)
    alone = VariantScorer([tiny_model], genome, ScoreSettings()).score(variants)
    np.testing.assert_allclose(again["logfc"], alone["logfc"], atol=1e-6)
    assert not np.allclose(both["logfc"], alone["logfc"], atol=1e-4)
    wide = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny", bin_size=8)).eval()
    with pytest.raises(ValueError, match="must agree in `bin_size`, got 4 and 8"):
        VariantScorer([tiny_model, wide], genome, ScoreSettings())


def test_null_and_background(tiny_model, store):
    maker = scorer(tiny_model, store, num_null=19)
    maker.find_null(some_variants())
    maker.find_background(store.peaks)
    scores = maker.score(some_variants())
    assert set(np.unique(np.round(scores["logfc_p"] * 20))) <= set(range(1, 21))
    assert scores["active_allele_quantile"].min() >= 0
    assert maker.background is not None
    assert maker.background.shape == (1, 3)
    assert maker.names[-4:] == ["active_allele_quantile", "logfc_p", "jsd_p", "max_difference_p"]


VCF = """##fileformat=VCFv4.3
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	s1
"""


def write_vcf(path, count=10):
    lines = []
    for v in some_variants(count):
        lines.append(f"{v.chrom}\t{v.start + 1}\t{v.name}\t{v.ref}\t{v.alt}\t.\tPASS\tAF=0.5\tGT\t0/1\n")
    lines.insert(1, f"chrA\t5001\tmulti\t{bases('chrA', 5000, 5001)}\t<DEL>,{bases('chrA', 5000, 5001)}A,*\t.\t.\t.\n")
    lines.append("chrZ\t1\tz\tA\tC\t.\t.\t.\tGT\t0/1\n")
    path.write_text(VCF + "".join(lines))
    return path


def run(model, source, given, output, **settings):
    return score_file([model], source, given, output, settings=ScoreSettings(**settings))


def test_every_variant_has_a_row_and_a_status(tiny_model, store, tmp_path):
    seen = []
    given = write_vcf(tmp_path / "a.vcf")
    options = {"settings": ScoreSettings(num_null=5), "peaks": store.peaks}
    written = score_file(
        [tiny_model], store, given, tmp_path / "out" / "a.tsv", progress=lambda *now: seen.append(now), **options
    )
    assert written.counts == {"ok": 11, "symbolic": 1, "overlapping": 1, "unknown_chrom": 1}
    table = pd.read_csv(written.path, sep="\t")
    assert list(table.columns[:6]) == ["chrom", "pos", "id", "ref", "alt", "status"]
    assert table["status"].tolist()[1:4] == ["symbolic", "ok", "overlapping"]
    assert table["logfc"].notna().tolist() == (table["status"] == "ok").tolist()
    expected = scorer(tiny_model, store).score(some_variants(10))["logfc"][:, 0]
    np.testing.assert_allclose(table["logfc"][table["id"].str.startswith("v")], expected, atol=1e-5)
    assert (table["pos"][0], table["id"][0]) == (some_variants(1)[0].start + 1, "v0")
    assert seen == [(0, 14), (14, 14)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tsv"]


def test_an_annotated_vcf_keeps_every_line(tiny_model, store, tmp_path):
    given = write_vcf(tmp_path / "a.vcf")
    written = run(tiny_model, store, given, tmp_path / "b.vcf.gz")
    table = pd.read_csv(run(tiny_model, store, given, tmp_path / "b.tsv").path, sep="\t")
    lines = gzip.decompress(written.path.read_bytes()).decode().splitlines()
    notes = [line for line in lines if line.startswith("##INFO")]
    assert '##INFO=<ID=CHROMHUB_LOGFC,Number=A,Type=Float,Description="chromhub: log2(' in notes[3]
    records = [line.split("\t") for line in lines if not line.startswith("#")]
    before = [line.split("\t") for line in given.read_text().splitlines() if not line.startswith("#")]
    assert [r[:7] + r[8:] for r in records] == [r[:7] + r[8:] for r in before]
    info = dict(item.split("=") for item in records[0][7].split(";"))
    assert info["AF"] == "0.5"
    assert info["CHROMHUB_STATUS"] == "ok"
    assert float(info["CHROMHUB_LOGFC"]) == pytest.approx(table["logfc"][0])
    multi = dict(item.split("=") for item in records[1][7].split(";"))
    assert multi["CHROMHUB_STATUS"] == "symbolic,ok,overlapping"
    assert multi["CHROMHUB_LOGFC"].split(",")[::2] == [".", "."]
    assert float(multi["CHROMHUB_LOGFC"].split(",")[1]) == pytest.approx(table["logfc"][2])


def test_an_interrupted_run_goes_on(tiny_model, store, tmp_path, monkeypatch):
    monkeypatch.setattr(score_module, "_CHUNK", 4)
    given, calls = write_vcf(tmp_path / "a.vcf"), []
    whole = run(tiny_model, store, given, tmp_path / "whole.tsv", num_null=3).path.read_text()
    plain = VariantScorer.statuses

    def counted(self, variants):
        calls.append(len(variants))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, variants)

    monkeypatch.setattr(VariantScorer, "statuses", counted)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_model, store, given, tmp_path / "b.tsv", num_null=3)
    assert not (tmp_path / "b.tsv").exists()
    assert run(tiny_model, store, given, tmp_path / "b.tsv", num_null=3).path.read_text() == whole
    assert calls == [4, 4, 4, 4, 2]  # the third was interrupted and comes again, the first two do not


def test_processes_share_the_chunks(tiny_model, store, tmp_path, monkeypatch):
    monkeypatch.setattr(score_module, "_CHUNK", 4)
    given = write_vcf(tmp_path / "a.vcf")
    alone = run(tiny_model, store, given, tmp_path / "alone.tsv")
    folder = tmp_path / ".b.tsv.partial"
    options = {"settings": ScoreSettings()}

    def others():
        """Stand for the second process, which works while the leader waits for it before joining the parts."""
        if len(waited) == 2:
            score_file([tiny_model], store, given, tmp_path / "b.tsv", ranks=Ranks(1, 2), **options)
        waited.append(sorted(path.name for path in folder.glob("part-0*")))

    waited: list = []
    joined = score_file([tiny_model], store, given, tmp_path / "b.tsv", ranks=Ranks(0, 2, others), **options)
    assert waited[1] == []
    assert waited[2] == [f"part-000000{i}.tsv" for i in range(4)]
    assert joined.path.read_text() == alone.path.read_text()


def test_several_tracks_are_columns(store, tmp_path):
    config = AtacConfig.from_preset("dcnn-tiny", num_tracks=2, track_names=["a", "b"])
    model = AtacForTrackPrediction(config).eval()
    written = run(model, store, ["chrB:2001:" + bases("chrB", 2000, 2001) + ">-"], tmp_path / "a.tsv")
    assert written.columns[4:6] == ("logfc.a", "logfc.b")
    row = pd.read_csv(written.path, sep="\t").iloc[0]
    assert (row["alt"], row["status"]) == ("-", "ok")
    assert row["logfc.a"] != row["logfc.b"]


@pytest.mark.parametrize(
    ("given", "name", "sentence"),
    [
        (["chrB:5:A>C"], "a.vcf", "only a VCF can be annotated"),
        (["chrB:5:A>C"], "a.bed", "must end in .tsv"),
        (["chrQ:5:A>C"], "a.tsv", "no chromosome name in common"),
        ([], "a.tsv", "no variant was given"),
    ],
)
def test_what_is_refused(tiny_model, store, tmp_path, given, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(tiny_model, store, given, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_target_too_short_to_smooth(store):
    torch.manual_seed(0)
    config = AtacConfig.from_preset("convnext-cnn-tiny", input_length=1024, target_length=512, bin_size=64)
    model = AtacForTrackPrediction(config).eval()
    variant = some_variants(1)[0]
    found = scorer(model, store, average_rc=False)
    scores = found.score([variant])
    assert found.names == ["ref_signal", "alt_signal", "logfc", "jsd", "max_difference"] == list(scores)
    codes = np.stack([CODES["chrA"][variant.start - 511 : variant.start + 513]] * 2).copy()
    codes[1, 511] = "ACGT".index(variant.alt)
    with torch.no_grad():
        signal = model.to_signal(model(torch.from_numpy(codes)).predictions)[:, 0].double().numpy()
    ref, alt = np.repeat(signal, 64, axis=1)[:, 511 - 128 : 511 + 128].mean(1)  # half the target
    assert scores["ref_signal"][0, 0] == pytest.approx(ref, rel=1e-5)
    assert scores["logfc"][0, 0] == pytest.approx(np.log2((alt + 1e-3) / (ref + 1e-3)), abs=1e-5)


def test_an_indel_scores_alike_in_every_notation(tiny_model, tmp_path):
    sequence = bases("chrB", 0, 3000) + "A" * 30 + "C" + bases("chrB", 3000, 6000)
    (tmp_path / "g.fa").write_text(f">chrB\n{sequence}\n")
    first = len(sequence[:3000].rstrip("A"))  # where the run of A begins
    rows = [(first, sequence[first - 1] + "A", sequence[first - 1], "L"), (3029, "AA", "A", "R")]
    lines = ["chrom\tpos\tref\talt\tid", *(f"{'chrB' if n == 'L' else 'B'}\t{p}\t{r}\t{a}\t{n}" for p, r, a, n in rows)]
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    settings = ScoreSettings(num_null=3)
    written = score_file(
        [tiny_model], Fasta(tmp_path / "g.fa"), tmp_path / "a.tsv", tmp_path / "b.tsv", settings=settings
    )
    table = pd.read_csv(written.path, sep="\t")
    assert (table["pos"].tolist(), table["ref"].tolist()) == ([first, 3029], [rows[0][1], "AA"])  # as given
    assert [text.split(":", 1)[1] for text in table["normalised"]] == [f"{first}:{rows[0][1]}>{rows[0][2]}"] * 2
    left, right = (table.drop(columns=["chrom", "pos", "id", "ref", "alt", "normalised"]).iloc[i] for i in (0, 1))
    assert left.equals(right)
    assert left["status"] == "ok"


def test_a_carriage_return_in_a_field_is_refused(tiny_model, store, tmp_path):
    text = write_vcf(tmp_path / "a.vcf").read_text().replace("\tv2\t", "\tv\r2\t")
    (tmp_path / "a.vcf").write_text(text, newline="")
    with pytest.raises(ValueError, match=r"a\.vcf, line 6: must hold no carriage return but at its end"):
        run(tiny_model, store, tmp_path / "a.vcf", tmp_path / "b.vcf")
    (tmp_path / "a.vcf").write_bytes(write_vcf(tmp_path / "c.vcf").read_bytes().replace(b"\n", b"\r\n"))
    assert run(tiny_model, store, tmp_path / "a.vcf", tmp_path / "b.vcf").counts["ok"] == 11


def test_a_vcf_scored_twice_has_each_key_once(tiny_model, store, tmp_path):
    given = write_vcf(tmp_path / "a.vcf", 3)
    given.write_bytes(given.read_bytes().replace(b"\tv1\t", b"\tv\xe9\t"))  # Latin-1
    once = run(tiny_model, store, given, tmp_path / "b.vcf").path
    twice = run(tiny_model, store, once, tmp_path / "c.vcf").path
    assert twice.read_bytes() == once.read_bytes()
    assert b"\tv\xe9\t" in once.read_bytes()


def test_keys_of_info_differ():
    assert info_keys(["a", "A", "rep-1", "rep.1"]) == [
        "CHROMHUB_A",
        "CHROMHUB_A_2",
        "CHROMHUB_REP_1",
        "CHROMHUB_REP_1_2",
    ]


def test_a_vcf_that_spells_a_chromosome_in_two_ways_loses_none(tiny_model, store, tmp_path):
    first = some_variants(1)[0]
    lines = ["chrom\tpos\tref\talt", *(f"{c}\t{first.start + 1}\t{first.ref}\t{first.alt}" for c in ("chrA", "A"))]
    lines += [f"chrQ\t{i}\tA\tC" for i in range(1, 4)]
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    written = run(tiny_model, store, tmp_path / "a.tsv", tmp_path / "b.tsv")
    assert written.counts == {"ok": 2, "unknown_chrom": 3}
    assert written.warnings == (
        f"{tmp_path / 'a.tsv'}: only 2 of 5 variants are kept (3 unknown_chrom, the genome lacks [chrQ]): is it of the "
        "same genome?",
    )
