"""Known motifs: a MEME file, or a group of JASPAR's CORE collection as pyjaspar ships it (no network)."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .meme import read_motifs

JASPAR = "jaspar:"
GROUPS = ("vertebrates", "nematodes", "insects", "fungi", "plants", "urochordates")


class MotifDatabase(NamedTuple):
    """Motifs that others are compared with.

    Attributes:
        name: of the file, or "JASPAR2026 nematodes".
        motifs: (4, length) probabilities by name.
    """

    name: str
    motifs: dict[str, np.ndarray]


def known_motifs(given: str | Path) -> MotifDatabase:
    """Read a MEME file, or "jaspar:GROUP" such as "jaspar:vertebrates".

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such group, pyjaspar is not installed, or a damaged file.
    """
    if not str(given).startswith(JASPAR):
        return MotifDatabase(Path(given).name, read_motifs(given))
    group = str(given).removeprefix(JASPAR)
    if group not in GROUPS:
        raise ValueError(f"a group of JASPAR must be one of {', '.join(GROUPS)}, got {group!r} in {str(given)!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Biopython, on being imported
            from pyjaspar import jaspardb  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ValueError('JASPAR comes with pyjaspar: pip install "chromhub[jaspar]", or give a MEME file') from None
    database: Any = jaspardb()
    found = {}
    for motif in database.fetch_motifs(collection="CORE", tax_group=[group]):
        counts = np.array([motif.counts[base] for base in "ACGT"], np.float64)
        found[f"{motif.matrix_id} {motif.name}"] = counts / counts.sum(0)
    return MotifDatabase(f"{database.release} {group}", found)
