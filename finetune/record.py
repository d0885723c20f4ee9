"""What a run leaves on record: provenance.json, with the intervals the model saw and how the run went."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..datasets_scripts.described import Described
from ..inference.provenance import FILE_NAME, Provenance, SeenChrom, library_versions, record_text
from .recipe import Recipe


def seen_intervals(store: Described, windows: pd.DataFrame, *, margin: int) -> tuple[SeenChrom, ...]:
    """Return what windows cover, as a provenance keeps it.

    Args:
        store: where the windows lie.
        windows: columns chrom, start, end.
        margin: bp to add on each side (jitter), or with a minus to leave out (context that no label came from).
    """
    seen = []
    for chrom, rows in windows.groupby("chrom", sort=False):
        joined: list[tuple[int, int]] = []
        size = store.chrom_sizes[str(chrom)]
        for start, end in sorted(zip(rows["start"].tolist(), rows["end"].tolist(), strict=True)):
            start, end = max(0, start - margin), min(size, end + margin)
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        seen.append(SeenChrom(str(chrom), store.chrom_digests[str(chrom)], tuple(joined), size))
    return tuple(seen)


def run_provenance(
    recipe: Recipe,
    store: Described,
    *,
    parent: Provenance | None,
    train_windows: pd.DataFrame,
    valid_windows: pd.DataFrame,
    context: int,
    base_digest: str | None = None,
) -> Provenance:
    """Return the provenance of a run: the windows it really drew, not the whole of its split.

    Args:
        recipe: the run's.
        store: its data.
        parent: the base's provenance.
        train_windows: columns chrom, start, end.
        valid_windows: columns chrom, start, end.
        context: bp on each side of a validation window that are not scored.
        base_digest: of the weights of the base.
    """
    return Provenance(
        base_model=recipe.base,
        genome=store.genome,
        assay=store.assay,
        trained_on=seen_intervals(store, train_windows, margin=recipe.max_jitter),
        selected_on=seen_intervals(store, valid_windows, margin=-context),
        tracks=tuple(store.track_names),
        seed=recipe.seed,
        mode=recipe.mode or "scratch",
        data_fingerprint=store.fingerprint,
        recipe=recipe.model_dump(mode="json"),
        versions=library_versions(),
        base=parent,
        base_digest=base_digest,
    )


def write_provenance(provenance: Provenance, folder: str | Path, *, training: dict[str, Any]) -> None:
    """Write provenance.json with the course of the training beside what the model saw.

    Args:
        provenance: of the run.
        folder: where to.
        training: JSON-ready; the windows that were dropped, device, steps, time.
    """
    text = record_text({**provenance.to_dict(), "training": training})
    (Path(folder) / FILE_NAME).write_text(text, encoding="utf-8")
