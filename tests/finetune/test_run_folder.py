"""What a run's folder may hold before training, and how the model appears in it."""

import pytest
from chromhub.finetune.run_folder import check_run, clear_run, held_run, is_finished_run, publish_run

from tests.datasets_scripts.test_output_lock import held_elsewhere

from .test_checkpoints import make


@pytest.fixture
def unfinished(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "recipe.yaml").write_text("")
    make(run / "checkpoints", 2)
    return run


@pytest.fixture
def finished(tmp_path):
    run = tmp_path / "finished"
    run.mkdir()
    for name in ("recipe.yaml", "config.json", "model.safetensors"):
        (run / name).write_text("old")
    return run


def test_a_new_or_empty_folder_is_free(tmp_path):
    assert check_run(tmp_path / "new", resume=False, overwrite=False) is None
    assert check_run(tmp_path, resume=False, overwrite=False) is None
    assert not (tmp_path / "new").exists()


def test_an_unfinished_run(unfinished):
    with pytest.raises(
        FileExistsError, match=r"holds an unfinished run; go on with --resume, or start anew with --over"
    ):
        check_run(unfinished, resume=False, overwrite=False)
    assert check_run(unfinished, resume=False, overwrite=True) is None
    assert check_run(unfinished, resume=True, overwrite=False).name == "checkpoint-2"
    make(unfinished / "checkpoints", 4)
    (unfinished / "checkpoints" / "checkpoint-4" / "trainer_state.json").unlink()
    assert check_run(unfinished, resume=True, overwrite=False).name == "checkpoint-2"


def test_a_run_killed_before_its_first_checkpoint(unfinished):
    clear_run(unfinished / "checkpoints" / "checkpoint-2")  # no run: untouched
    (unfinished / "checkpoints" / "checkpoint-2").rename(unfinished.parent / "away")
    assert check_run(unfinished, resume=False, overwrite=False) is None
    assert check_run(unfinished, resume=True, overwrite=False) is None


def test_a_finished_run(finished):
    with pytest.raises(FileExistsError, match="holds a finished run; use --overwrite or another folder"):
        check_run(finished, resume=False, overwrite=False)
    with pytest.raises(FileExistsError, match="is finished, so there is nothing to resume"):
        check_run(finished, resume=True, overwrite=False)
    assert check_run(finished, resume=False, overwrite=True) is None
    clear_run(finished)
    assert not finished.exists()


def test_foreign_files_are_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match="holds files that are no run of chromhub"):
        check_run(tmp_path, resume=False, overwrite=True)
    clear_run(tmp_path)
    assert (tmp_path / "thesis.tex").exists()
    with pytest.raises(FileExistsError, match="is a file"):
        check_run(tmp_path / "thesis.tex", resume=False, overwrite=False)


@pytest.mark.parametrize("name", ["thesis.txt", "evaluation/thesis.txt", "data/store.json", "notes.py"])
def test_a_run_with_a_foreign_file_stays(finished, name):
    (finished / name).parent.mkdir(exist_ok=True)
    (finished / name).write_text("mine")
    with pytest.raises(FileExistsError, match=rf"no run of chromhub \({name}\), which --overwrite would delete"):
        check_run(finished, resume=False, overwrite=True)
    clear_run(finished)
    assert [path.name for path in finished.rglob("*") if path.is_file()] == [name.split("/")[-1]]


def test_a_recipe_alone_is_no_run(tmp_path):
    (tmp_path / "recipe.yaml").write_text("mine")
    with pytest.raises(FileExistsError, match="holds files that are no run of chromhub"):
        check_run(tmp_path, resume=False, overwrite=False)


def test_a_run_never_lies_where_its_inputs_do(tmp_path):
    (tmp_path / "data" / "store").mkdir(parents=True)
    for run in (tmp_path / "data", tmp_path / "data" / "store", tmp_path / "data" / "store" / "run"):
        with pytest.raises(FileExistsError, match=r"which is read|is what is read"):
            check_run(run, resume=False, overwrite=True, inputs=(str(tmp_path / "data" / "store"), "org/base"))


def test_checkpoints_that_are_a_link(unfinished, tmp_path):
    (unfinished / "checkpoints").rename(tmp_path / "scratch")
    (unfinished / "checkpoints").symlink_to(tmp_path / "scratch")
    with pytest.raises(FileExistsError, match="checkpoints is a link, and training writes and deletes there"):
        check_run(unfinished, resume=True, overwrite=False)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_another_process_trains_is_refused(unfinished, resume):
    with held_elsewhere(unfinished / ".run.lock"):
        with pytest.raises(FileExistsError, match=r"another process is making .*/run right now: wait for"):
            check_run(unfinished, resume=resume, overwrite=not resume)
        with pytest.raises(FileExistsError, match="another process is making"), held_run(unfinished):
            pass
    with held_run(unfinished):
        assert check_run(unfinished, resume=True, overwrite=False, is_held=True) is not None
    assert not (unfinished / ".run.lock").exists()


def test_a_training_that_fails_at_once_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="wrong"), held_run(tmp_path / "new" / "run"):
        raise ValueError("wrong")
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run to resume"):
        check_run(tmp_path, resume=True, overwrite=False)
    with pytest.raises(ValueError, match="give one"):
        check_run(tmp_path, resume=True, overwrite=True)


def test_the_model_appears_last(unfinished, monkeypatch):
    staged = unfinished / "checkpoints" / "final"
    staged.mkdir()
    for name in ("config.json", "model.safetensors", "recipe.yaml"):
        (staged / name).write_text("new")
    moved = []
    replace = type(staged).replace

    def watched(path, target):
        moved.append(path.name)
        assert not is_finished_run(unfinished)
        return replace(path, target)

    monkeypatch.setattr(type(staged), "replace", watched)
    publish_run(staged, unfinished)
    assert sorted(moved) == sorted(path.name for path in unfinished.iterdir())
    assert moved[-1] == "config.json"
    assert is_finished_run(unfinished)
