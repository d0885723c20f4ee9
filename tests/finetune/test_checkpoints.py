"""Which checkpoints are whole."""

import json

import pytest
from chromhub.finetune.checkpoints import is_finished, is_whole, last_whole, list_checkpoints, remove_broken

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def make(folder, step, *, state=None):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    for name in FILES:
        (path / name).write_text("")
    (path / "trainer_state.json").write_text(json.dumps(state or {"global_step": step, "max_steps": 100}))
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_that_lacks_a_file_is_broken(tmp_path, name):
    path = make(tmp_path, 2)
    assert is_whole(path)
    (path / name).unlink()
    assert not is_whole(path)


def test_an_adapter_is_whole_too(tmp_path):
    path = make(tmp_path, 2)
    (path / "model.safetensors").rename(path / "adapter_model.safetensors")
    assert is_whole(path)


def test_a_state_cut_short_is_broken(tmp_path):
    path = make(tmp_path, 2)
    (path / "trainer_state.json").write_text('{"global_step": 2, "max')
    assert not is_whole(path)


def test_the_newest_whole_one_is_chosen_by_number(tmp_path):
    for step in (8, 9, 10, 11):
        make(tmp_path, step)
    (tmp_path / "checkpoint-11" / "trainer_state.json").unlink()
    (tmp_path / "checkpoint-none").mkdir()
    assert last_whole(tmp_path).name == "checkpoint-10"
    assert remove_broken(tmp_path) == ["checkpoint-11"]
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-8", "checkpoint-9", "checkpoint-10"]
    assert last_whole(tmp_path / "nowhere") is None


@pytest.mark.parametrize(("step", "stopped", "finished"), [(50, False, False), (100, False, True), (50, True, True)])
def test_finished_by_the_last_step_or_by_patience(tmp_path, step, stopped, finished):
    control = {"TrainerControl": {"args": {"should_training_stop": stopped}, "attributes": {}}}
    path = make(tmp_path, step, state={"global_step": step, "max_steps": 100, "stateful_callbacks": control})
    assert is_finished(path) is finished
