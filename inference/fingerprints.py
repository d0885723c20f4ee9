"""What tells one input of a long job from another: the weights of a model, the content of a genome, a table, a file."""

import hashlib
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ..datasets_scripts.fasta import Fasta
from ..datasets_scripts.store import GenomeStore


def model_fingerprint(model: nn.Module) -> str:
    """Return 16 hex digits that change when a weight or the configuration does."""
    digest = hashlib.sha256()
    if (config := getattr(model, "config", None)) is not None:
        digest.update(config.to_json_string(use_diff=False).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def source_fingerprint(source: GenomeStore | Fasta) -> str:
    """Return what changes when the genome does: a store's own fingerprint, or a FASTA's as of `file_fingerprint`."""
    return file_fingerprint(source.path) if isinstance(source, Fasta) else source.fingerprint


def table_fingerprint(table: pd.DataFrame | None) -> str | None:
    """Return what changes when a table does; None of no table."""
    return None if table is None else hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def file_fingerprint(path: str | Path) -> str:
    """Return a file's place, size and time of change in one text."""
    status = Path(path).stat()
    return f"{Path(path).resolve()} {status.st_size} {status.st_mtime_ns}"
