"""Which checkpoints are whole."""

import json

import pytest
import torch
from chromhub.finetune.checkpoints import (
    find_fault,
    is_finished,
    is_whole,
    last_whole,
    list_checkpoints,
    remove_broken,
    seal,
)
from safetensors.torch import save_file

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def make(folder, step, *, state=None):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    save_file({"weight": torch.zeros(4)}, path / "model.safetensors")
    for name in FILES[1:4]:
        torch.save({"step": step}, path / name)
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


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("size", [0, 20])
@pytest.mark.parametrize("name", FILES)
def test_what_a_power_cut_leaves_is_broken(tmp_path, name, size, sealed):
    path = make(tmp_path, 2)
    if sealed:
        seal(path)
        assert is_whole(path)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[:size])
    assert name in find_fault(path)


def test_a_sealed_checkpoint_shows_a_flipped_bit(tmp_path):
    path = make(tmp_path, 2)
    seal(path)
    content = bytearray((path / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "optimizer.pt").write_bytes(content)
    assert find_fault(path) == "optimizer.pt has another content (SHA-256) than it had"


@pytest.mark.parametrize("content", ["null", "[]", "5", '{"global_step": "2", "max_steps": 9}', '{"global_step": 2}'])
def test_a_state_of_another_kind_is_broken(tmp_path, content):
    path = make(tmp_path, 2)
    (path / "trainer_state.json").write_text(content)
    assert "trainer_state.json" in find_fault(path)


def test_a_checkpoint_whose_best_one_is_damaged_is_left_for_an_older_one(tmp_path):
    make(tmp_path, 10)
    make(tmp_path, 20)
    state = {"global_step": 30, "max_steps": 100, "best_global_step": 20}
    make(tmp_path, 30, state=state)
    assert last_whole(tmp_path).name == "checkpoint-30"
    (tmp_path / "checkpoint-20" / "model.safetensors").write_bytes(b"")
    assert last_whole(tmp_path).name == "checkpoint-10"


def test_the_newest_whole_one_is_chosen_by_number(tmp_path):
    for step in (8, 9, 10, 11):
        make(tmp_path, step)
    (tmp_path / "checkpoint-11" / "trainer_state.json").unlink()
    (tmp_path / "checkpoint-none").mkdir()
    assert last_whole(tmp_path).name == "checkpoint-10"
    assert remove_broken(tmp_path) == {"checkpoint-11": "trainer_state.json is missing"}
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-8", "checkpoint-9", "checkpoint-10"]
    assert last_whole(tmp_path / "nowhere") is None


@pytest.mark.parametrize(("step", "stopped", "finished"), [(50, False, False), (100, False, True), (50, True, True)])
def test_finished_by_the_last_step_or_by_patience(tmp_path, step, stopped, finished):
    control = {"TrainerControl": {"args": {"should_training_stop": stopped}, "attributes": {}}}
    path = make(tmp_path, step, state={"global_step": step, "max_steps": 100, "stateful_callbacks": control})
    assert is_finished(path) is finished
