"""A small head on a frozen sequence model, for the targets of a landscape folder: what sequence alone can say there.

So sequence and landscape are compared on the same genes, targets and split, as in RasmussenLab/CLASTER with Enformer.

Shapes: B batch, N bins, F features, T tracks.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets_scripts.atomic import check_own_folder, finished_folder, making
from ..datasets_scripts.chrom_names import match_chroms
from ..datasets_scripts.fasta import Fasta
from ..datasets_scripts.folds import Part
from ..datasets_scripts.landscape import LandscapeData
from ..inference.evaluate_landscape import TASK, flatten_landscape_metrics, track_results
from ..inference.model_files import EVALUATION_MARKS
from ..inference.names import resolve
from ..inference.provenance import find_provenance, leak_record, library_versions, part_intervals, refuse_leak
from ..inference.sequence_embedding import embed_chrom, gene_embeddings, load_embedder
from .landscape_data import statistics

PREDICTOR = "sequence"
_FILES = ("metrics.json", "metrics.tsv", "head.safetensors")
_CELLS = (4, 2, 1)  # of a bin, the first that divides it


@dataclass(frozen=True)
class HeadOptions:
    """How the head is made and trained.

    Args:
        hidden: features between its two convolutions.
        kernel_size: bins that the second one sees.
        dropout: between them.
        epochs: passes over the training genes; the best on the validation genes is kept.
        batch_size: genes.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        seed: of weights and order.
    """

    hidden: int = 64
    kernel_size: int = 5
    dropout: float = 0.2
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seed: int = 0


class SequenceHead(nn.Module):
    """Embeddings of bins to their standardised targets, with the same weights everywhere."""

    def __init__(self, features: int, tracks: int, options: HeadOptions) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.pointwise = nn.Linear(features, options.hidden)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(options.dropout)
        self.conv = nn.Conv1d(options.hidden, tracks, options.kernel_size, padding=options.kernel_size // 2)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map (B, N, F) to (B, T, N)."""
        hidden = self.dropout(self.activation(self.pointwise(self.norm(embeddings))))
        return self.conv(hidden.transpose(1, 2))


def train_head(
    data: LandscapeData,
    embeddings: Callable[[np.ndarray], np.ndarray],
    options: HeadOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SequenceHead, dict[str, np.ndarray], list[dict[str, float]]]:
    """Train a head with the landscape models' loss: smooth L1 on targets standardised bin by bin.

    Args:
        data: genes and targets.
        embeddings: rows -> (n, N, F).
        options: of the head.
        progress: told epochs done and in all.

    Returns:
        The head of the best epoch in evaluation mode, the targets' mean and deviation (T, N), and the losses.

    Raises:
        ValueError: no training or no validation gene.
    """
    train, valid = data.rows("train"), data.rows("valid")
    if not len(train) or not len(valid):
        raise ValueError(f"{data.path} needs training and validation genes; build it with --valid and --test")
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    found = statistics(data, train, flip=False, contacts=False)
    scale = {name: np.asarray(found[f"target_{name}"], np.float32) for name in ("mean", "std")}
    scale["std"][scale["std"] == 0] = 1
    features = embeddings(train[:1]).shape[-1]
    head = SequenceHead(features, len(data.track_names), options)
    optimizer = torch.optim.AdamW(head.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)

    def loss_of(rows: np.ndarray) -> Tensor:
        target = (np.asarray(data.targets[rows]) - scale["mean"]) / scale["std"]
        mask = torch.from_numpy(np.array(data.mask[rows], np.float32))[:, None].expand(target.shape)
        losses = F.smooth_l1_loss(
            head(torch.from_numpy(embeddings(rows))), torch.from_numpy(target.astype(np.float32)), reduction="none"
        )
        return (losses * mask).sum() / mask.sum().clamp(min=1)

    best, state, history = math.inf, head.state_dict(), []
    for epoch in range(options.epochs):
        head.train()
        order, losses = rng.permutation(train), []
        for i in range(0, len(order), options.batch_size):
            loss = loss_of(np.sort(order[i : i + options.batch_size]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        head.eval()
        with torch.no_grad():
            of_batches = [loss_of(valid[i : i + 64]).item() * len(valid[i : i + 64]) for i in range(0, len(valid), 64)]
        eval_loss = sum(of_batches) / len(valid)
        history.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "eval_loss": eval_loss})
        if eval_loss < best:
            best, state = eval_loss, {name: tensor.clone() for name, tensor in head.state_dict().items()}
        if progress:
            progress(epoch + 1, options.epochs)
    head.load_state_dict(state)
    return head.eval(), scale, history


