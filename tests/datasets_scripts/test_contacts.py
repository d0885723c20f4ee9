import numpy as np
import pytest
from chromhub.datasets_scripts.contacts import CoolFile, log_contacts, rotate_and_crop, rotated_rows

h5py = pytest.importorskip("h5py")


def write_cool(path, matrix, *, sizes, weights, bin_size=10, group="/", root_attrs=True):
    """Write the upper triangle of `matrix` over all bins of `sizes`."""
    with h5py.File(path, "a") as file:
        root = file.require_group(group)
        bins = {chrom: -(-size // bin_size) for chrom, size in sizes.items()}
        starts = np.concatenate([bin_size * np.arange(n) for n in bins.values()])
        ends = np.concatenate([np.minimum(bin_size * np.arange(1, bins[c] + 1), sizes[c]) for c in sizes])
        offsets = np.concatenate([[0], np.cumsum(list(bins.values()))])
        rows, columns = np.nonzero(np.triu(matrix))
        root["chroms/name"] = np.array([c.encode() for c in sizes])
        root["chroms/length"] = list(sizes.values())
        root["bins/chrom"] = np.repeat(np.arange(len(sizes)), list(bins.values()))
        root["bins/start"], root["bins/end"] = starts, ends
        if weights is not None:
            root["bins/weight"] = weights
        root["pixels/bin1_id"], root["pixels/bin2_id"] = rows, columns
        root["pixels/count"] = matrix[rows, columns].astype(np.int32)
        root["indexes/chrom_offset"] = offsets
        root["indexes/bin1_offset"] = np.searchsorted(rows, np.arange(len(starts) + 1))
    return path


@pytest.fixture
def matrix() -> np.ndarray:
    values = np.random.default_rng(0).integers(1, 9, (9, 9)).astype(float)
    values = np.triu(values) + np.triu(values, 1).T
    values[1, 2] = values[2, 1] = 0
    return values


def test_balanced_contacts_around_a_start_site(matrix, tmp_path):
    # chrA has bins 0-5 and chrB 6-8; the last bin of chrA is a short one
    weights = np.array([1, 2, 0.5, np.nan, 1, 1, 3, 1, 1])
    path = write_cool(tmp_path / "a.cool", matrix, sizes={"chrA": 57, "chrB": 30}, weights=weights)
    cool = CoolFile(path)
    assert (cool.bin_size, cool.chrom_sizes) == (10, {"chrA": 57, "chrB": 30})
    # (25 - 10) // 10 = 1: bins 1, 2, 3
    found = cool.square("chrA", 25, 3)
    expected = matrix[1:4, 1:4] * weights[1:4, None] * weights[1:4]
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.isnan(found[2]).all()
    assert found[0, 1] == 0
    logged = log_contacts(found)
    assert logged[0, 1] == logged[2, 2] == -14
    assert logged[0, 0] == pytest.approx(np.log10(4 * matrix[1, 1]))
    # chrB: (5 - 10) // 10 = -1: one bin off the chromosome, then 6 and 7, none of chrA
    edge = cool.square("chrB", 5, 3)
    assert np.isnan(edge[0]).all()
    assert np.isnan(edge[:, 0]).all()
    assert edge[1, 2] == 3 * matrix[6, 7]
    assert np.isnan(cool.square("chrB", 500, 3)).all()
    assert np.array_equal(CoolFile(path, balanced=False).square("chrA", 25, 3), matrix[1:4, 1:4])


def test_a_resolution_of_several(matrix, tmp_path):
    path = tmp_path / "a.mcool"
    write_cool(path, matrix, sizes={"c": 90}, weights=np.ones(9), group="resolutions/10")
    assert CoolFile(path).bin_size == 10
    write_cool(path, matrix[:5, :5], sizes={"c": 90}, weights=np.ones(5), group="resolutions/20", bin_size=20)
    assert CoolFile(f"{path}::/resolutions/20").bin_size == 20
    with pytest.raises(ValueError, match=r"several resolutions, \[10, 20\]; give one as FILE::resolutions/10"):
        CoolFile(path)
    with pytest.raises(ValueError, match="has no group 'resolutions/5'"):
        CoolFile(f"{path}::resolutions/5")


def test_what_is_no_contact_map_is_refused(matrix, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        CoolFile(tmp_path / "a.cool")
    (tmp_path / "a.cool").write_text("text")
    with pytest.raises(ValueError, match=r"is no \.cool"):
        CoolFile(tmp_path / "a.cool")
    path = write_cool(tmp_path / "raw.cool", matrix, sizes={"c": 90}, weights=None)
    with pytest.raises(ValueError, match="was never balanced"):
        CoolFile(path)
    assert CoolFile(path, balanced=False).square("c", 45, 3).shape == (3, 3)


@pytest.mark.parametrize(("n", "top"), [(626, 184), (201, 59), (40, 12)])
def test_rotated_as_scipy_does(n, top):
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(n)
    square = rng.normal(-3, 1, (n, n))
    square[rng.random((n, n)) < 0.3] = -14
    square = np.triu(square) + np.triu(square, 1).T
    ours = rotate_and_crop(square)
    assert ours.shape == (rotated_rows(n), n)
    assert np.abs(ours - ndimage.rotate(square, 45, reshape=False)[top : top + len(ours)]).max() < 1e-9
    assert np.allclose(rotate_and_crop(square[::-1, ::-1]), ours[:, ::-1], atol=1e-9)  # a flip of the genome


def test_the_published_shape():
    assert rotated_rows(626) == 129
    distances = np.abs(np.subtract.outer(np.arange(626), np.arange(626))).astype(float)
    rotated = rotate_and_crop(distances)
    assert np.all(np.diff(rotated[:-3].mean(1)) < 0)  # the first row is of bins farthest apart: 182 of 1.6 kb, 291 kb
    assert rotated[0].mean() == pytest.approx(182, abs=1)
