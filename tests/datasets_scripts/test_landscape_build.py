import json
from pathlib import Path

import numpy as np
import pytest
from chromhub.datasets_scripts.bigwig import write_bigwig
from chromhub.datasets_scripts.contacts import log_contacts
from chromhub.datasets_scripts.landscape import LandscapeData
from chromhub.datasets_scripts.landscape_build import LandscapeInputs, build_landscape
from chromhub.datasets_scripts.landscape_signal import LandscapeGrid

from . import test_contacts

SIZES = {"chr1": 4000, "chr2": 3000}
GRID = LandscapeGrid(21, 50, num_bins=3, bin_size=100, fine_bin_size=20, smoothing=0)
GENES = "1\t2000\t2400\tG1\t0\t+\n1\t2400\t2800\tG2\t0\t-\n2\t100\t101\tG3\t0\t+\n3\t5\t6\tG4\t0\t+\n"


@pytest.fixture(scope="module")
def signal() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return {
        name: {chrom: rng.integers(0, 20, size).astype(np.float32) for chrom, size in SIZES.items()}
        for name in ("atac", "k27ac", "plus", "minus")
    }


@pytest.fixture(scope="module")
def inputs(signal, tmp_path_factory) -> LandscapeInputs:
    folder = tmp_path_factory.mktemp("inputs")
    for name, chroms in signal.items():
        sign = -1 if name == "minus" else 1
        chunks = [(chrom, 0, sign * values) for chrom, values in chroms.items()]
        write_bigwig(folder / f"{name}.bw", SIZES, chunks, bin_size=1)
    (folder / "genes.bed").write_text(GENES)
    matrix = np.random.default_rng(1).integers(1, 99, (40 + 30, 40 + 30)).astype(float)
    matrix = np.triu(matrix) + np.triu(matrix, 1).T
    test_contacts.write_cool(folder / "m.cool", matrix, sizes=SIZES, weights=np.full(70, 0.1), bin_size=100)
    return LandscapeInputs(
        tracks={"atac": (folder / "atac.bw",), "k27ac": (folder / "k27ac.bw",)},
        targets={"rna": (folder / "plus.bw", folder / "atac.bw")},
        genes=folder / "genes.bed",
        grid=GRID,
        contacts=str(folder / "m.cool"),
        contact_form="square",
        valid=("chr2",),
        genome="toy",
    )


def changed(inputs: LandscapeInputs, **fields) -> LandscapeInputs:
    return LandscapeInputs(**{**vars(inputs), **fields})


def test_a_gene_by_hand(inputs, signal, tmp_path):
    seen = []
    data = build_landscape(inputs, tmp_path / "data", on_progress=lambda *told: seen.append(told))
    assert list(data.genes["gene"]) == ["G1", "G2", "G3"]
    assert data.description["genes"]["dropped"] == {"chromosome not in every input, or not chosen": 1}
    assert data.landscapes.shape == (3, 2, 21)
    # 21 bins of 50 around 2000: from 2000 - 525
    expected = signal["k27ac"]["chr1"][1475 : 1475 + 1050].reshape(21, 50).mean(1)
    assert np.allclose(data.landscapes[0, 1], expected)
    # targets: three bins from 2000 - 150, both files summed
    both = signal["plus"]["chr1"] + signal["atac"]["chr1"]
    assert np.allclose(data.targets[0, 0], both[1850:2150].reshape(3, 100).mean(1))
    # a gene on the other strand is centred on its last base, and not turned round
    assert data.genes["tss"].tolist() == [2000, 2799, 100]
    assert np.allclose(data.targets[1, 0], both[2649:2949].reshape(3, 100).mean(1))
    # off the chromosome there is nothing, and no bin that starts there counts: -50, 50, 150
    assert not data.landscapes[2, :, :8].any()
    assert data.mask.tolist() == [[True] * 3, [True] * 3, [False, True, True]]
    # contacts: 1000 bp are 11 bins of 100, from (100 - 500) // 100 = -4
    assert data.contacts.shape == (3, 11, 11)
    assert np.all(data.contacts[2, :4] == -14)
    assert np.all(data.contacts[2, 4:, 4:] > -2)
    assert (data.contact_form, data.input_tracks, data.track_names) == ("square", ["atac", "k27ac"], ["rna"])
    assert seen[-1] == ("contacts", 3, 3)
    assert not list(tmp_path.glob(".data*"))


def test_what_the_folder_says_of_itself(inputs, tmp_path):
    data = build_landscape(inputs, tmp_path / "data")
    assert data.split.train == ("1",)  # names are those of the genes
    assert data.rows("train").tolist() == [0, 1]
    assert data.rows("valid").tolist() == [2]
    assert data.windows(np.array([0, 2])).to_numpy().tolist() == [["1", 1850, 2150], ["2", 0, 250]]
    assert data.chrom_sizes == {"1": 4000, "2": 3000}
    again = build_landscape(inputs, tmp_path / "again")
    assert again.fingerprint == data.fingerprint
    other = build_landscape(changed(inputs, valid=()), tmp_path / "other")
    assert other.fingerprint != data.fingerprint
    text = (tmp_path / "data" / "landscape.json").read_text()
    assert str(tmp_path.parent) not in text
    assert json.loads(text)["input_tracks"][0]["files"][0][0] == "atac.bw"


def test_negative_signal_clip_and_edges(inputs, tmp_path):
    minus = inputs.genes.with_name("minus.bw")
    data = build_landscape(
        changed(inputs, targets={"m": (minus,)}, clip=9.0, edges="drop", contacts=None, chroms=("chr1",), valid=()),
        tmp_path / "d",
    )
    assert not data.targets.any()
    assert data.description["bins_below_zero"]["m"] > 20
    assert data.landscapes.max() == 9
    assert data.contacts is None
    dropped = build_landscape(changed(inputs, edges="drop"), tmp_path / "e").description["genes"]["dropped"]
    assert dropped["landscape runs off its chromosome"] == 1


def test_rotated_contacts_and_their_flip(inputs, tmp_path):
    data = build_landscape(changed(inputs, contact_form="rotated", contact_bins=21), tmp_path / "d")
    assert data.contacts.shape == (3, 5, 21)
    assert log_contacts(np.zeros((1, 1))) == -14


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"targets": {}}, ValueError, "at least one --track to read and one --target"),
        ({"chroms": ("chr9",)}, ValueError, "no chromosome name in common for --chroms"),
        ({"valid": ("chr9", "chr2")}, ValueError, "names chromosomes the genome lacks"),
        ({"contact_bins": 2}, ValueError, "a contact map needs 3 bins or more, got 2"),
        ({"split": Path("a.json")}, ValueError, "leave out --valid and --test"),
        (
            {"edges": "drop", "chroms": ("chr2",), "valid": ()},
            ValueError,
            "no gene of .* is left: 3 .*, 1 landscape runs off",
        ),
    ],
)
def test_wrong_inputs_leave_nothing(inputs, fields, error, message, tmp_path):
    with pytest.raises(error, match=message):
        build_landscape(changed(inputs, **fields), tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_a_damaged_folder_is_refused(inputs, tmp_path):
    folder = build_landscape(inputs, tmp_path / "data").path
    with pytest.raises(FileExistsError, match="already exists"):
        build_landscape(inputs, folder)
    np.save(folder / "mask.npy", np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="its arrays differ in length"):
        LandscapeData.open(folder)
    (folder / "mask.npy").unlink()
    with pytest.raises(ValueError, match="is damaged"):
        LandscapeData.open(folder)
    with pytest.raises(FileNotFoundError, match="is no landscape folder"):
        LandscapeData.open(tmp_path)
