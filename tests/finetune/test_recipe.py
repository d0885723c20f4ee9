"""The recipe: one sentence for each fault, and a written recipe that repeats the run."""

import pytest
from chromhub.finetune.recipe import DEFAULTS, Recipe, load_recipe


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def test_flags_override_the_file_key_by_key(written):
    path = written("data: d\npreset: dcnn\nbatch_size: 8\nwindows: {kind: peaks, stride: 512}\n")
    recipe = load_recipe(path, batch_size=16, epochs=None, windows={"stride": 256})
    assert (recipe.batch_size, recipe.windows.kind, recipe.windows.stride) == (16, "peaks", 256)


@pytest.mark.parametrize(
    ("given", "mode", "rate", "schedule", "epochs"),
    [
        ({"preset": "dcnn"}, "scratch", 1e-3, "paper", 70),
        ({"base": "b"}, "lora", 1e-3, "cosine", 10),
        ({"base": "b", "mode": "full"}, "full", 1e-4, "cosine", 10),
        ({"base": "b", "mode": "head", "learning_rate": 5e-3, "schedule": "paper"}, "head", 5e-3, "paper", 10),
    ],
)
def test_defaults_follow_the_mode(given, mode, rate, schedule, epochs):
    recipe = Recipe(data="d", **given)
    assert (recipe.mode, recipe.learning_rate, recipe.schedule, recipe.epochs) == (mode, rate, schedule, epochs)


def test_a_written_recipe_reads_back_equal(tmp_path):
    recipe = Recipe(data="d", base="b", lora={"r": 2}, windows={"fraction": 0.5}, model={"input_length": 2048})
    recipe.write(tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_numbers_as_yaml_reads_them(written):
    # YAML 1.1 reads 1e-3, without a dot, as a string.
    assert load_recipe(written("data: d\npreset: dcnn\nlearning_rate: 1e-3\n")).learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "data: d\npreset: p\nlearning_rat: 1\n",
            r"recipe.yaml: no key 'learning_rat' .value 1.; did you mean 'learning_rate'",
        ),
        ("data: d\npreset: p\nwindows: {strid: 1}\n", r"recipe.yaml: no key 'windows.strid' .*did you mean 'stride'"),
        ("data: d\npreset: p\nzzz: 1\n", r"no key 'zzz' .*known keys: data, task, tracks"),
        ("preset: p\n", r"recipe.yaml: 'data' is missing"),
        (
            "data: d\npreset: p\nbatch_size: 0\n",
            r"recipe.yaml: 'batch_size' must be valid, got 0: Input should be greater",
        ),
        (
            "data: d\npreset: p\nschedule: linear\n",
            r"'schedule' must be valid, got 'linear': .*'paper', 'cosine' or 'constant'",
        ),
        ("data: d\n", "recipe.yaml: mode scratch needs a preset"),
        ("data: d\nmode: lora\n", "recipe.yaml: mode lora needs a base"),
        ("data: d\nbase: b\nmode: scratch\n", "mode scratch has no base, got base 'b'"),
        ("data: d\nbase: b\npreset: p\n", "a base brings its own architecture, got preset 'p'"),
        ("data: d\npreset: p\nbatch_size: 10\naccumulate: 3\n", "accumulate must divide batch_size 10, got 3"),
        ("- data\n", "recipe.yaml must hold `key: value` lines, got a list"),
        ("data: [\n", "recipe.yaml is not YAML"),
    ],
)
def test_faults_are_one_sentence(written, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_recipe(written(text))


def test_the_paper_s_settings_in_place_of_the_defaults(written, monkeypatch):
    monkeypatch.setitem(
        DEFAULTS,
        "tracks",
        DEFAULTS["tracks"]
        | {"ema": 0.99, "optimizer": "muon", "loss": {"scratch": "poisson_raw"}, "substitutions": 0.1},
    )
    path = written("data: d\npreset: dcnn\nsubstitutions: 0.2\n")

    def settings(**flags):
        recipe = load_recipe(path, **flags)
        names = ("optimizer", "loss", "ema", "substitutions", "learning_rate", "schedule", "epochs")
        return tuple(getattr(recipe, name) for name in names)

    assert settings() == ("muon", "poisson_raw", 0.99, 0.2, 1e-3, "paper", 70)
    assert settings(paper=True) == ("adamw", "poisson", None, 0.2, 1e-3, "paper", 70)
    assert settings(paper=True, learning_rate=0.5)[4] == 0.5
    assert settings(ema=None)[2] is None
    assert load_recipe(data="d", base="b", mode="full").loss is None  # the base's
    load_recipe(path, paper=True).write(path)
    assert load_recipe(path).ema is None


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"preset": "p"}, ("scratch", 1e-3, "train")),
        ({"base": "b"}, ("lora", 1e-3, "frozen")),
        ({"base": "b", "mode": "two-stage"}, ("two-stage", 2e-5, "train")),
        ({"base": "b", "mode": "head", "batch_norm": "re-estimated"}, ("head", 1e-3, "re-estimated")),
    ],
)
def test_defaults_by_mode(fields, expected):
    recipe = Recipe(data="d", **fields)
    assert (recipe.mode, recipe.learning_rate, recipe.batch_norm) == expected


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"mode": "head", "base": "b", "layer_decay": 0.9}, "mode head trains the head alone, got layer_decay 0.9"),
        ({"preset": "p", "layer_decay": 0.9}, "mode scratch has no base whose lower layers are to be kept"),
        ({"preset": "p", "batch_norm": "frozen"}, "mode scratch has no statistics to freeze yet"),
        ({"base": "b", "head_stage": {"epoch": 1}}, "no key 'head_stage.epoch' .*did you mean 'epochs'"),
        ({"base": "b", "ema": 1.0}, "'ema' must be valid, got 1.0"),
        ({"preset": "p", "optimizer": "sgd"}, "'optimizer' must be valid, got 'sgd': .*'adamw' or 'muon'"),
        ({"preset": "p", "loss": "mse"}, "'loss' must be valid, got 'mse'"),
        ({"preset": "p", "substitutions": 1.0}, "'substitutions' must be valid, got 1.0"),
        ({"base": "b", "optimizer": "muon"}, "mode lora trains no matrix of a hidden layer, got optimizer muon"),
        (
            {"preset": "p", "task": "classification", "loss": "poisson"},
            "loss is for task tracks, got 'poisson' with task classification",
        ),
        ({"preset": "claster-landscape", "substitutions": 0.1}, "task landscape has no optimizer muon and no subst"),
        ({"preset": "p", "model": {"loss": "poisson_raw"}}, "is a field of the recipe itself; say loss: poisson_raw"),
        ({"preset": "claster-landscape", "paper": True}, "Grover et al., who have no landscapes; leave it out"),
    ],
)
def test_modes_and_their_fields_are_checked(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_recipe(data="d", **fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"class_weights": [-1, 1]}, r"class_weights must be 0 or more, and not both 0, got \[-1.0, 1.0\]"),
        ({"class_weights": [0, 0]}, "class_weights must be 0 or more, and not both 0"),
        ({"class_weights": [1, float("nan")]}, "class_weights.* must be valid, got"),
        ({"learning_rate": float("inf")}, "finite number"),
        ({"weight_decay": float("nan")}, "greater than or equal to 0|finite number"),
    ],
)
def test_numbers_are_finite_and_weights_not_negative(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_recipe(data="d", base="b", task="classification", **fields)
