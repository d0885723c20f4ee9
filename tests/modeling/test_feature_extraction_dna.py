import pytest
import torch
from chromhub.modeling import DnaFeatureExtractor
from transformers import AutoFeatureExtractor


def test_codes():
    inputs = DnaFeatureExtractor()(["ACGTN", "acgtR"])["inputs"]
    assert inputs.dtype == torch.uint8
    assert inputs.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert DnaFeatureExtractor()("AC", return_tensors="np")["inputs"].tolist() == [[0, 1]]


@pytest.mark.parametrize("sequences", [[], [""], ["ACG", "AC"]])
def test_refused(sequences):
    with pytest.raises(ValueError, match="non-empty strings of one length"):
        DnaFeatureExtractor()(sequences)


def test_round_trip(tmp_path):
    DnaFeatureExtractor(input_length=1024).save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is DnaFeatureExtractor
    assert loaded.input_length == 1024
