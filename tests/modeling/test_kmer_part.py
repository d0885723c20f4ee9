"""The k-mer part by hand, and what a classifier with one must do."""

import numpy as np
import pytest
import torch
from chromhub.modeling import AtacConfig, AtacForSequenceClassification, adapter_size, default_rank, lora_layers
from chromhub.modeling.architecture_parts import KmerConfig
from chromhub.modeling.kmer_part import (
    KmerFeatures,
    KmerPart,
    canonical_table,
    code_counts,
    num_canonical,
    one_hot_counts,
)
from chromhub.modeling.one_hot import one_hot
from huggingface_hub.errors import StrictDataclassError
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification

from ..without_chromhub import run_without_chromhub, save_with_code
from .random_models import TINY, random_codes, randomise

KMERS = {"k": 3, "widths": [100, 512]}
GRID = {"input_length": 512, "target_length": 512, "num_labels": 2, "problem_type": "multi_label_classification"}


def classifier(preset="convnext-dcnn-tiny", **fields) -> AtacForSequenceClassification:
    torch.manual_seed(0)
    if preset == "cnn-tiny":
        fields = {"stem": {"kernel_size": 5}, "core": {"kernel_size": 5}, **fields}
    return AtacForSequenceClassification(AtacConfig.from_preset(preset, **{**GRID, **fields})).eval()


def fitted(preset="convnext-dcnn-tiny", **fields) -> AtacForSequenceClassification:
    model = randomise(classifier(preset, kmers=KMERS, **fields))
    generator = torch.Generator().manual_seed(2)
    torch.nn.init.normal_(model.kmer_part.linear.weight, std=0.3, generator=generator)
    return model


def codes(batch=2, length=512, seed=0) -> torch.Tensor:
    return random_codes(batch, length, seed=seed)


def canonical_kmers(k: int) -> np.ndarray:
    """The features by another way: the ranks of the smaller number of each k-mer and its reverse complement."""
    every = np.arange(4**k)
    complement = sum((3 - (every >> (2 * i)) % 4) << (2 * (k - 1 - i)) for i in range(k))
    return np.unique(np.minimum(every, complement), return_inverse=True)[1].ravel()


def test_the_table_by_another_way():
    for k in (1, 2, 3, 6):
        assert np.array_equal(canonical_table(k).numpy(), canonical_kmers(k))
        assert num_canonical(k) == canonical_kmers(k).max() + 1
    assert num_canonical(6) == 2080  # (4^6 + 4^3 palindromes) / 2


def test_features_by_hand():
    # AACGTN: of all, AA, AC, CG, GT; the middle 2 bp are CG. AC and GT are one another's reverse complement.
    window = torch.tensor([[0, 0, 1, 2, 3, 4]], dtype=torch.uint8)
    # 2-mers in order with their first of each pair: AA AC AG AT CA CC CG GA GC TA
    features = KmerFeatures(KmerConfig(2, [2, 9]))(window).exp() - 1
    expected = [0.0] * 6 + [1] + [0] * 3 + [1.0, 2, 0, 0, 0, 0, 1, 0, 0, 0]
    assert features[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3, 4])
def test_codes_and_one_hot_count_alike(k):
    window = codes(3, 90)
    counts = code_counts(window, k)
    assert torch.equal(counts, one_hot_counts(one_hot(window, torch.float32), k))
    known = sum((row[i : i + k] < 4).all().item() for row in window for i in range(90 - k + 1))
    assert counts.sum().item() == known
    assert not code_counts(torch.full((1, 20), 4), k).any()


def test_both_strands_have_the_same_features():
    window = torch.from_numpy(np.random.default_rng(1).integers(0, 5, (2, 128)))
    other = torch.where(window < 4, 3 - window, window).flip(1)
    features = KmerFeatures(KmerConfig(6, [64, 128]))
    assert torch.equal(features(window), features(other))


def test_the_part_by_hand():
    part = KmerPart(KmerConfig(1, [4]), 1)  # features: A or T, C or G
    inputs, logits = torch.tensor([[0, 3, 0, 1]]), torch.tensor([[2.0]])
    assert part(inputs, logits).item() == 2
    with torch.no_grad():
        part.linear.weight.copy_(torch.tensor([[1.0, -1]]))
        part.linear.bias.fill_(0.5)
        part.scale.fill_(3)
    # 3 * 2 + log 4 - log 2 + .5
    assert part(inputs, logits).item() == pytest.approx(6.5 + np.log(2))
    with pytest.raises(ValueError, match="at least 6 bp long to hold a 6-mer, got 4"):
        KmerPart(KmerConfig(6, [4]), 1)(inputs, logits)


def test_starts_as_nothing_and_draws_nothing():
    plain, wide = classifier(), classifier(kmers=KMERS)
    state = wide.state_dict()
    for key, tensor in plain.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    assert {key for key in state if key not in plain.state_dict()} == {
        "kmer_part.linear.weight",
        "kmer_part.linear.bias",
        "kmer_part.scale",
    }
    with torch.no_grad():
        assert torch.equal(plain(codes()).logits, wide(codes()).logits)


