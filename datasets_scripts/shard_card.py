"""The card of exported windows: README.md, whose front matter tells `load_dataset` where the parts lie."""

from collections.abc import Mapping
from typing import Any

import yaml

from .row_layout import RowLayout

_SIZES = (("n<1K", 1e3), ("1K<n<10K", 1e4), ("10K<n<100K", 1e5), ("100K<n<1M", 1e6), ("1M<n<10M", 1e7))


def shard_card(
    layout: RowLayout,
    num_windows: Mapping[str, int],
    *,
    plan: Mapping[str, Any],
    fingerprint: str,
    license: str | None = None,
    name: str = "FOLDER",
) -> str:
    """Return the card; it holds no date and no path, so that the same export gives the same card.

    Args:
        layout: of a row.
        num_windows: of each part.
        plan: which training windows were chosen, in words of `WindowPlan`.
        fingerprint: of the export.
        license: identifier of the Hub; None where it is not decided yet.
        name: folder or Hub id, for the code on the card.
    """
    total = sum(num_windows.values())
    front: dict[str, Any] = {
        **({"license": license} if license else {}),
        "tags": ["biology", "genomics", "chromatin", "ATAC-seq", "chromhub"],
        "size_categories": [next((size for size, below in _SIZES if total < below), "n>10M")],
        "configs": [
            {
                "config_name": "default",
                # `datasets` keeps its copy of a local folder by this text and the folder's last name, not by its files
                "description": f"chromhub windows {fingerprint}",
                "data_files": [{"split": part, "path": f"data/{part}-*.parquet"} for part in num_windows],
            }
        ],
    }
    tracks, bins = len(layout.track_names), layout.row_bins
    rows = "\n".join(
        f"| {part} | {number:,} | {' '.join(getattr(layout.split, part))} |" for part, number in num_windows.items()
    )
    said = {"mappable": "a bit a base, 1 where mappable", "measured": "a bit a value of `signal`, 1 where measured"}
    bits = "".join(
        f"| `{name}` | {-(-number // 8):,} x uint8 | {said[name]}; the first is the most significant |\n"
        for name, number in layout.bits.items()
    )
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---

# Windows of {layout.genome or "a genome"}: bases and {tracks} track{"s" if tracks > 1 else ""}

One row is a window of {layout.input_length:,} bp with {layout.margin:,} bp more on each side, so that a reader can
move it: bases as codes, and the signal of {", ".join(f"`{track}`" for track in layout.track_names)} in bins of
{layout.bin_size} bp ({layout.summary} of each bin's bases, raw units).

| part | windows | where |
|---|---|---|
{rows}

Training windows: {", ".join(f"{key} {value}" for key, value in plan.items())}. Validation and test windows tile their
part by their central {layout.target_length:,} bp, which alone are to be scored.

| column | type | holds |
|---|---|---|
| `chrom`, `start` | string, int64 | where the window lies, without its margins; 0-based |
| `codes` | {layout.row_length:,} x uint8 | a base each: A0 C1 G2 T3 N4 |
| `signal` | {tracks * bins:,} x {layout.signal_dtype} | {tracks} track{"s" if tracks > 1 else ""} x {bins:,} bins |
{bits}
`windows.parquet` lists every window; `shards.json` holds the lengths, the split, and the size and a digest of each
chromosome (store {layout.store_fingerprint}).

With chromhub, in the same batches as from the store it was made of:

    chromhub train --data {name} --preset convnext-dcnn -o RUN

Without it:

    from datasets import load_dataset
    rows = load_dataset("{name}", split="train", streaming=True).with_format("numpy")
    for batch in rows.iter(64):
        codes = batch["codes"]  # (64, {layout.row_length}) uint8
        signal = batch["signal"].reshape(-1, {tracks}, {bins})
"""
