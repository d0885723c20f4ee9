"""What a frozen sequence model makes of a genome: its last hidden states, pooled to cells along chromosomes.

A sequence model's window is shorter than what a landscape model predicts, and neighbouring genes share most of theirs;
so each chromosome is embedded once, in cells of a fraction of a target bin, and each gene takes the cells around it.

Shapes: B batch, L bp, F features, P positions of a hidden state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer

from ..datasets_scripts.fasta import N_CODE, decode
from ..datasets_scripts.landscape import LandscapeData
from .load import load_any
from .names import resolve

_OURS = "chromhub-"  # how the types of this package's configurations begin


@dataclass(frozen=True)
class Embedder:
    """A frozen model as a function of bases.

    Args:
        embed: (B, L) uint8 codes -> (B, F, P) hidden states, evenly spread over the window.
        input_length: L.
        target_length: bp in the middle of a window that are kept; the rest is context.
    """

    embed: Callable[[Tensor], Tensor]
    input_length: int
    target_length: int


def load_embedder(name: str | Path, *, input_length: int | None = None, device: Any = "cpu") -> Embedder:
    """Load a model of this package, or any AutoModel with a tokenizer and a `last_hidden_state`.

    Args:
        name: folder or Hub id.
        input_length: bp of a window; None takes what a model of this package was trained on, others need it.
        device: to compute on.

    Raises:
        FileNotFoundError: no such model.
        ValueError: a model that reads no sequence, or whose window is not known.
    """
    place = resolve(name)
    where = str(place.folder or place.name)
    if AutoConfig.from_pretrained(where, trust_remote_code=False).model_type.startswith(_OURS):
        model: Any = load_any(name)
        if not hasattr(model.config, "input_length") or hasattr(model.config, "input_tracks"):
            raise ValueError(f"{str(name)!r} reads no sequence; give a model that does")
        context = getattr(model.config, "crop_bins", 0) * getattr(model.config, "bin_size", 0)
        length = input_length or model.config.input_length
        model.to(device)
        return Embedder(lambda codes: model(codes.to(device)).last_hidden_state, length, length - 2 * context)
    if input_length is None:
        raise ValueError(f"{str(name)!r} is no model of chromhub: give the bp of its windows with --input-length")
    model, found = AutoModel.from_pretrained(
        where, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
    )
    if missing := sorted(name for name in found["missing_keys"] if "pooler" not in name):  # of which nothing is read
        raise ValueError(f"the weights of {where!r} lack {len(missing)} tensors ({', '.join(missing[:3])})")
    model.eval().to(device)
    tokenizer: Any = AutoTokenizer.from_pretrained(where, trust_remote_code=False)

    def embed(codes: Tensor) -> Tensor:
        texts = [decode(row) for row in codes.numpy()]
        tokens = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(device)
        return model(input_ids=tokens["input_ids"]).last_hidden_state.transpose(1, 2)

    return Embedder(embed, input_length, input_length // 2)


def embed_chrom(
    embedder: Embedder,
    codes: np.ndarray,
    *,
    cell: int,
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return a chromosome's hidden states, averaged in cells.

    Args:
        embedder: of the model.
        codes: (size,) uint8.
        cell: bp.
        batch_size: windows at a time.
        progress: told the windows of each batch.

    Returns:
        (size / cell, rounded up, F) float16.

    Raises:
        ValueError: a cell longer than what a window keeps, or hidden states that are not finite in float16.
    """
    kept = embedder.target_length // cell
    if not kept:
        raise ValueError(
            f"a window of the sequence model keeps {embedder.target_length} bp, less than a cell of {cell}; "
            "give longer windows"
        )
    length, use = embedder.input_length, kept * cell
    count = -(-len(codes) // use)
    before = (length - use) // 2
    padded = np.full(before + count * use + length, N_CODE, np.uint8)
    padded[before : before + len(codes)] = codes
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::use][:count]
    pieces = []
    for i in range(0, count, batch_size):
        with torch.inference_mode():
            hidden = embedder.embed(torch.from_numpy(windows[i : i + batch_size].copy())).float()
        edges = torch.arange(kept + 1, dtype=torch.float64) * cell + before
        pieces.append(_pool(hidden, edges * hidden.shape[-1] / length).half().cpu().numpy())
        if progress:
            progress(len(windows[i : i + batch_size]))
    cells = np.concatenate(pieces).transpose(0, 2, 1).reshape(count * kept, -1)[: -(-len(codes) // cell)]
    if not np.isfinite(cells).all():
        raise ValueError("the model's hidden states are not finite, or too large for float16")
    return cells


def gene_embeddings(cells: dict[str, np.ndarray], data: LandscapeData, rows: np.ndarray, *, cell: int) -> np.ndarray:
    """Return the embeddings of genes' target bins, (n, N, F) float32; what lies off a chromosome is 0.

    Bins begin at the nearest cell: with four cells a bin they lie up to an eighth of a bin beside the target's.

    Args:
        cells: {chrom: (cells, F)}.
        data: the genes.
        rows: of them.
        cell: bp, of which a bin has a whole number.
    """
    grid, genes = data.grid, data.genes.iloc[rows]
    per_bin = grid.bin_size // cell
    found = []
    for chrom, tss in zip(genes["chrom"], genes["tss"], strict=True):
        of_chrom = cells[str(chrom)]
        first = round((int(tss) + grid.target_start) / cell)
        index = first + np.arange(grid.num_bins * per_bin)
        inside = (index >= 0) & (index < len(of_chrom))
        taken = of_chrom[index.clip(0, len(of_chrom) - 1)].astype(np.float32) * inside[:, None]
        found.append(taken.reshape(grid.num_bins, per_bin, -1).mean(1))
    return np.stack(found)


def _pool(hidden: Tensor, edges: Tensor) -> Tensor:
    """Average (B, F, P) between edges (n + 1,) in positions; one that is cut counts by its share."""
    sums = torch.nn.functional.pad(hidden.double().cumsum(-1), (1, 0)).cpu()
    left = edges.floor().long().clamp(max=hidden.shape[-1] - 1)
    running = sums[..., left] + (edges - left) * (sums[..., left + 1] - sums[..., left])
    return running.diff(dim=-1) / edges.diff()
