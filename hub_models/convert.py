"""Foreign checkpoints -> model folders of ours: asap's state dicts and ChromTransfer's Keras files.

A folder appears only after every check: each tensor of the source is used once and has the shape its place wants, the
folder loads again with nothing missing or left over, its tensors are bit for bit those of the source, and its outputs
are those of an independent computation wherever there is one.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from ..inference.model_files import FOLDER_MARKS, MODEL_FILES
from ..modeling import DnaFeatureExtractor
from . import convert_asap, convert_chromtransfer
from .keras_file import HDF5_SIGNATURE

KINDS = ("asap", "chromtransfer")


@dataclass(frozen=True)
class Converted:
    """What a conversion made.

    Args:
        folder: the new model.
        kind: one of `KINDS`.
        architecture: a preset, or "other head" of ChromTransfer.
        sha256: of the source file.
        num_tensors: tensors of the source, each used once and found again bit for bit.
        num_parameters: trained numbers; statistics of batch normalisation are none.
        compared_with: what else computed the outputs: "asap", "the file's own network", or None where the package asap
            is not installed.
        max_difference: of the outputs, in units of the largest of them or of 1.
    """

    folder: str
    kind: str
    architecture: str
    sha256: str
    num_tensors: int
    num_parameters: int
    compared_with: str | None
    max_difference: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)


def detect_kind(source: str | Path) -> str:
    """Tell an HDF5 file, ChromTransfer's, from everything else, taken for asap's, by its first bytes.

    Raises:
        FileNotFoundError: no such file.
    """
    with Path(source).open("rb") as file:
        return "chromtransfer" if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE else "asap"


def convert(
    source: str | Path,
    folder: str | Path,
    *,
    kind: str | None = None,
    architecture: str | None = None,
    overwrite: bool = False,
) -> Converted:
    """Convert a checkpoint into a folder with configuration, weights, feature extractor and code.

    Args:
        source: an asap state dict (.pth) or a ChromTransfer model in Keras HDF5 (.h5).
        folder: to make; it appears when it is complete and checked.
        kind: one of `KINDS`; by default told by the file's first bytes.
        architecture: of an asap state dict; by default told by its tensors.
        overwrite: replace an existing folder.

    Raises:
        FileExistsError: `folder` exists and `overwrite` is not given.
        FileNotFoundError: no such source.
        ValueError: the source is damaged or unsafe, holds another network, or a check failed.
    """
    source = Path(source).expanduser()
    others = "files that are no converted model"
    check_own_folder(folder, overwrite, MODEL_FILES, others=others, marks=FOLDER_MARKS, inputs=[source])
    kind = kind or detect_kind(source)
    if kind not in KINDS:
        raise ValueError(f"--from must be asap or chromtransfer, got {kind!r}")
    if kind == "chromtransfer" and architecture:
        raise ValueError("--architecture is for asap; ChromTransfer's head is told by its layers")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    make = _convert_asap if kind == "asap" else _convert_chromtransfer
    with finished_folder(folder, overwrite) as made:
        result = make(source, made, architecture)
    return Converted(folder=str(folder), kind=kind, sha256=digest, **result)


def _convert_asap(source: Path, folder: Path, architecture: str | None) -> dict[str, Any]:
    state = convert_asap.read_state(source)
    model, architecture = convert_asap.convert_state(state, architecture)
    loaded = _save_and_load(model, folder, AutoModel)
    num_tensors = convert_asap.check_tensors(loaded, state, architecture)
    difference = convert_asap.check_outputs(loaded, state, architecture)
    return {
        "architecture": architecture,
        "num_tensors": num_tensors,
        "num_parameters": sum(parameter.numel() for parameter in loaded.parameters()),
        "compared_with": None if difference is None else "asap",
        "max_difference": difference,
    }


def _convert_chromtransfer(source: Path, folder: Path, _: str | None) -> dict[str, Any]:
    model, keras, head = convert_chromtransfer.read_chromtransfer(source)
    loaded = _save_and_load(model, folder, AutoModelForSequenceClassification)
    difference = convert_chromtransfer.check_outputs(loaded, keras)
    return {
        "architecture": head,
        "num_tensors": sum(len(layer.arrays) for layer in keras.layers.values()),
        "num_parameters": sum(parameter.numel() for parameter in loaded.parameters()),
        "compared_with": "the file's own network",
        "max_difference": difference,
    }


def _save_and_load(model: Any, folder: Path, auto: Any) -> Any:
    """Write a model's folder, load it again, and compare.

    Raises:
        ValueError: the loaded model is another one.
    """
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
        DnaFeatureExtractor(model.config.input_length).save_pretrained(folder)
        loaded, report = auto.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    finally:
        if shown:
            logging.enable_progress_bar()
    _check_loaded(model, loaded, report)
    return loaded.eval()


def _check_loaded(model: nn.Module, loaded: nn.Module, report: dict[str, Any]) -> None:
    problems = [f"{kind.replace('_', ' ')}: {sorted(names)[:3]}" for kind, names in report.items() if names]
    if not problems and type(loaded) is not type(model):
        problems = [f"it loads as {type(loaded).__name__}"]
    ours = model.state_dict()
    problems += [name for name, value in loaded.state_dict().items() if not torch.equal(value, ours[name])][:3]
    if problems:
        raise ValueError(f"the converted folder does not load as it was saved ({'; '.join(problems)})")
