"""Motifs in MEME format, as probabilities of the bases at each position."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..datasets_scripts.atomic import finished_file

_MATRIX = re.compile(r"^letter-probability matrix:(.*)$", re.MULTILINE)


def read_motifs(path: str | Path) -> dict[str, np.ndarray]:
    """Read the letter-probability matrices of a file; log-odds matrices beside them are passed over.

    Args:
        path: MEME format, version 4 or later.

    Returns:
        (4, length) float64 probabilities in the order A, C, G, T, by the motif's names ("MA0139.1 CTCF").

    Raises:
        ValueError: no motif, two of one name, or a matrix that is damaged.
    """
    path = Path(path)
    motifs: dict[str, np.ndarray] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text, but motifs in MEME format are wanted") from None
    for block in re.split(r"^MOTIF\s+", text, flags=re.MULTILINE)[1:]:
        name = " ".join(block.split("\n", 1)[0].split())
        header = _MATRIX.search(block)
        width = re.search(r"\bw=\s*(\d+)", header[1]) if header else None
        if header is None or width is None:
            raise ValueError(f"{path}: motif {name} must have a letter-probability matrix with its width, `w=`")
        rows = block[header.end() :].lstrip("\r\n").splitlines()[: int(width[1])]
        try:
            matrix = np.array([[float(cell) for cell in row.split()] for row in rows])
        except ValueError:
            matrix = np.zeros(0)
        if matrix.shape != (int(width[1]), 4) or (matrix < 0).any() or not np.allclose(matrix.sum(1), 1, atol=0.02):
            raise ValueError(f"{path}: motif {name} must have {width[1]} rows of 4 probabilities that sum to 1")
        if name in motifs:
            raise ValueError(f"{path}: two motifs are named {name}; rename one")
        motifs[name] = (matrix / matrix.sum(1, keepdims=True)).T
    if not motifs:
        raise ValueError(f"{path} must hold at least one MOTIF in MEME format, found none")
    return motifs


def write_motifs(path: str | Path, motifs: Mapping[str, np.ndarray], *, overwrite: bool = False) -> None:
    """Write (4, length) probabilities in MEME format, by name."""
    lines = ["MEME version 4", "", "ALPHABET= ACGT", "", "strands: + -", ""]
    for name, matrix in motifs.items():
        lines += [f"MOTIF {name}", f"letter-probability matrix: alength= 4 w= {matrix.shape[1]}"]
        lines += [" ".join(f"{value:.6f}" for value in row) for row in matrix.T]
        lines.append("")
    with finished_file(path, overwrite) as partial:
        partial.write_text("\n".join(lines), encoding="utf-8")


def consensus(matrix: np.ndarray) -> str:
    """Return the likeliest base at each position of (4, length)."""
    return "".join("ACGT"[base] for base in matrix.argmax(axis=0))


def informative_consensus(matrix: np.ndarray, *, bits: float = 0.3) -> str:
    """Return the consensus with n for positions of less information than `bits`, none of them at the ends."""
    told = information(matrix).sum(axis=0) >= bits
    return "".join(base if known else "n" for base, known in zip(consensus(matrix), told, strict=True)).strip("n")


def information(matrix: np.ndarray) -> np.ndarray:
    """Return the heights of a logo in bits, (4, length): probability times (2 - entropy)."""
    entropy = -(matrix * np.log2(np.where(matrix > 0, matrix, 1))).sum(axis=0)
    return matrix * (2 - entropy)
