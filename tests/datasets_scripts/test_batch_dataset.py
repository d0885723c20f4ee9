"""A user's own DataLoader and Trainer read the package's datasets as they read any other."""

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.dataset import collate
from chromhub.datasets_scripts.shard_windows import ShardWindows
from chromhub.datasets_scripts.window_labels import LabelledWindows, LabelRule
from chromhub.modeling import AtacConfig, AtacForSequenceClassification, AtacForTrackPrediction
from torch.utils.data import ConcatDataset, DataLoader, Subset
from transformers import AutoModel, Trainer, TrainingArguments, default_data_collator

from tests.datasets_scripts.exported import AUGMENTED, LENGTH, export_toy, same_from_store


@pytest.fixture
def datasets(toy):
    """Return windows of a store, of an export, and of labels."""
    shards = export_toy(toy)
    options = {**AUGMENTED, "mappability": True}
    store = same_from_store(toy, shards, **options)
    labelled = LabelledWindows(store, LabelRule(width=200), input_length=LENGTH, bin_size=4)
    return {"store": store, "export": ShardWindows(shards, "train", **options), "labels": labelled}


@pytest.mark.parametrize("kind", ["store", "export", "labels"])
def test_every_way_of_collating_gives_the_gathered_batch(datasets, kind):
    dataset = datasets[kind]
    expected = dataset.batch([0, 1, 2, 3])
    subset, joined = Subset(dataset, [0, 1, 2, 3]), ConcatDataset([Subset(dataset, [0, 1]), Subset(dataset, [2, 3])])
    for windows in (dataset, subset, joined):
        for options in ({}, {"collate_fn": collate}, {"collate_fn": default_data_collator}):
            found = next(iter(DataLoader(windows, batch_size=4, **options)))
            assert found.keys() == expected.keys()
            for name, array in expected.items():
                assert np.array_equal(found[name], array), name
    one = next(iter(DataLoader(dataset, batch_size=None)))
    assert np.array_equal(one["inputs"], expected["inputs"][0])
    assert len(list(dataset)) == len(dataset)


def train(model, dataset, folder, **options):
    arguments = TrainingArguments(
        str(folder), max_steps=4, per_device_train_batch_size=4, per_device_eval_batch_size=5, eval_strategy="steps",
        eval_steps=2, save_steps=2, logging_steps=4, report_to=[], disable_tqdm=True, use_cpu=True,
        load_best_model_at_end=True, metric_for_best_model="loss", **options,
    )  # fmt: skip
    evaluated = Subset(dataset, range(11))
    trainer = Trainer(model, arguments, train_dataset=dataset, eval_dataset=evaluated)
    trainer.train()
    return trainer, evaluated


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("kind", ["store", "export"])
def test_a_trainer_trains_evaluates_predicts_and_loads_the_best(datasets, kind, tmp_path):
    dataset = datasets[kind]
    config = AtacConfig.from_preset(
        "convnext-dcnn-tiny", num_tracks=2, input_length=LENGTH, target_length=256, mappability_weight=1.0
    )
    model = AtacForTrackPrediction(config)
    before = model.mappability_head.linear.weight.detach().clone()
    trainer, evaluated = train(model, dataset, tmp_path)
    assert not torch.equal(model.mappability_head.linear.weight, before)  # its labels came through the Trainer
    assert trainer.label_names == ["labels"]
    assert trainer.state.best_metric == trainer.evaluate()["eval_loss"]
    predicted = trainer.predict(evaluated)
    labels = dataset.batch(range(11))["labels"]
    assert predicted.predictions.shape == predicted.label_ids.shape == labels.shape
    assert np.array_equal(predicted.label_ids, labels)
    trainer.save_model(tmp_path / "final")
    loaded = AutoModel.from_pretrained(tmp_path / "final").eval()
    with torch.no_grad():
        again = loaded(torch.from_numpy(dataset.batch(range(11))["inputs"])).predictions
    assert np.allclose(again, predicted.predictions, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_trainer_of_labels(datasets, tmp_path):
    config = AtacConfig.from_preset(
        "convnext-cnn-tiny", input_length=LENGTH, target_length=LENGTH, bin_size=64, num_labels=2,
        problem_type="multi_label_classification",
    )  # fmt: skip
    trainer, evaluated = train(AtacForSequenceClassification(config), datasets["labels"], tmp_path)
    assert trainer.label_names == ["labels"]
    predicted = trainer.predict(evaluated)
    assert predicted.predictions.shape == predicted.label_ids.shape == (11, 2)
