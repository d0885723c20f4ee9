"""Render a model card from a run's own files: no number in it is typed."""

import re
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCardData
from jinja2 import Environment, StrictUndefined

from ..inference.names import is_hub_id, looks_like_path
from ..inference.provenance import Provenance, SeenChrom
from .metric_table import beside, caveat, eval_results, header, sentence, table
from .run_record import RunRecord, read_run

TAGS = ["biology", "genomics", "dna", "chromatin", "custom_code"]
LANDSCAPE_TAGS = ["biology", "genomics", "chromatin", "transcription", "custom_code"]
# Rows of "How it was trained", in this order; the whole recipe lies beside the card.
_TRAINING = [
    "task",
    "mode",
    "preset",
    "base",
    "labels",
    "class_weights",
    "metric",
    "epochs",
    "max_steps",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup",
    "restart_decay",
    "weight_decay",
    "betas",
    "patience",
    "windows",
    "max_jitter",
    "reverse_complement",
    "lora",
    "new_head",
    "seed",
    "bf16",
]
_UNKNOWN_TERMS = (
    "its terms were not recorded with the run and may restrict what this model may be used for; "
    "ask whoever made the track"
)
_MAX_INTERVALS = 3  # of one chromosome that the card lists; more are counted


@dataclass(frozen=True)
class Publication:
    """What a person adds to a run's files when sharing it.

    Args:
        repo_id: where the model will lie on the Hub.
        license: of the model, an identifier of the Hub.
        data_license: of the training data, in words.
        datasets: Hub ids of the training data.
        base_model: Hub id of the base, where the run names a local folder.
        base_revision: commit of the base that an adapter was checked with.
    """

    repo_id: str = "ORG/NAME"
    license: str = ""
    data_license: str = ""
    datasets: tuple[str, ...] = ()
    base_model: str = ""
    base_revision: str = ""


def render_card(run: str | Path, publication: Publication | None = None) -> str:
    """Render the card of a run folder.

    Args:
        run: the folder; its records say everything but what `publication` adds.
        publication: what a person adds; by default nothing, with ORG/NAME as a placeholder.

    Returns:
        README.md: YAML front matter and Markdown.

    Raises:
        FileNotFoundError: no such folder, or no finished model in it.
        ValueError: a record is damaged.
    """
    record = read_run(run)
    publication = publication or Publication()
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    template = resources.files("chromhub.model_cards").joinpath("card.md.jinja").read_text(encoding="utf-8")
    text = environment.from_string(template).render(**_view(record, publication))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def publication_of(card: str) -> Publication:
    """Return what a person added to a card, from a card that `render_card` made."""

    def found(pattern: str) -> str:
        match = re.search(pattern, card, re.MULTILINE)
        return match[1] if match else ""

    front: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    terms = found(r"^Model: .*\. Training data: (.*)\.$")
    base, pins = front.get("base_model", ""), found(r'revision="(.*?)", adapter_kwargs')
    return Publication(
        repo_id=found(r'\.from_pretrained\("([^"]+)"') or "ORG/NAME",
        license=front.get("license", ""),
        data_license="" if terms == _UNKNOWN_TERMS else terms,
        datasets=tuple(front.get("datasets", ())),
        base_model=base,
        base_revision="" if pins == "main" else pins,
    )


def base_model(record: RunRecord, publication: Publication) -> str:
    """Return the Hub id of what a run started from, "" where it has none or only a local folder."""
    if publication.base_model:
        return publication.base_model
    recorded = record.base or (record.provenance.base_model if record.provenance else None) or ""
    return recorded if is_hub_id(recorded) and not looks_like_path(recorded) else ""


def model_tag(record: RunRecord) -> str:
    """Return the Hub tag that names exactly these weights and this code."""
    return f"model-{record.digest()}"


def pinned_call(record: RunRecord, publication: Publication, revision: str) -> str:
    """Return the call that loads the published model at one revision, without chromhub."""
    pins = f'revision="{revision}"'
    if record.is_adapter:
        # transformers looks `revision` up in the base's repository, whatever repository it is given
        pins = f'revision="{_base_commit(record, publication) or "main"}", adapter_kwargs={{"revision": "{revision}"}}'
    return f'{_auto(record)}.from_pretrained("{publication.repo_id}", {pins}, trust_remote_code=True)'


