import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts.variants import Variant
from chromhub.inference import score as score_module
from chromhub.inference.score import score_file
from chromhub.inference.track_alleles import TrackAlleles
from chromhub.inference.variant_figures import VariantFigures, draw_variant
from chromhub.inference.variant_scorer import ScoreSettings, VariantScorer
from chromhub.inference.variants import GenomeBases
from chromhub.modeling import AtacConfig, AtacForTrackPrediction

from .test_figures import is_picture
from .test_score import some_variants, write_vcf
from .toy_genome import toy_codes, toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


def test_the_largest_changes_are_drawn(store, tmp_path, monkeypatch):
    monkeypatch.setattr(score_module, "_CHUNK", 4)
    config = AtacConfig.from_preset("dcnn-tiny", num_tracks=2, track_names=["a", "b"])
    model, given = AtacForTrackPrediction(config).eval(), write_vcf(tmp_path / "a.vcf")
    figures = VariantFigures(tmp_path / "figures", 3)
    options = {"settings": ScoreSettings(), "figures": figures}
    written = score_file([model], store, given, tmp_path / "a.tsv", **options)
    table = pd.read_csv(written.path, sep="\t").dropna(subset="logfc.a")
    sizes = table[["logfc.a", "logfc.b"]].abs().max(axis=1)
    rows = table.loc[sizes.sort_values(ascending=False).index[:3]]
    names = [f"{rank}_{row.chrom}_{row.pos}.png" for rank, row in enumerate(rows.itertuples(), 1)]
    assert list(written.figures) == [figures.folder / name for name in names]
    assert all(is_picture(path) for path in written.figures)
    assert len(list(figures.folder.iterdir())) == 3
    with pytest.raises(FileExistsError, match="figures already exists"):
        score_file([model], store, given, tmp_path / "b.tsv", **options)
    (figures.folder / "mine.png").touch()
    with pytest.raises(FileExistsError, match=r"holds other files \(mine.png\)"):
        score_file([model], store, given, tmp_path / "b.tsv", overwrite=True, **options)


def test_figures_and_output_appear_together(tiny_model, store, tmp_path, monkeypatch):
    figures = VariantFigures(tmp_path / "figures", 1)
    options = {"settings": ScoreSettings(), "figures": figures}
    given = write_vcf(tmp_path / "a.vcf")

    def full(*_, **__):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(score_module, "merge_tsv", full)
        with pytest.raises(OSError, match="no space"):
            score_file([tiny_model], store, given, tmp_path / "a.tsv", **options)
    assert not figures.folder.exists()
    with pytest.raises(ValueError, match="must lie outside"):
        score_file([tiny_model], store, given, figures.folder / "a.tsv", **options)
    assert not figures.folder.exists()
    score_file([tiny_model], store, given, tmp_path / "a.tsv", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsv", "a.vcf", "figures"]


@pytest.mark.parametrize(
    ("start", "ref", "alt", "num_tracks"),
    [(5000, "ACC", "CAT", 1), (0, "", "GATTACA", 1), (5000, "A" * 300, "", 1), (5000, "A", "A", 1), (3, "A", "G", 5)],
)
def test_every_kind_of_variant(tmp_path, start, ref, alt, num_tracks):
    rng, path = np.random.default_rng(0), tmp_path / "a.png"
    profiles = rng.gamma(1, 1, (2, num_tracks, 512))
    profiles[1] *= ref != alt
    names = list("abcde")[:num_tracks]
    draw_variant(Variant("chr1", start, ref, alt), profiles, rng.normal(size=num_tracks), path, track_names=names)
    assert is_picture(path)


def test_profiles_are_what_is_scored(tiny_model, store):
    scorer = VariantScorer(tiny_model, GenomeBases(store, toy_codes()), ScoreSettings())
    variants = some_variants(3)
    predictions, lengths = scorer.predict(variants)
    assert isinstance(scorer.alleles, TrackAlleles)
    profiles = scorer.alleles.profiles(predictions, lengths)
    assert profiles.shape == (3, 2, 1, 512)
    np.testing.assert_allclose(profiles.mean(-1)[:, 1], scorer.score(variants)["alt_signal"], rtol=1e-5)
