"""Check a run folder and push it to the Hub, in one commit of exactly the files that belong there."""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import RepositoryNotFoundError
from transformers import AutoModel, AutoModelForSequenceClassification

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from ..inference.adapter_base import weights_digest
from ..inference.load import load_any
from ..inference.model_files import (
    ADAPTER_FILES,
    BUNDLE,
    FOLDER_FILES,
    FOLDER_MARKS,
    METRICS,
    MODEL_FILES,
    RECORD_FILES,
)
from ..inference.names import resolve
from ..inference.provenance import FILE_NAME, record_text
from ..modeling import ClasterForProfileRegression
from .bundle import write_bundle
from .card import Publication, base_model, model_tag, pinned_call, render_card
from .hub_access import check_repo_id, hub_errors
from .licenses import check_license
from .metric_table import eval_results
from .run_record import RunRecord, read_run, text_without_paths, without_paths

_EVALUATION = (METRICS, "metrics.tsv", "scatter.png", "tracks.png")
# Names that an earlier push may have left in the repository; what else lies there stays.
_OURS = (
    "README.md",
    *MODEL_FILES,
    *ADAPTER_FILES,
    "*.safetensors",
    BUNDLE,
    *RECORD_FILES,
    *_EVALUATION,
    "evaluation*/*",
)
_PNG = b"\x89PNG"
_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}


@dataclass(frozen=True)
class Pushed:
    """What a push left on the Hub.

    Args:
        commit_url: the commit.
        revision: its full hash.
        tag: names these weights and this code, whatever card comes later.
        files: what the commit holds.
        load: the call that loads the model at this revision, without chromhub.
    """

    commit_url: str
    revision: str
    tag: str
    files: list[str]
    load: str


def check_run(run: str | Path, *, allow_unevaluated: bool = False) -> RunRecord:
    """Check that a run folder is fit to be shared; nothing is sent.

    It must load, predict finite numbers on a random input, hold safetensors and no pickle, and be evaluated.

    Args:
        run: the folder.
        allow_unevaluated: a run without metrics.json passes.

    Returns:
        The run's records.

    Raises:
        FileNotFoundError: no such folder, or no finished model in it.
        ValueError: one of the above does not hold.
    """
    record = read_run(run)
    pickles = sorted(path.name for path in record.path.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise ValueError(f"{run} holds pickle files, which can run code when opened: {pickles}; delete them")
    if not any(file.suffix == ".safetensors" for file in record.model_files()):
        raise ValueError(f"{run} holds no .safetensors weights; save the model with save_pretrained")
    if not record.evaluations and not allow_unevaluated:
        raise ValueError(f"{run} holds no metrics.json; run `chromhub evaluate` first, or use --allow-unevaluated")
    _predict(load_any(record.path))
    return record


def check_card(text: str, record: RunRecord) -> None:
    """Check a card against the run it was rendered from, offline.

    Raises:
        ValueError: its front matter does not parse, its licence is unknown, or a number differs from metrics.json.
    """
    try:
        data: Any = ModelCard(text).data
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"the card's front matter does not parse: {error}") from None
    check_license(str(data.get("license") or ""))
    said = [(result.metric_name, result.metric_value) for result in data.eval_results or []]
    measured = [
        (result.metric_name, result.metric_value)
        for metrics in record.evaluations.values()
        for result in eval_results(metrics)
    ]
    if sorted(said) != sorted(measured):
        raise ValueError("the card's numbers are not those of metrics.json; render it again with `chromhub card`")


@contextmanager
def stage(record: RunRecord, publication: Publication) -> Iterator[Path]:
    """Lay out the files to push in a temporary folder; the run's own stay as they are.

    Only files of a model's, a record's or an evaluation's name and kind go; whatever else lies in the run stays at
    home. An adapter's configuration names its base on the Hub, and every text loses what tells of this machine: paths
    from the root, from a home directory and upwards.

    Raises:
        ValueError: a file to push is a link, or is not what its name says.
    """
    with tempfile.TemporaryDirectory(prefix="chromhub-push-") as name:
        folder = Path(name) / "model"  # a temporary folder itself is readable by its owner alone
        folder.mkdir()
        files = [*record.model_files(), *(record.path / file for file in RECORD_FILES)]
        for metrics in record.evaluations:
            files += [file for pattern in _EVALUATION for file in (record.path / metrics).parent.glob(pattern)]
        for file in sorted(set(files)):
            if file.exists() or file.is_symlink():
                _check_file(file, record.path)
                target = folder / file.relative_to(record.path)
                target.parent.mkdir(exist_ok=True)
                _copy(file, target)
        if not record.is_adapter:
            write_bundle(folder)
        else:
            target = folder / "adapter_config.json"
            config = json.loads(target.read_text(encoding="utf-8"))
            config["base_model_name_or_path"] = base_model(record, publication)
            config["revision"] = publication.base_revision or None
            target.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        text = text_without_paths(render_card(record.path, publication))
        check_card(text, record)
        (folder / "README.md").write_text(text, encoding="utf-8")
        yield folder


