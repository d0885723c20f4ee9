"""Which mode is taken where none is named: by hand, from the measured file, and through the command's own door."""

import json

import pytest
from chromhub.finetune import default_mode as module
from chromhub.finetune.default_mode import mode_for


@pytest.fixture
def measured(tmp_path, monkeypatch):
    def size(windows, **means):
        parameters = {"scratch": 100, "full": 100, "two-stage": 100, "lora": 5, "head": 1}
        return {
            "windows": windows,
            "modes": {
                name.replace("_", "-"): {"mean": mean, "parameters_trained": parameters[name.replace("_", "-")]}
                for name, mean in means.items()
            },
        }

    sizes = [
        size(100, scratch=0.9, head=0.7, full=0.6, lora=0.65),
        size(10_000, scratch=0.5, head=0.6, full=0.8, lora=0.797, two_stage=0.79),
    ]
    file = tmp_path / "measured.json"
    file.write_text(json.dumps({"metric_name": "AUROC", "sizes": sizes}))
    monkeypatch.setattr(module, "MEASURED", file)


@pytest.mark.parametrize(
    ("windows", "without", "mode"),
    [
        (1, set(), "head"),
        (990, set(), "head"),  # the geometric mean of 100 and 10,000 is 1,000
        (1010, set(), "lora"),  # as good as full, and smaller
        (10**9, {"lora"}, "full"),
    ],
)
def test_the_nearest_size_and_the_smallest_of_the_best(measured, windows, without, mode):
    assert mode_for(windows, without=without)[0] == mode


def test_the_reason(measured):
    assert mode_for(50)[1] == (
        "mode head: on 100 windows, the measured size nearest to these 50, it reached AUROC 0.700 (full 0.600, "
        "lora 0.650); --mode chooses another"
    )


def test_the_measured_file_covers_sizes_and_modes():
    measured = json.loads(module.MEASURED.read_text())
    assert [size["windows"] for size in measured["sizes"]] == sorted({size["windows"] for size in measured["sizes"]})
    for size in measured["sizes"]:
        assert {"head", "full", "lora"} <= set(size["modes"])
        assert all(0 < of["mean"] < 1 and of["parameters_trained"] > 0 for of in size["modes"].values())
    for windows in (1, 1000, 10**7):
        assert mode_for(windows)[0] in ("head", "full", "lora", "two-stage")


@pytest.mark.parametrize(("new_head", "mode"), [(False, "lora"), (True, "full")])
def test_the_table_of_classifiers_says_nothing_of_signal(monkeypatch, new_head, mode):
    monkeypatch.setattr(module, "mode_for", None)  # not asked
    chosen = module.default_mode(base="runs/a", data="data/a", new_head=new_head)
    assert chosen == (mode, f"mode {mode}: no mode was measured on models of signal; --mode chooses another")