@pytest.mark.parametrize("preset", TINY)
def test_codes_equal_one_hot_and_a_saved_model_itself(preset, tmp_path):
    model = fitted(preset)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert loaded.config.kmer_config == KmerConfig(**KMERS)
    with torch.no_grad():
        logits = model(codes()).logits
        assert torch.equal(model(one_hot(codes(), torch.float32)).logits, logits)
        assert torch.equal(loaded(codes()).logits, logits)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(codes()).logits
        assert torch.allclose(half, logits, atol=0.1)
        assert torch.allclose(model.bfloat16()(codes()).logits, logits, atol=0.3)


def test_a_base_without_the_part_gets_one_that_changes_nothing(tmp_path):
    plain = classifier()
    plain.save_pretrained(tmp_path)
    assert plain.config.kmers is None
    loaded = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, kmers=KMERS, ignore_mismatched_sizes=True
    ).eval()
    with torch.no_grad():
        assert torch.equal(loaded(codes()).logits, plain(codes()).logits)


def test_meta_device():
    with torch.device("meta"):
        model = AtacForSequenceClassification(AtacConfig.from_preset("convnext-dcnn-tiny", kmers=KMERS, **GRID))
        assert model(torch.zeros(1, 4, 512)).logits.shape == (1, 2)
        assert model(torch.zeros(1, 512, dtype=torch.uint8)).logits.is_meta


def test_gradient_is_that_of_finite_differences():
    model = fitted().double()
    at = one_hot(torch.from_numpy(np.random.default_rng(5).integers(0, 4, (1, 512))), torch.float64)
    at.requires_grad_()
    (gradient,) = torch.autograd.grad(model(at).logits[0, 1], at)
    for base, place in ((0, 128), (2, 5), (3, 200)):
        step = torch.zeros_like(at)
        step[0, base, place] = 1e-6
        with torch.no_grad():
            slope = (model(at + step).logits - model(at - step).logits)[0, 1].item() / 2e-6
        assert gradient[0, base, place].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_other_lengths_keep_the_widths():
    model = fitted()
    padded = torch.nn.functional.pad(codes(), (64, 64), value=4)
    features = model.kmer_part.features
    # N around the window leaves the middle 512 bp as they are
    assert torch.equal(features(padded), features(codes()))
    assert model(padded).logits.shape == (2, 2)


@pytest.mark.parametrize(
    ("kmers", "message"),
    [
        ({"k": 9}, "`kmers.k` must be 1 to 8, got 9"),
        ({"widths": []}, "`kmers.widths` must be one or more of at least 6 bp"),
        ({"widths": [5]}, "`kmers.widths` must be one or more of at least 6 bp"),
        ({"kk": 6}, "`kmers` has no key 'kk'; did you mean 'k'"),
        ({"k": "6"}, "k"),
    ],
)
def test_misfits_are_refused(kmers, message):
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        AtacConfig(kmers=kmers)


def test_an_adapter_holds_the_part_whole(tmp_path):
    base = classifier(kmers=KMERS)
    base.save_pretrained(tmp_path / "base")
    rank, layers = default_rank(base), lora_layers(base, r=4)
    plain = classifier()
    assert "kmer_part" in layers.pop("modules_to_save")
    assert rank == default_rank(plain)
    without = lora_layers(plain, r=4)
    assert layers == {key: without[key] for key in layers}  # the network's layers as without the part
    # 2 regions of 32 3-mers: 2 x 64 weights, 2 biases, 2 scales
    assert adapter_size(base, r=4) - adapter_size(plain, r=4) == 132
    adapted = get_peft_model(base, LoraConfig(**lora_layers(base, r=4))).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
        expected = adapted(inputs=codes()).logits
    adapted.save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(classifier(kmers=KMERS), str(tmp_path / "adapter")).merge_and_unload().eval()
    assert isinstance(again.kmer_part, KmerPart)
    with torch.no_grad():
        assert torch.allclose(again(codes()).logits, expected, atol=1e-5)


def test_loads_without_chromhub(tmp_path):
    model = fitted()
    save_with_code(model, tmp_path / "model")
    torch.save(codes(), tmp_path / "codes.pt")
    script = """
import torch
from transformers import AutoModelForSequenceClassification

model = AutoModelForSequenceClassification.from_pretrained("model", trust_remote_code=True).eval()
with torch.no_grad():
    torch.save(model(torch.load("codes.pt")).logits, "logits.pt")
"""
    run_without_chromhub(script, folder=tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        assert torch.equal(torch.load(tmp_path / "logits.pt"), loaded(codes()).logits)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiled_equals_eager():
    part, logits = fitted().kmer_part, torch.zeros(2, 2)
    with torch.no_grad():
        compiled = torch.compile(part, fullgraph=True)
        for inputs in (codes(), one_hot(codes(), torch.float32)):
            assert torch.allclose(compiled(inputs, logits), part(inputs, logits), atol=1e-5)