def plain_call(record: RunRecord, publication: Publication) -> str:
    """Return the call that loads the published model where chromhub is installed.

    An adapter's pins the base's commit: AutoModel does not look at the one in adapter_config.json, and puts the adapter
    on whatever the base is by now.
    """
    if record.is_adapter:
        return pinned_call(record, publication, model_tag(record)).replace(", trust_remote_code=True", "")
    return f'{_auto(record)}.from_pretrained("{publication.repo_id}")'


def _auto(record: RunRecord) -> str:
    return "AutoModelForSequenceClassification" if record.is_classifier else "AutoModel"


def _base_commit(record: RunRecord, publication: Publication) -> str:
    """Return the commit of an adapter's base, "" where it is not known."""
    return publication.base_revision or (record.base_revision if not publication.base_model else "")


def _front_matter(record: RunRecord, publication: Publication, name: str) -> str:
    """Return the card's YAML."""
    base = base_model(record, publication)
    results = [result for metrics in record.evaluations.values() for result in eval_results(metrics)]
    commit = _base_commit(record, publication) if base and record.is_adapter else ""
    more: Any = {"base_model_revision": commit} if commit else {}
    data = ModelCardData(
        license=publication.license or None,
        library_name="transformers",
        tags=[
            *(LANDSCAPE_TAGS if record.is_landscape else TAGS),
            *([re.sub(r"[^a-z0-9]+", "-", record.assay.lower()).strip("-")] if record.assay else []),
            *(["lora", "peft"] if record.is_adapter else []),
        ],
        datasets=list(publication.datasets) or None,
        base_model=base or None,
        base_model_relation=("adapter" if record.is_adapter else "finetune") if base else None,
        model_name=name if results else None,
        eval_results=results or None,
        **more,
    )
    return data.to_yaml()


def _view(record: RunRecord, publication: Publication) -> dict[str, Any]:
    """Return what the template shows."""
    config: Any = record.config
    name = publication.repo_id.split("/")[-1] if publication.repo_id != "ORG/NAME" else record.path.resolve().name
    chain = list(record.provenance.chain()) if record.provenance else []
    base = base_model(record, publication)
    metric = str(record.recipe.get("metric") or "pearson")
    metric_key = f"eval_{metric}"
    measured = [row for row in record.history if row.get(metric_key) is not None]
    is_classifier = record.is_classifier
    return {
        "front_matter": _front_matter(record, publication, name),
        "name": name,
        "record": record,
        "config": config,
        "recipe": record.recipe,
        "version": metadata.version("chromhub"),
        "repo_id": publication.repo_id,
        "extractor_id": base if record.is_adapter and base else publication.repo_id,
        "base_link": _base_link(record, publication),
        "call": plain_call(record, publication),
        "pinned": pinned_call(record, publication, model_tag(record)),
        "labels": record.tracks if is_classifier else (),
        "landscape": _landscape(record),
        "source": f"a landscape of {', '.join(config.input_tracks)}" if record.is_landscape else "DNA sequence alone",
        "label_rule": _label_rule(record),
        "metric_key": metric_key,
        "metric_name": f"mean {metric.upper()} over its tracks",
        "tracks_text": _predicted(record),
        "architecture": _architecture(config),
        "num_parameters": record.num_parameters(),
        "scale": "raw scale" if getattr(config, "target_transform", "") == "none" else "log1p (natural) scale",
        "genome": (chain[0].genome if chain else "") or config.genome,
        "chain": [_link(link, title) for link, title in zip(chain, _titles(chain, base), strict=True)],
        "evaluations": [
            {
                "sentence": sentence(metrics),
                "caveat": caveat(metrics),
                "header": header(metrics),
                "rows": table(metrics),
                "beside": beside(metrics),
                "floor": metrics.get("floor") or {},
                "figures": _figures(record.path, Path(file)),
            }
            for file, metrics in record.evaluations.items()
        ],
        "training": _training(record.recipe | ({"base": base} if base else {})),
        "versions": chain[0].versions if chain else {},
        "best": max(measured, key=lambda row: row[metric_key], default=None),
        "last": record.history[-1] if record.history else None,
        "curve": (record.path / "training_curve.png").exists(),
        "license": publication.license,
        "data_license": publication.data_license.rstrip(".") or _UNKNOWN_TERMS,
    }


def _base_link(record: RunRecord, publication: Publication) -> str:
    """Name an adapter's base, with the commit that it was trained on."""
    base, commit = base_model(record, publication), _base_commit(record, publication)
    if not base:
        return f"`{Path(record.base).name}`"
    return f"[{base}](https://huggingface.co/{base})" + (f", commit `{commit}`," if commit else "")