def prepare(run: str | Path, publication: Publication, folder: str | Path, *, overwrite: bool = False) -> list[str]:
    """Make the folder that `publish` would push, and send nothing.

    Args:
        run: the run's folder; it is not changed.
        publication: what a person adds to the run's records.
        folder: to make; it appears when it is complete.
        overwrite: replace an existing folder.

    Returns:
        Its files.

    Raises:
        FileExistsError: `folder` exists and `overwrite` is not given, it holds other files, or is or holds the run.
        FileNotFoundError: no such run.
        ValueError: the run is not fit to be shared, the licence is unknown, or an adapter's base is not on the Hub.
    """
    others = "files that no push makes"
    read = [resolve(run).folder]
    check_own_folder(folder, overwrite, FOLDER_FILES, others=others, marks=FOLDER_MARKS, inputs=read)
    check_repo_id(publication.repo_id)
    check_license(publication.license)
    record = check_run(run)
    if record.is_adapter:
        _base_name(record, publication)
    with finished_folder(folder, overwrite) as made, stage(record, publication) as staged:
        shutil.copytree(staged, made, dirs_exist_ok=True)
        return _files(made)


def publish(
    run: str | Path,
    publication: Publication,
    *,
    private: bool = False,
    allow_unevaluated: bool = False,
    token: str | None = None,
) -> Pushed:
    """Push a run to the Hub in one commit, and tag it.

    Everything is checked before anything is sent. Files of an earlier push that this one does not have are deleted in
    the same commit; other files of the repository stay.

    Args:
        run: the folder; it is not changed.
        publication: where to, and what a person adds to the run's records.
        private: make a new repository private; one that exists stays as it is.
        allow_unevaluated: a run without metrics.json may be pushed.
        token: of the Hub; None takes the one of `hf auth login` or HF_TOKEN.

    Raises:
        FileNotFoundError: no such folder, or no finished model in it.
        ValueError: the run is not fit to be shared, the licence is unknown, an adapter's base is not on the Hub or is
            not the base it was trained on.
        OSError: the Hub refused.
    """
    check_repo_id(publication.repo_id)
    check_license(publication.license)
    record = check_run(run, allow_unevaluated=allow_unevaluated)
    if publication.base_model:
        check_repo_id(publication.base_model)
    api = HfApi(token=token)
    with ExitStack() as stack:
        stack.enter_context(hub_errors(publication.repo_id))
        if record.is_adapter:
            publication = replace(publication, base_revision=_base_revision(record, publication, api))
        folder = stack.enter_context(stage(record, publication))
        if record.is_adapter:
            _check_on_base(record, folder)
        api.create_repo(publication.repo_id, private=private or None, exist_ok=True)
        commit = api.upload_folder(
            repo_id=publication.repo_id,
            folder_path=folder,
            commit_message=f"{model_tag(record)}, pushed by chromhub",
            delete_patterns=list(_OURS),
        )
        api.create_tag(publication.repo_id, tag=model_tag(record), revision=commit.oid, exist_ok=True)
        files = _files(folder)
    return Pushed(
        commit_url=commit.commit_url,
        revision=commit.oid,
        tag=model_tag(record),
        files=files,
        load=pinned_call(record, publication, commit.oid),
    )


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _base_name(record: RunRecord, publication: Publication) -> str:
    """Return the Hub id of an adapter's base, which others need."""
    base = base_model(record, publication)
    if not base:
        raise ValueError(
            f"the adapter's base is the local folder {record.base!r}, which nobody else has; "
            "push it first, then give its name with --base-model ORG/NAME; or make a whole model of the adapter by "
            f"`chromhub merge {record.path} -o FOLDER`, and push that"
        )
    return base


