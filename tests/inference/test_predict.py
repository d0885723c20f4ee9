import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.bigwig import BigWig
from chromhub.datasets_scripts.fasta import Fasta, decode
from chromhub.inference import predict as predict_module
from chromhub.inference.predict import (
    cut_windows,
    predict_batches,
    predict_chrom,
    predict_to_bigwig,
    track_paths,
    whole_chroms,
)
from chromhub.inference.ranks import Ranks
from chromhub.modeling import AtacConfig, AtacForTrackPrediction

from .toy_genome import SIZES, toy_codes, toy_fasta, toy_store

TILE, BIN = 1024, 4
CODES = toy_codes()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


def regions(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def single_windows(model, codes, *, both=True):
    """Predict each tile by itself, on one strand or both, from a window that was cut and padded by hand."""
    padded = np.concatenate([np.full(512, 4), codes, np.full(512 + TILE, 4)]).astype(np.uint8)
    tiles = []
    for i in range(0, len(codes), TILE):
        window = torch.from_numpy(padded[None, i : i + 2048])
        turned = torch.tensor([3, 2, 1, 0, 4], dtype=torch.uint8)[window.flip(-1).int()]
        with torch.no_grad():
            predicted = model(window).predictions
            if both:
                predicted = (predicted + model(turned).predictions.flip(-1)) / 2
        tiles.append(torch.expm1(predicted[0, :, 128:384]))
    return torch.cat(tiles, dim=1).numpy()[:, : -(-len(codes) // BIN)]


def read(path, chrom):
    """Return the value of each base, NaN in gaps."""
    import pyBigWig

    with pyBigWig.open(str(path)) as file:
        return np.array(file.values(chrom, 0, SIZES[chrom]))


def test_cut_windows():
    codes = np.array([0, 1, 2, 3], np.uint8)
    cut = cut_windows(codes, np.array([-2, 0, 3, 10, -9]), 4)
    assert cut.tolist() == [[4, 4, 0, 1], [0, 1, 2, 3], [3, 4, 4, 4], [4, 4, 4, 4], [4, 4, 4, 4]]
    assert cut.dtype == np.uint8
    assert cut_windows(codes, np.array([0, -1, 3]), 6).tolist() == [
        [0, 1, 2, 3, 4, 4],
        [4, 0, 1, 2, 3, 4],
        [3, 4, 4, 4, 4, 4],
    ]


def test_batches_are_the_central_targets_in_the_scale_of_training(tiny_model):
    codes = CODES["chrB"][: 3 * 2048].reshape(3, 2048)
    (predictions,) = predict_batches(tiny_model, [codes], average_rc=False)
    with torch.no_grad():
        whole = tiny_model(torch.from_numpy(codes)).predictions.numpy()
    assert predictions.shape == (3, 1, 256)
    np.testing.assert_allclose(predictions, whole[..., 128:384], rtol=1e-5)  # `predict` has its own way on a CPU


def test_both_strands_are_averaged_in_the_scale_of_training(tiny_model):
    codes = CODES["chrA"][:2048][None]  # with N
    reverse = np.array([3, 2, 1, 0, 4], np.uint8)[codes[:, ::-1]]
    (forward,), (backward,) = (predict_batches(tiny_model, [each], average_rc=False) for each in (codes, reverse))
    (both,) = predict_batches(tiny_model, [codes])
    np.testing.assert_allclose(both, (forward + backward[..., ::-1]) / 2, rtol=1e-6)
    assert not np.allclose(both, forward, atol=1e-3)
    (of_reverse,) = predict_batches(tiny_model, [reverse])
    np.testing.assert_array_equal(of_reverse[..., ::-1], both)


def test_a_model_in_training_mode_is_refused(tiny_model):
    with pytest.raises(ValueError, match=r"evaluation mode; call model.eval\(\) first"):
        next(predict_batches(tiny_model.train(), [CODES["chrB"][None, :2048]]))


def test_a_model_with_damaged_weights_is_refused(tiny_model):
    with torch.no_grad():
        tiny_model.head.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="values that are not finite"):
        next(predict_batches(tiny_model, [CODES["chrB"][None, :2048]]))


def test_the_caller_keeps_gradients_and_mode(tiny_model):
    next(predict_batches(tiny_model, [CODES["chrB"][None, :2048]]))
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not tiny_model.training


@pytest.mark.parametrize("chrom", SIZES)
def test_a_stitched_chromosome_is_its_single_windows(tiny_model, chrom):
    expected = single_windows(tiny_model, CODES[chrom])
    for batch_size in (1, 3, 64):
        runs = list(predict_chrom(tiny_model, CODES[chrom], batch_size=batch_size))
        assert [start for start, _ in runs] == list(range(0, SIZES[chrom], batch_size * TILE))
        np.testing.assert_allclose(np.concatenate([run for _, run in runs], axis=1), expected, rtol=1e-6, atol=1e-6)


def test_one_strand_of_a_chromosome(tiny_model):
    found = [run for _, run in predict_chrom(tiny_model, CODES["chrC"], average_rc=False)]
    expected = single_windows(tiny_model, CODES["chrC"], both=False)
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, rtol=1e-6, atol=1e-6)


def test_chosen_tiles_come_as_runs(tiny_model):
    expected = single_windows(tiny_model, CODES["chrC"])
    tiles = np.array([0, 1, 3, 4])
    runs = list(predict_chrom(tiny_model, CODES["chrC"], tiles=tiles, batch_size=3))
    assert [(start, run.shape[1]) for start, run in runs] == [(0, 512), (3 * TILE, 256), (4 * TILE, 227)]
    for start, run in runs:  # 5001 bp: the last tile has ceil((5001 - 4096) / 4) = 227 bins
        np.testing.assert_allclose(run, expected[:, start // BIN : start // BIN + run.shape[1]], rtol=1e-6, atol=1e-6)


def test_whole_genome_as_bigwig(tiny_model, store, tmp_path):
    seen = []
    written = predict_to_bigwig(
        tiny_model, store, tmp_path / "new" / "a.bw", batch_size=4, progress=lambda *now: seen.append(now)
    )
    assert written.paths == (tmp_path / "new" / "a.bw",)
    assert written.chroms == ("chrA", "chrB", "chrC")
    # ceil of 16,384, 9,002 and 5,001 over 4: 4096 + 2251 + 1251 bins, less the first tile of chrA, which is all N.
    assert written.num_bins == 4096 + 2251 + 1251 - 256
    assert list(BigWig(written.paths[0]).chrom_sizes.items()) == sorted(SIZES.items())
    assert seen[0] == (0, 16 + 9 + 5)
    assert seen[-1] == (30, 30)
    for chrom, size in SIZES.items():
        expected = np.repeat(single_windows(tiny_model, CODES[chrom])[0], BIN)[:size]
        values = read(written.paths[0], chrom)
        called = np.ones(size, bool)
        called[: TILE if chrom == "chrA" else 0] = False
        np.testing.assert_allclose(values[called], expected[called], rtol=1e-6, atol=1e-6)
        assert np.isnan(values[~called]).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bw"]


def test_a_fasta_gives_the_same_file(tiny_model, store, tmp_path):
    fasta = Fasta(toy_fasta(tmp_path / "genome.fa"))
    one = predict_to_bigwig(tiny_model, store, tmp_path / "store.bw")
    two = predict_to_bigwig(tiny_model, fasta, tmp_path / "fasta.bw")
    assert (one.chroms, one.num_bins) == (two.chroms, two.num_bins)
    assert one.paths[0].read_bytes() == two.paths[0].read_bytes()


def test_regions_agree_with_the_whole_genome(tiny_model, store, tmp_path):
    wanted = regions(
        ("chrC", 4998, 5001), ("chrB", 1022, 1026), ("chrB", 1020, 3000), ("chrB", 9000, 9001), ("chrA", 100, 1100)
    )
    whole = predict_to_bigwig(tiny_model, store, tmp_path / "whole.bw")
    part = predict_to_bigwig(tiny_model, store, tmp_path / "part.bw", regions=wanted)
    assert part.chroms == ("chrA", "chrB", "chrC")
    # Bins touched: chrB 255..750 (1020-3000) and 2250, chrA 256..275 (1024 on, since tile 0 is all N), chrC 1249, 1250.
    assert part.num_bins == 495 + 1 + 19 + 2
    for chrom, size in SIZES.items():
        asked = np.zeros(size, bool)
        for start, end in wanted.loc[wanted["chrom"] == chrom, ["start", "end"]].to_numpy():
            asked[start // BIN * BIN : -(-end // BIN) * BIN] = True
        asked[: TILE if chrom == "chrA" else 0] = False
        expected = np.where(asked, read(whole.paths[0], chrom), np.nan)
        np.testing.assert_allclose(read(part.paths[0], chrom), expected, rtol=1e-6, atol=1e-6)


def test_several_tracks_are_several_files(store, tmp_path):
    config = AtacConfig.from_preset("dcnn-tiny", num_tracks=2, track_names=["k562 a", "hepg2"])
    model = AtacForTrackPrediction(config).eval()
    written = predict_to_bigwig(model, store, tmp_path / "out.bw", regions=whole_chroms(SIZES, ["C"]))
    assert [path.name for path in written.paths] == ["out.k562_a.bw", "out.hepg2.bw"]
    expected = single_windows(model, CODES["chrC"])
    for path, row in zip(written.paths, expected, strict=True):
        np.testing.assert_allclose(read(path, "chrC"), np.repeat(row, BIN)[:5001], rtol=1e-6, atol=1e-6)


def test_track_paths():
    assert [str(path) for path in track_paths("a/out.bw", ["x/y"])] == ["a/out.bw"]
    with pytest.raises(ValueError, match="track names must differ as file names, got a_b, a_b"):
        track_paths("out.bw", ["a b", "a/b"])


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (regions(("chrA", 0, 10), ("chrZ", 0, 10)), r"no chromosomes \[chrZ\]; it has \[chrB, chrA, chrC\]"),
        (regions(("chrZ", 0, 10)), r"no chromosomes \[chrZ\]; it has"),
        (regions(("chrA", 0, 10), ("chrC", 5000, 5002)), r"chrC:5000-5002 does not \(chrC has 5001 bp; 1 such"),
        (regions(), "no region was given"),
        (regions(("chrA", 0, 1000)), "no base but N"),
    ],
)
def test_regions_that_cannot_be_predicted(tiny_model, store, tmp_path, wanted, sentence):
    with pytest.raises(ValueError, match=sentence):
        predict_to_bigwig(tiny_model, store, tmp_path / "out.bw", regions=wanted)
    assert list(tmp_path.iterdir()) == []


def test_chromosomes_that_do_not_exist_are_listed():
    with pytest.raises(ValueError, match=r"no chromosomes \[chrX, chrY\]; it has \[chrB, chrA, chrC\]"):
        whole_chroms(SIZES, ["chrB", "chrX", "chrY"])


def test_existing_files_are_kept_unless_told_otherwise(tiny_model, store, tmp_path):
    (tmp_path / "out.bw").write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        predict_to_bigwig(tiny_model, store, tmp_path / "out.bw")
    assert (tmp_path / "out.bw").read_text() == "mine"
    predict_to_bigwig(tiny_model, store, tmp_path / "out.bw", regions=whole_chroms(SIZES, ["chrC"]), overwrite=True)
    assert list(BigWig(tmp_path / "out.bw").chrom_sizes) == ["chrA", "chrB", "chrC"]


def test_an_interruption_leaves_nothing(tiny_model, store, tmp_path):
    def interrupt(done, total):
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_to_bigwig(tiny_model, store, tmp_path / "out.bw", batch_size=2, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_reverse_complemented_input_reverses_the_track(tiny_model, tmp_path):
    # 8 tiles of 1,024 bp: the grid of tiles is its own mirror image.
    codes = CODES["chrB"][:8192]
    reverse = np.array([3, 2, 1, 0, 4], np.uint8)[codes[::-1]]
    ((_, forward),), ((_, backward),) = (list(predict_chrom(tiny_model, strand.copy())) for strand in (codes, reverse))
    np.testing.assert_allclose(backward[:, ::-1], forward, rtol=1e-5, atol=1e-6)


def test_several_models_are_averaged_in_the_scale_of_training(tiny_model):
    torch.manual_seed(3)
    other = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny")).eval()
    codes = CODES["chrB"][None, :2048]
    (one,), (two,) = predict_batches(tiny_model, [codes]), predict_batches(other, [codes])
    (both,) = predict_batches([tiny_model, other], [codes])
    np.testing.assert_allclose(both, (one + two) / 2, rtol=1e-6)
    assert not np.allclose(one, two, atol=1e-3)
    half = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny", target_length=512)).eval()
    with pytest.raises(ValueError, match="must agree in `target_length`, got 1024 and 512"):
        next(predict_batches([tiny_model, half], [codes]))


def test_sequences_of_any_length(tiny_model, tmp_path):
    sequences = {"s1": CODES["chrB"][:10], "s2": CODES["chrB"][:1500]}
    (tmp_path / "s.fa").write_text("".join(f">{n}\n{decode(codes)}\n" for n, codes in sequences.items()))
    written = predict_to_bigwig(tiny_model, Fasta(tmp_path / "s.fa"), tmp_path / "s.bw")
    assert written.num_bins == 3 + 375
    values = BigWig(written.paths[0]).binned("s1", size=8, bin_size=4, summary="mean")
    np.testing.assert_allclose(values, single_windows(tiny_model, sequences["s1"])[0, :2], rtol=1e-5)


def test_an_interrupted_run_goes_on(tiny_model, store, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_module, "_BLOCK", 3)
    whole = predict_to_bigwig(tiny_model, store, tmp_path / "whole.bw").paths[0].read_bytes()
    calls, plain = [], predict_module.predict_chrom

    def counted(models, codes, *, tiles, **options):
        calls.append(len(tiles))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return plain(models, codes, tiles=tiles, **options)

    monkeypatch.setattr(predict_module, "predict_chrom", counted)
    with pytest.raises(KeyboardInterrupt):
        predict_to_bigwig(tiny_model, store, tmp_path / "b.bw")
    assert not (tmp_path / "b.bw").exists()
    assert predict_to_bigwig(tiny_model, store, tmp_path / "b.bw").paths[0].read_bytes() == whole
    # 16 + 8 + 5 tiles with bases in blocks of 3: 6 + 3 + 2, of which 4 were whole when the fifth was interrupted.
    assert len(calls) == 5 + (6 + 3 + 2 - 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.bw", "whole.bw"]


def test_processes_share_the_genome(tiny_model, store, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_module, "_BLOCK", 3)
    alone = predict_to_bigwig(tiny_model, store, tmp_path / "alone.bw").paths[0]
    waited: list = []

    def others():
        """Stand for the second process, which works while the leader waits for it before writing."""
        waited.append(len(list((tmp_path / ".b.bw.partial").glob("part-*"))))
        if len(waited) == 2:
            found = predict_to_bigwig(tiny_model, store, tmp_path / "b.bw", ranks=Ranks(1, 2))
            assert found.num_bins == 0

    joined = predict_to_bigwig(tiny_model, store, tmp_path / "b.bw", ranks=Ranks(0, 2, others))
    assert waited == [0, 6]  # of 11 blocks the leader has every other one
    assert joined.paths[0].read_bytes() == alone.read_bytes()