def _predicted(record: RunRecord) -> str:
    """Say what the model predicts; the assay where its data said so."""
    if record.is_classifier:
        kind = f"open chromatin by {record.assay}" if record.assay else "open chromatin"
    else:
        kind = "transcription" if record.is_landscape else f"{record.assay} signal" if record.assay else "signal"
    return f"{kind} ({', '.join(record.tracks)})"


def _landscape(record: RunRecord) -> dict[str, Any] | None:
    """Return what the template says of a landscape model's inputs; None of any other model."""
    if not record.is_landscape:
        return None
    config: Any = record.config
    return {"rows": len(config.input_tracks), "contacts": config.structure and config.structure["form"]}


def _architecture(config: Any) -> str:
    """Say what the model is made of."""
    if config.model_type == "chromhub-claster":
        parts = ["landscape", *([f"{config.structure['form']} contact map"] if config.structure else [])]
        return f"CLASTER with convolutions over {' and '.join(parts)}, {config.fusion_blocks} fusion blocks"
    if not hasattr(config, "stem"):
        return "ChromTransfer's residual convolutions and dense head"
    return f"{config.stem['type']} stem, {config.core['type']} core"


def _label_rule(record: RunRecord) -> str:
    """Say when a window counts as open; the configuration of an adapter is its base's."""
    rule = record.recipe.get("labels") if record.is_adapter else getattr(record.config, "label_rule", None)
    if not rule:
        return "as in its training data"
    return (
        f"at least {rule['min_covered']:.0%} of the central {rule['width']} bp have a signal above "
        f"{rule['threshold']:g}"
    )


def _titles(chain: list[Provenance], base: str) -> list[str]:
    """Return a heading for each model of the chain."""
    names = [_short(link.base_model) for link in chain]
    if base:
        names[:1] = [base]
    mine = "This model"
    if chain and chain[0].merged_from:
        mine += f", the adapter {_short(chain[0].merged_from)} merged into its base"
    return [mine, *(f"{'Its base' if i == 0 else 'The base of that'}, {name}" for i, name in enumerate(names))][
        : len(chain)
    ]


def _link(link: Provenance, title: str) -> dict[str, Any]:
    """Return one model of the chain for the template."""
    seen: dict[str, dict[str, str]] = {}
    for column, chroms in (("trained", link.trained_on), ("selected", link.selected_on)):
        for chrom in chroms:
            seen.setdefault(chrom.chrom, {})[column] = _spans(chrom)
    rows = [[chrom, spans.get("trained", ""), spans.get("selected", "")] for chrom, spans in seen.items()]
    return {
        "title": title,
        "mode": link.mode,
        "tracks": link.tracks,
        "genome": link.genome,
        "data_fingerprint": link.data_fingerprint,
        "seed": link.seed,
        "rows": rows,
    }


def _spans(chrom: SeenChrom) -> str:
    """Say which part of a chromosome was seen."""
    if len(chrom.intervals) <= _MAX_INTERVALS:
        return ", ".join(f"{start:,}-{end:,}" for start, end in chrom.intervals)
    total = sum(end - start for start, end in chrom.intervals)
    first, last = chrom.intervals[0][0], chrom.intervals[-1][1]
    return f"{len(chrom.intervals):,} intervals, {total:,} bp between {first:,} and {last:,}"


def _figures(run: Path, metrics_file: Path) -> list[str]:
    """Return the pictures beside a metrics.json, as paths inside the run."""
    pictures = sorted((run / metrics_file).parent.glob("*.png"))
    return [path.relative_to(run).as_posix() for path in pictures if path.name != "training_curve.png"]


def _training(recipe: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the recipe chose, (name, value)."""
    idle = [
        *(["lora"] if recipe.get("mode") != "lora" else []),
        *(["task", "labels", "metric"] if recipe.get("task", "tracks") == "tracks" else []),
        *(["restart_decay"] if recipe.get("schedule") != "paper" else []),
    ]
    rows = []
    for key in _TRAINING:
        value = recipe.get(key)
        if value is None or key in idle:
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{name} {item}" for name, item in value.items() if item is not None)
        elif isinstance(value, list):
            value = ", ".join(str(item) for item in value)
        rows.append((key, _short(value) if key == "base" else str(value)))
    return rows


def _short(name: str | None) -> str:
    """Return a Hub id whole and of a folder its name alone."""
    return "a model that left no name" if not name else Path(name).name if looks_like_path(name) else name
