"""What a finished run says about itself: the files beside its weights, read once."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from ..datasets_scripts.plain_files import read_json, read_yaml
from ..inference.model_files import ADAPTER_FILES, MODEL_FILES
from ..inference.model_folder import open_model
from ..inference.names import resolve
from ..inference.provenance import Provenance
from ..inference.weights_file import read_tensors
from .metric_table import check_metrics

_WHOLE_PATH = re.compile(r"(?:file://|[/~]|\\\\|\.\.[/\\]|[A-Za-z]:[/\\])[^\n]*")
_HOMES = re.compile(
    r"(?:/home|/Users|[A-Za-z]:[/\\]Users)[/\\][^/\\]*[/\\]?|~[^/\\]*[/\\]?"
)  # whose last part is a name
# In a text: from a root, a home, a drive or `..` on; not within a URL, a ratio or a Hub id.
_PATH = re.compile(
    r"(?<![\w.~/\\-])(?:(?:file://)?/[^\s/'\"`,;()<>|]+/|~[\w.-]*/|(?:\.\./)+|[A-Za-z]:[/\\]|\\\\)[^\s'\"`,;()<>|]*"
)


@dataclass(frozen=True)
class RunRecord:
    """A run folder's records.

    Args:
        path: the folder.
        is_adapter: it holds an adapter, not a whole model.
        base: what the adapter sits on, a folder or Hub id; for a whole model "".
        config: the model's configuration; an adapter's is its base's.
        provenance: provenance.json.
        recipe: recipe.yaml, {} where there is none.
        history: history.json, one entry an evaluation.
        base_revision: commit of an adapter's base on the Hub, "" where the adapter names none.
        evaluations: metrics.json files, {path inside the run: content}. RUN/metrics.json, the last evaluation on the
            test part, is left out where it repeats one in an evaluation folder, beside whose pictures it lies.
    """

    path: Path
    is_adapter: bool
    base: str
    config: PreTrainedConfig
    provenance: Provenance | None
    recipe: dict[str, Any]
    history: list[dict[str, Any]]
    evaluations: dict[str, dict[str, Any]]
    base_revision: str = ""

    @property
    def tracks(self) -> tuple[str, ...]:
        """What the model predicts; an adapter's base may have called it otherwise."""
        names = self.provenance.tracks if self.provenance else ()
        config: Any = self.config
        if self.is_adapter and names:
            return names  # the configuration is its base's, and so may be the number of its outputs
        if self.is_classifier:
            return tuple(str(config.id2label[i]) for i in range(config.num_labels))
        return names if len(names) == config.num_tracks else tuple(config.track_names)

    @property
    def assay(self) -> str:
        """What its tracks measure, "" where its data did not say."""
        return self.provenance.assay if self.provenance else ""

    @property
    def is_classifier(self) -> bool:
        """Whether it puts labels on windows, and does not predict tracks."""
        return (self.config.architectures or [""])[0].endswith("ForSequenceClassification")

    @property
    def is_landscape(self) -> bool:
        """Whether it reads a landscape of chromatin, and no sequence."""
        return self.config.model_type == "chromhub-claster"

    def model_files(self) -> list[Path]:
        """Return the files that the model is loaded from; whatever else lies in its folder is none of them."""
        patterns = ADAPTER_FILES if self.is_adapter else MODEL_FILES
        return sorted({file for pattern in patterns for file in self.path.glob(pattern)})

    def digest(self) -> str:
        """Name the model by the content of its files; records and cards may change under one name."""
        digest = hashlib.sha256()
        for file in self.model_files():
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()[:12]

    def num_parameters(self) -> int:
        """Count the numbers in the weights file, without running statistics; an adapter's alone."""
        total = 0
        for path in (file for file in self.model_files() if file.suffix == ".safetensors"):
            for name, tensor in read_tensors(path).items():
                if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
                    total += tensor.size
        return total


def read_run(path: str | Path) -> RunRecord:
    """Read the records of a run folder; its weights are not loaded.

    Raises:
        FileNotFoundError: no such folder, or no finished model in it.
        ValueError: a record that is not what its name says, or a folder that holds both a model and an adapter.
    """
    run = resolve(str(path)).folder
    if run is None:
        raise FileNotFoundError(f"no run folder {str(path)!r}; give the folder that `chromhub train` wrote")
    opened = open_model(run, weights=False, ask_hub=False)
    evaluations: dict[str, dict[str, Any]] = {}
    for file in (*sorted(run.glob("evaluation*/metrics.json")), *run.glob("metrics.json")):
        metrics = read_json(file)
        check_metrics(metrics, str(file))
        if metrics not in evaluations.values():
            evaluations[file.relative_to(run).as_posix()] = metrics
    return RunRecord(
        path=run,
        is_adapter=opened.adapter is not None,
        base=opened.base_name,
        config=opened.config,
        provenance=Provenance.load(run),
        recipe=_read_recipe(run / "recipe.yaml"),
        history=_read_history(run / "history.json"),
        evaluations=evaluations,
        base_revision=(opened.adapter.revision or "") if opened.adapter is not None else "",
    )


def _read_recipe(file: Path) -> dict[str, Any]:
    recipe = read_yaml(file) if file.exists() else {}
    if not isinstance(recipe or {}, dict):
        raise ValueError(f"{file} must hold `key: value` lines, got a {type(recipe).__name__}; restore the file")
    return recipe or {}


def _read_history(file: Path) -> list[dict[str, Any]]:
    history = read_json(file, list) if file.exists() else []
    for i, row in enumerate(history):
        numbers = row.values() if isinstance(row, dict) else [row]
        if not all(
            value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in numbers
        ):
            raise ValueError(
                f"{file} must hold one object of numbers an evaluation, got {row!r:.60} at {i}; restore it"
            )
    return history


def without_paths(value: Any) -> Any:
    """Return a record with each path in it that tells of this machine cut to its last part.

    That is an absolute path, one into a home directory, one that goes up, anywhere in a text or a key.
    """
    if isinstance(value, dict):
        return {without_paths(key): without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return text_without_paths(value) if isinstance(value, str) else value


def text_without_paths(text: str) -> str:
    """Return a text with each path in it that tells of this machine cut to its last part."""
    if _WHOLE_PATH.fullmatch(text):  # with spaces, perhaps
        return _last_part(text)
    home = str(Path.home())
    if len(home) > 1:  # the rest of the path follows it, whatever its letters
        text = re.sub(re.escape(home) + r"(?=[/\\]|$)", "~", text)
    return _PATH.sub(lambda match: _last_part(match.group()), text)


def _last_part(path: str) -> str:
    if _HOMES.fullmatch(path):
        return "home"
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
