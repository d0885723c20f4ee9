"""An adapter merged into its base: a plain model folder, with the adapter's records."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets_scripts.atomic import check_output, check_own_folder, finished_folder
from ..datasets_scripts.plain_files import read_json
from ..inference.load import Classifier, load_opened, name_outputs, output_names, with_adapter
from ..inference.model_files import EVALUATION_FILES, FOLDER_FILES, FOLDER_MARKS
from ..inference.model_folder import ModelFolder, open_model
from ..inference.provenance import FILE_NAME, find_provenance, record_text
from ..modeling import AtacForTrackPrediction, ClasterForProfileRegression, DnaFeatureExtractor

_RECORDS = ("recipe.yaml", "history.json", "training_curve.png", "metrics.json")
_TOLERANCE = 1e-6  # of the largest prediction


@dataclass(frozen=True)
class Merged:
    """What a merge made.

    Args:
        folder: the model.
        adapter: folder or Hub id that was merged.
        base: what it was merged into.
        tracks: names of the tracks.
        max_difference: largest difference of a prediction before and after, over the largest prediction.
        has_provenance: the folder says what the model has seen.
    """

    folder: str
    adapter: str
    base: str
    tracks: tuple[str, ...]
    max_difference: float
    has_provenance: bool


def merge_adapter(
    adapter: str | Path, folder: str | Path, *, revision: str | None = None, overwrite: bool = False
) -> Merged:
    """Write an adapter and its base as one model, with recipe, history, evaluations and provenance of the adapter.

    The weights are added in float64, the predictions of a random window compared, and the result kept in float32.

    Args:
        adapter: folder or Hub id of an adapter; the records other than provenance are taken from a folder only.
        folder: to make; it appears when it is complete.
        revision: of the adapter on the Hub.
        overwrite: replace an existing folder.

    Raises:
        FileExistsError: `folder` exists and `overwrite` is not given, holds other files, or is or holds what is merged.
        FileNotFoundError: no such adapter, or its base has gone.
        ValueError: no adapter, or merging would change its predictions.
    """
    others = "files that are no model of chromhub"
    opened = open_model(adapter, revision=revision)
    here = opened.place.folder
    check_own_folder(folder, overwrite, FOLDER_FILES, others=others, marks=FOLDER_MARKS, inputs=[here])
    name = str(adapter) if here is None else str(here.resolve())
    if opened.base is None:
        raise ValueError(f"{name!r} is no adapter (no adapter_config.json), so there is nothing to merge")
    check_output(folder, overwrite, inputs=[opened.base.place.folder])
    provenance = find_provenance(here or name, revision=revision)
    base_model = load_opened(opened.base)
    if isinstance(base_model, ClasterForProfileRegression):
        raise ValueError(f"{name!r} adapts a landscape model, which `merge` does not take yet: keep it as an adapter")
    model, difference = _merge(opened, base_model)
    with finished_folder(folder, overwrite) as made:
        model.save_pretrained(made)
        DnaFeatureExtractor(input_length=model.config.input_length).save_pretrained(made)
        if here is not None:
            _copy_records(here, made)
        if provenance is not None:
            training = _training(opened.path / FILE_NAME)
            record = {**replace(provenance, merged_from=name).to_dict(), **training}
            (made / FILE_NAME).write_text(record_text(record), encoding="utf-8")
    return Merged(
        folder=str(folder),
        adapter=name,
        base=opened.base_name,
        tracks=tuple(output_names(model)),
        max_difference=difference,
        has_provenance=provenance is not None,
    )


def _merge(adapter: ModelFolder, base: AtacForTrackPrediction | Classifier) -> tuple[Any, float]:
    """Return base and adapter as one model in float32, and the relative change of its predictions.

    Raises:
        ValueError: they change by more than rounding.
    """
    adapted = with_adapter(base, adapter).eval().double()
    codes = np.random.default_rng(0).integers(0, 4, (1, base.config.input_length), dtype=np.uint8)
    output = "predictions" if isinstance(base, AtacForTrackPrediction) else "logits"
    with torch.inference_mode():
        before = adapted(inputs=torch.from_numpy(codes))[output]
    model: Any = adapted.merge_and_unload().float()
    with torch.inference_mode():
        after = model(torch.from_numpy(codes))[output]
    difference = float((after - before).abs().max() / before.abs().max().clamp_min(1e-12))
    if not difference < 10 * _TOLERANCE:  # float32 against float64; each sum of a layer rounds
        raise ValueError(
            f"merging {adapter.place.name!r} would change its predictions by {difference:.1e} of the largest; "
            "an adapter not made by chromhub may use a method that cannot be merged: keep it as an adapter"
        )
    name_outputs(model, adapter.path)
    return model, difference


def _copy_records(adapter: Path, folder: Path) -> None:
    """Copy what the card is rendered from; merged, the model predicts what the adapter did, so its numbers hold."""
    for name in _RECORDS:
        if (adapter / name).is_file():
            shutil.copyfile(adapter / name, folder / name)
    for name in EVALUATION_FILES:
        for file in adapter.glob(f"evaluation*/{name}"):
            (folder / file.parent.name).mkdir(exist_ok=True)
            shutil.copyfile(file, folder / file.parent.name / name)


def _training(record: Path) -> dict[str, Any]:
    """Return how the adapter's training went, which lies beside what it saw."""
    if not record.exists():
        return {}
    values = read_json(record)
    return {"training": values["training"]} if "training" in values else {}
