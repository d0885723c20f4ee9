"""The models there are: those published, and run folders on this machine."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .card import Publication, base_model
from .metric_table import headline
from .run_record import RunRecord, read_run

FOLDER = Path(__file__).parent  # ready-to-push models lie here, one folder each


@dataclass(frozen=True)
class RegisteredModel:
    """One model.

    Args:
        name: Hub id of a published model, else the folder's name.
        architecture: stem and core, e.g. "convnext-dilated".
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
            found.append(_register(read_run(path)))
    return found


def _register(record: RunRecord) -> RegisteredModel:
    config: Any = record.config
    provenance = record.provenance
    base = base_model(record, Publication()) or record.base or (provenance.base_model if provenance else None) or ""
    return RegisteredModel(
        name=record.path.resolve().name,
        architecture=f"{config.stem['type']}-{config.core['type']}" if hasattr(config, "stem") else "chromtransfer",
        kind="adapter" if record.is_adapter else "model",
        base=base if base.count("/") == 1 else Path(base).name,
        genome=(provenance.genome if provenance else "") or config.genome,
        tracks=record.tracks,
        path=str(record.path),
        metrics={name: value for metrics in record.evaluations.values() for name, value in headline(metrics).items()},
    )