def sequence_baseline(
    model: str | Path,
    folder: str | Path,
    fasta: str | Path,
    output: str | Path,
    *,
    options: HeadOptions | None = None,
    part: Part = "test",
    input_length: int | None = None,
    window_batch: int = 32,
    device: torch.device | str = "cpu",
    allow_leak: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Embed a genome with a frozen model, train a head on it, and write metrics.json, metrics.tsv and the head.

    Args:
        model: folder or Hub id of the sequence model.
        folder: of the landscapes, whose genes and targets are taken.
        fasta: of the same assembly.
        output: folder to make; it appears when it is complete.
        options: of the head.
        part: evaluated.
        input_length: as of `load_embedder`.
        window_batch: windows of the sequence model at a time.
        device: the sequence model's.
        allow_leak: evaluate on what the sequence model was trained or selected on.
        overwrite: replace an existing folder.
        progress: told the stage, done and in all.

    Returns:
        What metrics.json holds, `results` as of `evaluate_landscape` with the predictor "sequence".

    Raises:
        FileNotFoundError: an input does not exist.
        FileExistsError: `output` exists.
        ValueError: inputs do not fit each other, or a leak.
    """
    check_own_folder(output, overwrite, _FILES, marks=EVALUATION_MARKS, inputs=[folder, fasta, resolve(model).folder])
    with making(output, overwrite):
        return _fit_into(
            Path(output),
            model,
            folder,
            fasta,
            options=options or HeadOptions(),
            part=part,
            input_length=input_length,
            window_batch=window_batch,
            device=device,
            allow_leak=allow_leak,
            overwrite=overwrite,
            progress=progress,
        )


def _fit_into(
    output: Path,
    model: str | Path,
    folder: str | Path,
    fasta: str | Path,
    *,
    options: HeadOptions,
    part: Part,
    input_length: int | None,
    window_batch: int,
    device: torch.device | str,
    allow_leak: bool,
    overwrite: bool,
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, Any]:
    """Do what `sequence_baseline` does, into a folder whose lock is held."""
    data, genome = LandscapeData.open(folder), Fasta(fasta)
    rows = data.rows(part)
    if not len(rows):
        raise ValueError(f"no gene lies in the {part} part of {data.path}; build it with --valid and --test")
    provenance = find_provenance(model)
    if provenance is not None and not allow_leak:
        refuse_leak(provenance, data, part)
    embedder = load_embedder(model, input_length=input_length, device=device)
    bin_size = data.grid.bin_size
    cell = bin_size // next(n for n in _CELLS if bin_size % n == 0)
    cells = _embed_genome(embedder, genome, data, cell, window_batch, progress)

    def embeddings(wanted: np.ndarray) -> np.ndarray:
        return gene_embeddings(cells, data, wanted, cell=cell)

    def on_epoch(done: int, total: int) -> None:
        if progress:
            progress("training", done, total)

    head, scale, history = train_head(data, embeddings, options, progress=on_epoch)
    with torch.inference_mode():
        pieces = [head(torch.from_numpy(embeddings(rows[i : i + 64]))).numpy() for i in range(0, len(rows), 64)]
    predicted = np.maximum(np.concatenate(pieces) * scale["std"] + scale["mean"], 0)
    true = np.asarray(data.targets[rows], np.float64)
    metrics: dict[str, Any] = {
        "task": TASK,
        "model": str(model),
        "part": part,
        "data": {"name": data.path.resolve().name, "genome": data.genome, "fingerprint": data.fingerprint},
        "intervals": [f"{c.chrom}:{start}-{end}" for c in part_intervals(data, part) for start, end in c.intervals],
        "leak": leak_record(provenance, data, part, allowed=allow_leak),
        "windows": {"genes": len(rows)},
        "head": {**asdict(options), "parameters": sum(p.numel() for p in head.parameters())},
        "history": history,
        "results": {
            track: track_results({PREDICTOR: predicted[:, t]}, true[:, t], data, rows)
            for t, track in enumerate(data.track_names)
        },
        "versions": library_versions(),
    }
    with finished_folder(output, overwrite, is_held=True) as made:
        (made / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        rows_of = flatten_landscape_metrics(metrics)
        rows_of.to_csv(made / "metrics.tsv", sep="\t", index=False, float_format="%.6g")
        tensors = {**head.state_dict(), **{f"target_{name}": torch.from_numpy(array) for name, array in scale.items()}}
        save_file(cast(dict[str, Tensor], tensors), made / "head.safetensors")
    return metrics


def _embed_genome(
    embedder: Any,
    genome: Fasta,
    data: LandscapeData,
    cell: int,
    batch_size: int,
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, np.ndarray]:
    """Return the cells of every chromosome that has a gene of the split."""
    parts: tuple[Part, ...] = ("train", "valid", "test")
    used = sorted({str(chrom) for part in parts for chrom in data.genes["chrom"].iloc[data.rows(part)]})
    names = match_chroms(used, genome.chrom_sizes, what=f"{data.path} with {genome.path}")
    if missing := [chrom for chrom in used if chrom not in names]:
        raise ValueError(f"{genome.path} has no chromosome {missing[0]!r} of {data.path}; give the same assembly")
    wanted = {there: here for here, there in names.items()}
    use = max(embedder.target_length // cell, 1) * cell
    total, done = sum(-(-genome.chrom_sizes[name] // use) for name in wanted), 0
    cells = {}

    def on_batch(windows: int) -> None:
        nonlocal done
        done += windows
        if progress:
            progress("embedding", done, total)

    for name, codes in genome.read_codes():
        if name in wanted:
            cells[wanted[name]] = embed_chrom(embedder, codes, cell=cell, batch_size=batch_size, progress=on_batch)
    return cells
