import torch
from chromhub.datasets_scripts.fasta import Fasta
from chromhub.inference.fingerprints import model_fingerprint, source_fingerprint

from .toy_genome import toy_fasta, toy_store


def test_a_weight_and_the_configuration_count(tiny_model):
    first = model_fingerprint(tiny_model)
    assert first == model_fingerprint(tiny_model)
    tiny_model.config.track_names = ["other"]
    assert model_fingerprint(tiny_model) != first
    tiny_model.config.track_names = ["track_0"]
    assert model_fingerprint(tiny_model) == first
    with torch.no_grad():
        tiny_model.head.bias += 1e-6
    assert model_fingerprint(tiny_model) != first


def test_sources(tmp_path):
    store = toy_store(tmp_path)
    assert source_fingerprint(store) == store.fingerprint
    fasta = toy_fasta(tmp_path / "a.fa")
    first = source_fingerprint(Fasta(fasta))
    fasta.write_text(fasta.read_text() + "A\n")
    assert source_fingerprint(Fasta(fasta)) != first