def _base_revision(record: RunRecord, publication: Publication, api: HfApi) -> str:
    """Return the commit of an adapter's base on the Hub."""
    base = _base_name(record, publication)
    try:
        info = api.model_info(base, revision=record.base_revision or None if base == record.base else None)
    except RepositoryNotFoundError:
        raise ValueError(f"the adapter's base {base!r} is not on the Hub, or not readable; push it first") from None
    if any(file.rfilename == "adapter_config.json" for file in info.siblings or []):
        raise ValueError(
            f"the base {base!r} is itself an adapter, which AutoModel cannot stack; fine-tune from a whole model"
        )
    return str(info.sha)


def _check_on_base(record: RunRecord, staged: Path) -> None:
    """Check that an adapter on its base from the Hub predicts what the run does."""
    here = _predict(load_any(record.path))
    config = json.loads((staged / "adapter_config.json").read_text(encoding="utf-8"))
    auto = AutoModelForSequenceClassification if record.is_classifier else AutoModel
    options = {"revision": config["revision"], "dtype": torch.float32, "trust_remote_code": False}
    there = _predict(auto.from_pretrained(staged, **options).eval())
    if here.shape != there.shape or not np.allclose(here, there, rtol=1e-4, atol=1e-4):
        raise ValueError(
            f"the adapter predicts something else on {config['base_model_name_or_path']} than on {record.base}; "
            "give the base it was trained on with --base-model"
        )
    digest = weights_digest(config["base_model_name_or_path"], revision=config["revision"])
    if (staged / FILE_NAME).is_file() and digest:  # the same model, perhaps in other files
        values = json.loads((staged / FILE_NAME).read_text(encoding="utf-8"))
        text = record_text(values | {"base_digest": digest})
        (staged / FILE_NAME).write_text(text, encoding="utf-8")


def _check_file(file: Path, run: Path) -> None:
    """Refuse to push a link, which may lead anywhere, or a picture that is none.

    Raises:
        ValueError: it is one.
    """
    for path in (file, *file.parents):
        if path == run:
            break
        if path.is_symlink():
            raise ValueError(f"{path} is a link, which is not pushed: put the file itself there, or delete the link")
    if not file.is_file():
        raise ValueError(f"{file} is no file, so it is not pushed: delete it")
    if file.suffix == ".png" and not file.read_bytes().startswith(_PNG):
        raise ValueError(f"{file} is no PNG picture, so it is not pushed: delete it, or evaluate the run again")


def _predict(model: Any) -> np.ndarray:
    """Predict a random sequence or landscape; (1, T, N) in the scale of training, or a classifier's logits (1, labels).

    Raises:
        ValueError: a number is not finite.
    """
    rng = np.random.default_rng(0)
    if isinstance(model, ClasterForProfileRegression):
        inputs = [rng.random((1, *branch.shape), np.float32) for branch in model.config.branches]
    else:
        inputs = [rng.integers(0, 4, (1, model.config.input_length), dtype=np.uint8)]
    with torch.inference_mode():
        output = model(*map(torch.from_numpy, inputs))
        predictions = output.get("predictions", output.get("logits")).float().numpy()
    if not np.isfinite(predictions).all():
        bad = int(math.prod(predictions.shape) - np.isfinite(predictions).sum())
        raise ValueError(f"the model predicts {bad:,} values that are not finite on a random input; do not share it")
    return predictions


def _copy(file: Path, target: Path) -> None:
    """Copy a file; records of text without what tells of this machine.

    Raises:
        ValueError: a text that is not what its name says.
    """
    try:
        if file.suffix in (".json", ".yaml"):
            read = json.loads if file.suffix == ".json" else yaml.safe_load
            values = read(file.read_text(encoding="utf-8"))
            if (told := without_paths(values)) != values:
                as_json = json.dumps(told, indent=2, allow_nan=False) + "\n"
                text = as_json if file.suffix == ".json" else yaml.safe_dump(told, sort_keys=False)
                target.write_text(text, encoding="utf-8")
                return
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{file} is not what its name says ({error}), so it is not pushed") from None
    if file.suffix == ".tsv":
        target.write_text(text_without_paths(file.read_text(encoding="utf-8")), encoding="utf-8", newline="")
    else:
        shutil.copyfile(file, target)
