"""What a finished run says about itself: the files beside its weights, read once."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import safe_open
from transformers import AutoConfig, PreTrainedConfig
from transformers.utils.peft_utils import find_adapter_config_file

from ..inference.load import looks_like_path
from ..inference.provenance import Provenance

MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "preprocessor_config.json", "*.py")
ADAPTER_FILES = ("adapter_config.json", "*.safetensors")


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
        """Return the files that the model is loaded from."""
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
        for path in self.path.glob("*.safetensors"):
            with safe_open(path, framework="numpy") as weights:
                for name in weights.keys():  # noqa: SIM118 - it is no dictionary
                    if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
                        size = 1
                        for length in weights.get_slice(name).get_shape():
                            size *= length
                        total += size
        return total


def read_run(path: str | Path) -> RunRecord:
    """Read the records of a run folder; its weights are not loaded.

    Raises:
        FileNotFoundError: no such folder, or no finished model in it.
        ValueError: a record that is not what its name says, or a folder that holds both a model and an adapter.
    """
    run = Path(path).expanduser()
    if not run.is_dir():
        raise FileNotFoundError(f"no run folder {str(path)!r}; give the folder that `chromhub train` wrote")
    is_adapter, is_model = (run / "adapter_config.json").exists(), (run / "config.json").exists()
    if not is_adapter and not is_model:
        raise FileNotFoundError(
            f"{str(path)!r} holds no model (no config.json or adapter_config.json); was its training finished?"
        )
    if is_adapter and is_model:
        raise ValueError(
            f"{str(path)!r} holds config.json and adapter_config.json; keep a model or an adapter, not both"
        )
    base = str(_read_json(run / "adapter_config.json").get("base_model_name_or_path") or "") if is_adapter else ""
    if is_adapter and not base:
        raise ValueError(f"{run / 'adapter_config.json'} must name its base in base_model_name_or_path, found none")
    if is_adapter and looks_like_path(base) and not Path(base).is_dir():
        raise FileNotFoundError(f"the base of {str(path)!r} is {base!r}, which is no folder; was it moved or deleted?")
    evaluations: dict[str, dict[str, Any]] = {}
    for file in (*sorted(run.glob("evaluation*/metrics.json")), *run.glob("metrics.json")):
        metrics = _read_json(file)
        if metrics not in evaluations.values():
            evaluations[file.relative_to(run).as_posix()] = metrics
    return RunRecord(
        path=run,
        is_adapter=is_adapter,
        base=base,
        config=AutoConfig.from_pretrained(_whole_model(base) if is_adapter else run),
        provenance=Provenance.load(run),
        recipe=_read_yaml(run / "recipe.yaml"),
        history=_read_json(run / "history.json") or [],
        evaluations=evaluations,
    )


def _whole_model(name: str) -> str:
    """Follow adapters from base to base to the model that has a configuration."""
    while file := find_adapter_config_file(name):
        name = str(_read_json(Path(file))["base_model_name_or_path"])
    return name


def without_paths(value: Any) -> Any:
    """Return a record with each absolute path in it cut to its last part, which is nobody's home directory."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return Path(value).name
    return value


def _read_json(path: Path) -> Any:
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
