"""The models there are: those published, and run folders on this machine."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..inference.load import Classifier, load_any
from ..inference.model_folder import read_adapter
from ..inference.names import ADAPTER_CONFIG, SHIPPED
from ..inference.provenance import Provenance
from ..modeling import AtacForTrackPrediction, ClasterForProfileRegression
from .card import Publication, base_model
from .metric_table import headline
from .run_record import RunRecord, read_run

FOLDER = SHIPPED  # ready-to-push models lie here, one folder each


@dataclass(frozen=True)
class RegisteredModel:
    """One model.

    Args:
        name: Hub id of a published model, else the folder's name.
        architecture: stem and core, e.g. "convnext-dilated"; "chromtransfer", "claster-landscape" or "claster-rotated".
        kind: "model" or "adapter".
        base: Hub id or folder name that it started from, "" from scratch.
        genome: assembly it was trained on.
        tracks: what it predicts.
        license: of a published model.
        revision: commit of a published model.
        path: folder of a model on this machine.
        metrics: headline numbers of its evaluation, {name: value}.
    """

    name: str
    architecture: str
    kind: str = "model"
    base: str = ""
    genome: str = ""
    tracks: tuple[str, ...] = ()
    license: str = ""
    revision: str = ""
    path: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)


PUBLISHED: tuple[RegisteredModel, ...] = ()


def list_models(folder: str | Path = FOLDER) -> list[RegisteredModel]:
    """Return the published models, then those in the sub-folders of `folder`, by name.

    Args:
        folder: a folder of run folders; one that is no finished run is passed over.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a run's records are damaged.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no such folder: {str(folder)!r}; give a folder of run folders")
    found = [*PUBLISHED]
    for path in sorted(Path(folder).iterdir()):
        if (path / "config.json").exists() or (path / "adapter_config.json").exists():
            found.append(_registered(path))
    return found


def load(name: str | Path) -> AtacForTrackPrediction | ClasterForProfileRegression | Classifier:
    """Load a model by the name it is registered under, or from a folder or the Hub; `chromhub.load`.

    Args:
        name: a folder; else as `chromhub models` prints it, e.g. "convnext-dcnn-small-atac-saccer3"; else a run in
            runs/, or ORG/NAME.

    Returns:
        The model in evaluation mode, an adapter merged into its base.

    Raises:
        FileNotFoundError: no such folder, or no model in it.
        ValueError: no model is registered under that name, or it is a model of another kind.
    """
    return load_any(name)


def _architecture(config: Any) -> str:
    """Return stem and core, or the name of a model that has none."""
    if hasattr(config, "stem"):
        return f"{config.stem['type']}-{config.core['type']}"
    if config.model_type == "chromhub-claster":
        return f"claster-{config.structure['form'] if config.structure else 'landscape'}"
    return "chromtransfer"


def _registered(path: Path) -> RegisteredModel:
    """Read a run; an adapter whose base is not on this machine is listed by what it knows of itself."""
    try:
        return _register(read_run(path))
    except OSError:
        if not (path / ADAPTER_CONFIG).exists():
            raise
    base, provenance = str(read_adapter(path).base_model_name_or_path), Provenance.load(path)
    return RegisteredModel(
        name=path.resolve().name,
        architecture="its base is not on this machine",
        kind="adapter",
        base=base if base.count("/") == 1 else Path(base).name,
        genome=provenance.genome if provenance else "",
        tracks=provenance.tracks if provenance else (),
        path=str(path),
    )


def _register(record: RunRecord) -> RegisteredModel:
    config: Any = record.config
    provenance = record.provenance
    base = base_model(record, Publication()) or record.base or (provenance.base_model if provenance else None) or ""
    return RegisteredModel(
        name=record.path.resolve().name,
        architecture=_architecture(config),
        kind="adapter" if record.is_adapter else "model",
        base=base if base.count("/") == 1 else Path(base).name,
        genome=(provenance.genome if provenance else "") or config.genome,
        tracks=record.tracks,
        path=str(record.path),
        metrics={name: value for metrics in record.evaluations.values() for name, value in headline(metrics).items()},
    )
