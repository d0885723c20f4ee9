"""The code that travels to the Hub: one file, equal in what it computes to the files that it is made of."""

from pathlib import Path

import pytest
import torch
from chromhub.hub_models.bundle import bundle
from chromhub.inference.model_files import BUNDLE
from chromhub.modeling import AtacConfig, AtacForTrackPrediction, ClasterConfig, ClasterForProfileRegression

from tests.without_chromhub import run_without_chromhub, save_with_code

ATAC = {"AutoConfig": "AtacConfig", "AutoModel": "AtacForTrackPrediction"}
FAMILIES = {
    "atac": {**ATAC, "AutoFeatureExtractor": "DnaFeatureExtractor"},
    "classifier": {"AutoConfig": "AtacConfig", "AutoModelForSequenceClassification": "AtacForSequenceClassification"},
    "chromtransfer": {"AutoConfig": "ChromTransferConfig", "AutoModel": "ChromTransferModel"},
    "claster": {"AutoConfig": "ClasterConfig", "AutoModel": "ClasterForProfileRegression"},
}


def written(folder: Path, **files: str) -> Path:
    """Write files of code, and a class Model that uses the last."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def run(text: str) -> dict:
    """Run a bundle; return its names."""
    names: dict = {"__name__": "bundle"}
    exec(text, names)
    return names


@pytest.mark.parametrize("classes", FAMILIES.values(), ids=FAMILIES)
def test_a_bundle_runs_alone_and_is_always_the_same(classes):
    text = bundle(classes)
    assert text == bundle(dict(reversed(classes.items())))
    assert "chromhub.modeling" not in text
    names = run(text)
    assert all(names[name].__name__ == name for name in classes.values())


def test_a_name_that_two_files_use_is_kept_apart(tmp_path):
    folder = written(
        tmp_path,
        one='"""One."""\n\n_ROWS = 2\n\n\ndef one():\n    """Return 2."""\n    return _ROWS\n',
        two='"""Two."""\n\nfrom .one import one\n\n_ROWS = 3\n\n\nclass Model:\n    both = (one(), _ROWS)\n',
    )
    assert run(bundle({"AutoModel": "Model"}, folder=folder))["Model"].both == (2, 3)


def test_a_private_name_is_renamed_where_it_is_imported_too(tmp_path):
    folder = written(
        tmp_path,
        one="_ROWS = 2\n",
        two="_ROWS = 3\nother = _ROWS\n",
        three="from .one import _ROWS\nfrom .two import other\n\n\nclass Model:\n    rows = (_ROWS, other)\n",
    )
    assert run(bundle({"AutoModel": "Model"}, folder=folder))["Model"].rows == (2, 3)


def test_only_what_a_class_needs_is_in(tmp_path):
    folder = written(
        tmp_path, one="one = 1\n", two="two = 2\n", three="from .one import one\n\n\nclass Model:\n    pass\n"
    )
    names = run(bundle({"AutoModel": "Model"}, folder=folder))
    assert "one" in names
    assert "two" not in names


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"one": "class Other: ...\n"}, "Model is defined in 0 files of modeling/; it must be in one"),
        ({"one": "def late():\n    import os\n\nclass Model: ...\n"}, "one.py line 2: import at the top of the file"),
        ({"one": "x = 1\n", "two": "from .one import x as y\nclass Model: ...\n"}, "two.py line 1: write `from .file"),
        ({"one": "from os import *\nclass Model: ...\n"}, "one.py line 1: name what is imported"),
        (
            {"one": "x = 1\n", "two": "from .one import x as x\nx = 2\nclass Model: ...\n"},
            "two.py line 1: write `from .file import name`",
        ),
        (
            {
                "one": "def same(): ...\n",
                "two": "from .one import same\nfrom .three import x\nclass Model: ...\n",
                "three": "x = 1\ndef same(): ...\n",
            },
            "same of (one.py, three.py|three.py, one.py) clashes",
        ),
        (
            {"one": "_x = 1\ny = 1\n", "two": "from .one import y\n_x = 2\nclass Model:\n    def f(self, _x): ...\n"},
            "two.py line 4: _x is a local name too",
        ),
        (
            {"one": "import os as x\ny = 1\n", "two": "import sys as x\nfrom .one import y\nclass Model: ...\n"},
            "two.py: x is the name of another import",
        ),
    ],
)
def test_code_that_cannot_be_joined_is_refused(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        bundle({"AutoModel": "Model"}, folder=written(tmp_path, **files))


_LOAD = """
import sys
import torch
from transformers import AutoModel

for name in ("atac", "older/atac", "claster"):
    inputs = torch.load(f"{name}.pt")
    model = AutoModel.from_pretrained(name, trust_remote_code=True).eval()
    assert type(model).__module__.startswith("transformers_modules"), type(model)
    with torch.no_grad():
        torch.testing.assert_close(model(*inputs["inputs"]).predictions, inputs["predictions"])
    assert hasattr(sys.modules[type(model).__module__], "OLDER") == name.startswith("older"), name
"""


def test_transformers_alone_loads_it_and_two_versions_side_by_side(tmp_path):
    """The same predictions in a process that cannot import chromhub; an older bundle has other code."""
    torch.manual_seed(0)
    atac = AtacForTrackPrediction(AtacConfig.from_preset("convnext-dcnn-tiny", input_length=512, target_length=256))
    claster = ClasterForProfileRegression(ClasterConfig.from_preset("claster-tiny"))
    codes = [torch.randint(0, 5, (2, 512), dtype=torch.uint8)]
    landscape = [torch.rand(2, *branch.shape) for branch in claster.config.branches]
    for name, model, inputs in (("atac", atac, codes), ("older/atac", atac, codes), ("claster", claster, landscape)):
        save_with_code(model.eval(), tmp_path / name)
        if name.startswith("older"):
            with (tmp_path / name / BUNDLE).open("a") as code:
                code.write("\nOLDER = True\n")
        with torch.no_grad():
            torch.save({"inputs": inputs, "predictions": model(*inputs).predictions}, tmp_path / f"{name}.pt")
    run_without_chromhub(_LOAD, folder=tmp_path)
