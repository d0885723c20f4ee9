import numpy as np
import pytest
from chromhub.datasets_scripts.fasta import Fasta, encode
from chromhub.datasets_scripts.variants import Variant
from chromhub.inference.variant_null import Sample, matched_variants, p_values, peak_variants, quantiles
from chromhub.inference.variants import (
    AlleleGrid,
    GenomeBases,
    allele_windows,
    normalised,
    normalised_text,
    variant_status,
)
from chromhub.modeling import AtacConfig

from .toy_genome import toy_codes, toy_fasta, toy_store

CONFIG = AtacConfig.from_preset("convnext-dcnn-tiny")
CODES = toy_codes()


@pytest.fixture(scope="module", params=["store", "fasta"])
def genome(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    source = toy_store(folder) if request.param == "store" else Fasta(toy_fasta(folder / "a.fa"))
    return GenomeBases(source, ["chrA", "chrB", "chrZ", "chrC"])


def bases(chrom, start, end):
    return "".join("ACGTN"[code] for code in CODES[chrom][start:end])


def other(base):
    return "CGTA"["ACGT".index(base)]


def test_windows_of_an_snv_have_it_at_the_index_of_the_paper(genome):
    variant = Variant("chrB", 5000, bases("chrB", 5000, 5001), other(bases("chrB", 5000, 5001)))
    ((ref, alt),) = allele_windows(variant, "chrB", genome.fetch, input_length=2048)
    assert np.flatnonzero(ref != alt).tolist() == [1023]
    np.testing.assert_array_equal(ref, CODES["chrB"][5000 - 1023 : 5000 + 1025])


def test_windows_of_an_insertion_and_a_deletion_are_full(genome):
    base = bases("chrB", 5000, 5001)
    insertion, deletion = (
        Variant("chrB", 5000, base, base + "ACC"),
        Variant("chrB", 5000, bases("chrB", 5000, 5003), ""),
    )
    ((ref, alt),) = allele_windows(insertion, "chrB", genome.fetch, input_length=2048)
    start = 5001 - 1023  # stripped of the base before it, the insertion starts behind it
    expected = np.concatenate([CODES["chrB"][start:5001], encode("ACC"), CODES["chrB"][5001 : start + 2045]])
    np.testing.assert_array_equal(alt, expected)
    np.testing.assert_array_equal(ref, CODES["chrB"][start : start + 2048])
    ((ref, alt),) = allele_windows(deletion, "chrB", genome.fetch, input_length=2048)
    start = 5000 - 1023
    expected = np.concatenate([CODES["chrB"][start:5000], CODES["chrB"][5003 : start + 2051]])
    np.testing.assert_array_equal(alt, expected)


def test_windows_at_an_end_read_n_and_shifts_move_them(genome):
    base = bases("chrC", 2, 3)
    variant = Variant("chrC", 2, base, other(base))
    windows = allele_windows(variant, "chrC", genome.fetch, input_length=2048, shifts=(0, -64, 32))
    assert windows.shape == (3, 2, 2048)
    assert [np.flatnonzero(ref != alt).tolist() for ref, alt in windows] == [[1023], [1087], [991]]
    assert (windows[0, 0, :1021] == 4).all()
    np.testing.assert_array_equal(windows[2, 0, 989:], CODES["chrC"][: 2048 - 989])


def test_bins_of_shifted_windows_lie_under_one_another():
    grid = AlleleGrid(CONFIG, window=64, shifts=(0, -8, 4))
    # Let each bin's prediction be its position in the genome, where the window without shift starts at bin 0.
    crop = grid.crop(1)
    predictions = np.stack([np.arange(crop, 512 - crop) + shift // 4 for shift in grid.shifts])
    common = grid.on_one_grid(predictions)
    assert (common == common[0]).all()
    assert common[0, 0] == grid.first_bin(1)
    assert common.shape[1] == 512 - 2 * grid.first_bin(1)


@pytest.mark.parametrize(
    ("window", "shifts", "sentence"),
    [
        (512, (0, 6), r"different multiples of the model's bin size of 4 bp, got \[0, 6\]"),
        (512, (0, 0), "different multiples"),
        (512, (), "different multiples"),
        (1024, (0,), "fit the model's target of 1024 bp, got a window of 1024 bp"),
        (513, (0,), "must be an even number"),
        (512, (2000,), "fit the model's target"),
    ],
)
def test_grids_that_do_not_fit(window, shifts, sentence):
    with pytest.raises(ValueError, match=sentence):
        AlleleGrid(CONFIG, window, shifts)


def test_every_status(genome):
    base, size = bases("chrB", 100, 101), len(CODES["chrC"])
    longest = AlleleGrid(CONFIG).longest
    last = bases("chrC", size - 1, size)
    for variant, expected in (
        (Variant("chrB", 100, base, other(base)), "ok"),
        (Variant("chrB", 100, base, base), "ok"),
        (Variant("chrB", 100, "", "ACGT"), "ok"),
        (Variant("chrB", 100, other(base), base), "ref_mismatch"),
        (Variant("chrA", 100, "A", "C"), "ref_mismatch"),  # the genome has N there
        (Variant("chrZ", 100, "A", "C"), "unknown_chrom"),
        (Variant("chrC", size - 1, last, other(last)), "ok"),
        (Variant("chrC", size, "A", "C"), "off_end"),
        (Variant("chrC", -1, "A", "C"), "off_end"),
        (Variant("chrB", 100, base, base + "A" * longest), "ok"),
        (Variant("chrB", 100, base, base + "A" * (longest + 1)), "too_long"),
        (Variant("chrB", 100, base, "<DEL>", kind="symbolic"), "symbolic"),
    ):
        assert variant_status(variant, genome, longest) == expected, variant


def test_matched_variants_match(genome):
    rng = np.random.default_rng(0)
    snv = Variant("chrB", 5000, bases("chrB", 5000, 5001), other(bases("chrB", 5000, 5001)))
    deletion = Variant("chrB", 700, bases("chrB", 700, 704), bases("chrB", 700, 701))
    insertion = Variant("chrB", 800, bases("chrB", 800, 801), bases("chrB", 800, 801) + "GATTACA")
    bad = Variant("chrZ", 1, "A", "C")
    found = matched_variants([snv, deletion, insertion, bad], genome, count=60, longest=200, rng=rng)
    assert len(found) == 60
    assert {variant_status(variant, GenomeBases(genome.source, CODES), 200) for variant in found} == {"ok"}
    substitutions = [v for v in found if len(v.ref) == len(v.alt)]
    assert {v.alt for v in substitutions} == {snv.alt}
    context = bases("chrB", 4999, 5002)
    assert {bases(v.chrom, v.start - 1, v.start + 2) for v in substitutions} == {context}
    assert {(len(v.ref), v.alt) for v in found if len(v.ref) != len(v.alt)} >= {(0, "GATTACA")}
    assert len({(v.chrom, v.start) for v in substitutions}) > 10
    with pytest.raises(ValueError, match="none of the variants looked at can be scored"):
        matched_variants([bad], genome, count=1, longest=200, rng=rng)


def test_a_sample_is_random_and_of_fixed_size():
    counts = np.zeros(20)
    for seed in range(300):
        sample = Sample(5, np.random.default_rng(seed))
        for i in range(20):
            sample.add(Variant("c", i, "A", "C"))
        assert len(sample.kept) == 5
        counts[[v.start for v in sample.kept]] += 1
    assert counts.sum() == 1500
    assert counts.min() > 75 - 5 * 75**0.5  # each is kept 75 times but for chance
    assert counts.max() < 75 + 5 * 75**0.5


def test_p_values_and_quantiles_by_hand():
    null = np.array([0.1, 0.2, 0.2, 0.5])
    # At least 0.2: three of four, (1 + 3) / 5; more than all: 1 / 5; 0: 5 / 5.
    assert p_values(np.array([-0.2, 0.6, 0.0]), null).tolist() == [0.8, 0.2, 1.0]
    assert quantiles(np.array([0.0, 0.2, 0.5]), null).tolist() == [0.0, 0.75, 1.0]


def test_summits_as_variants(genome):
    import pandas as pd

    peaks = pd.DataFrame({"chrom": ["chrB", "chrZ", "chrA", "chrB"], "summit": [50, 5, 10, 10**6]})
    assert peak_variants(peaks, genome, count=9, rng=np.random.default_rng(0)) == [
        Variant("chrB", 50, bases("chrB", 50, 51), bases("chrB", 50, 51))
    ]


def _text_genome(sequence):
    """Return a `fetch` of one chromosome, N beyond its ends."""
    codes = encode("N" * 3000 + sequence + "N" * 3000)
    return lambda chrom, start, end: codes[start + 3000 : end + 3000]


REPEAT = "GATTC" + "A" * 200 + "G" + "CATCATCATT" + "GG"  # positions 0-4, 5-204, 205, 206-215, 216-217


@pytest.mark.parametrize(
    ("variant", "expected", "text"),
    [
        (Variant("c", 204, "AG", "G"), (5, "A", ""), "c:5:CA>C"),  # an A of 200, written at the right end
        (Variant("c", 100, "AA", "A"), (5, "A", ""), "c:5:CA>C"),  # and in the middle
        (Variant("c", 4, "CA", "C"), (5, "A", ""), "c:5:CA>C"),
        (Variant("c", 204, "A", "AAA"), (5, "", "AA"), "c:5:C>CAA"),
        (Variant("c", 212, "CATT", "T"), (206, "CAT", ""), "c:206:GCAT>G"),  # three units of CAT
        (Variant("c", 208, "TCAT", "T"), (206, "CAT", ""), "c:206:GCAT>G"),
        (Variant("c", 213, "AT", "ATCAT"), (206, "", "CAT"), "c:206:G>GCAT"),
        (Variant("c", 0, "GA", "A"), (0, "G", ""), "c:1:GA>A"),  # no base before it to anchor it
        (Variant("c", 1, "ATT", "AGT"), (2, "T", "G"), "c:3:T>G"),  # a substitution has one place
        (Variant("c", 3, "TCA", "TGGA"), (4, "C", "GG"), "c:5:C>GG"),
    ],
)
def test_indels_are_left_aligned(variant, expected, text) -> None:
    fetch = _text_genome(REPEAT)
    found = normalised(variant, "c", fetch)
    assert (found.start, found.ref, found.alt) == expected
    assert normalised_text(variant, "c", fetch) == text


def test_every_way_to_write_an_indel_gives_the_same_windows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        unit = "".join(rng.choice(list("ACGT"), rng.integers(1, 4)))
        left, right = ("".join(rng.choice(list("ACGT"), 300)) for _ in range(2))
        run = unit * int(rng.integers(3, 90))
        sequence = left + run + right
        fetch = _text_genome(sequence)
        found = []
        for shift in range(0, len(run) - len(unit), len(unit)):
            at = 300 + shift
            deletion = Variant("c", at - 1, sequence[at - 1 : at + len(unit)], sequence[at - 1])
            insertion = Variant("c", at - 1, sequence[at - 1], sequence[at - 1] + unit)
            placed = [normalised(variant, "c", fetch) for variant in (deletion, insertion)]
            found.append([allele_windows(variant, "c", fetch, input_length=512) for variant in placed])
        for windows in found[1:]:
            np.testing.assert_array_equal(windows, found[0])
