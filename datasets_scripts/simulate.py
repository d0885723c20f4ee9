"""A small genome with a regulatory grammar: what `chromhub demo` learns from, and the tests' source of known truth.

The grammar. Sites lie about 1 kb apart in a background of varying GC. A site is a cluster of instances, each sampled
from a real JASPAR matrix: two to five general motifs, which every cell type reads, or two to five of the motifs that
one cell type alone reads, or a decoy: one lone instance. An instance adds energy to the bases around it in the cell
types that read it,

    energy(x) = sum over instances of strength * exp(-(x - centre)^2 / (2 * 60^2)),
    openness(x) = energy^4 / (energy^4 + 1.4^4),

where strength is its score over the best score of its matrix. So motifs act together: a lone one opens a base by a
fifth at most, two perfect neighbours by four fifths. Insertions are Poisson counts per bp, at a rate that is openness
plus a flat background, scaled to the stated depth.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .atomic import check_own_folder, finished_folder
from .bigwig import write_bigwig

MOTIF_FILE = Path(__file__).with_name("demo_motifs.meme")
GENERAL_MOTIFS = ("CTCF", "SP1", "NRF1", "NFYA", "FOS::JUN")
CELL_TYPES = {
    "erythroid": ("GATA1", "TAL1::TCF3"),
    "myeloid": ("SPI1", "CEBPA"),
    "hepatocyte": ("HNF4A", "HNF1A"),
}
AGNOSTIC = "agnostic"
_TRACKS = (*CELL_TYPES, *(f"{cell}.rate" for cell in CELL_TYPES), AGNOSTIC)
SIMULATED_FILES = (
    *("genome.fa", "split.json"),
    *(f"{track}.bw" for track in _TRACKS),
    *(f"{track}.narrowPeak" for track in _TRACKS),
)
CHROM_SIZES = {"chr1": 1_000_000, "chr2": 800_000, "chr3": 200_000, "chr4": 400_000}
SPLIT = {"train": ["chr1", "chr2"], "valid": ["chr3"], "test": ["chr4"]}

SITE_SPACING = 1_000  # bp
REACH = 60  # bp: standard deviation of an instance's influence
HALF_OPEN = 1.4  # energy at which a base is half open
COOPERATIVITY = 4  # Hill coefficient
BACKGROUND_RATE = 0.02  # insertions at a closed base, relative to a wholly open one
PEAK_OPENNESS = 0.25  # a run of bases above it is a peak


@dataclass(frozen=True)
class Motif:
    """A position probability matrix.

    Attributes:
        name: the factor's name.
        matrix_id: JASPAR's identifier with its version.
        probabilities: (width, 4) float64 in order A C G T; rows sum to 1.
    """

    name: str
    matrix_id: str
    probabilities: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """(width, 4) log-odds in bits against equal bases; a base never seen counts as one in a thousand."""
        return np.log2(np.maximum(self.probabilities, 1e-3) * 4)


@dataclass(frozen=True)
class Instances:
    """The motif instances planted in one chromosome, one entry of each array per instance.

    Attributes:
        centres: (n,) float64, bp.
        motifs: (n,) names.
        strengths: (n,) float64, score over the matrix's best score.
    """

    centres: np.ndarray
    motifs: np.ndarray
    strengths: np.ndarray


def read_meme(path: str | Path) -> dict[str, Motif]:
    """Read the matrices of a MEME-format file, by name.

    Raises:
        ValueError: no motif, a matrix with a different number of rows than its `w=`, or a row that is not four numbers.
    """
    path = Path(path)
    motifs: dict[str, Motif] = {}
    for block in re.split(r"^MOTIF\s+", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        lines = block.splitlines()
        matrix_id, name = (lines[0].split() * 2)[:2]
        header = re.search(r"w=\s*(\d+)", block)
        rows = [line.split() for line in lines if re.match(r"^\s*[\d.]+(e-?\d+)?\s", line)]
        if header is None or len(rows) != int(header[1]) or any(len(row) != 4 for row in rows):
            raise ValueError(f"{path}: motif {matrix_id} must hold `w=` rows of 4 probabilities, got {len(rows)} rows")
        matrix = np.array(rows, dtype=float)
        motifs[name] = Motif(name, matrix_id, matrix / matrix.sum(axis=1, keepdims=True))
    if not motifs:
        raise ValueError(f"{path} must hold at least one MOTIF in MEME format, found none")
    return motifs


def sample_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a chromosome without sites whose GC content drifts between 35 and 55 % every 20 kb.

    Returns:
        (size,) uint8 codes, A0 C1 G2 T3.
    """
    anchors = np.arange(0, size + 20_000, 20_000)
    gc = np.interp(np.arange(size), anchors, rng.uniform(0.35, 0.55, len(anchors)))
    strong = rng.random(size) < gc
    side = rng.integers(0, 2, size, dtype=np.uint8)
    return np.where(strong, 1 + side, 3 * side).astype(np.uint8)


def plant_site(
    rng: np.random.Generator, codes: np.ndarray, *, start: int, motifs: list[Motif]
) -> Iterator[tuple[float, str, float]]:
    """Write one instance of each motif into `codes` from `start` on, 5 to 25 bp apart, on random strands.

    Yields:
        (centre, name, strength) of each instance.
    """
    for motif in motifs:
        width = len(motif.probabilities)
        word = (rng.random((width, 1)) > motif.probabilities.cumsum(axis=1)[:, :3]).sum(axis=1)
        strength = motif.scores[np.arange(width), word].sum() / motif.scores.max(axis=1).sum()
        codes[start : start + width] = word if rng.random() < 0.5 else 3 - word[::-1]
        yield start + (width - 1) / 2, motif.name, float(strength)
        start += width + int(rng.integers(5, 26))


def sample_chrom(rng: np.random.Generator, size: int, motifs: Mapping[str, Motif]) -> tuple[np.ndarray, Instances]:
    """Draw one chromosome: its sequence and the instances planted in it.

    Of the sites, 25 % hold general motifs, 15 % those of each cell type, and the rest are decoys.

    Args:
        rng: source of chance.
        size: bp.
        motifs: matrices by name.

    Returns:
        (size,) uint8 codes, and the instances.
    """
    codes = sample_background(rng, size)
    vocabularies = [GENERAL_MOTIFS, *CELL_TYPES.values()]
    planted: list[tuple[float, str, float]] = []
    for middle in range(SITE_SPACING, size - SITE_SPACING, SITE_SPACING):
        start = middle + int(rng.integers(-300, 301))
        kind = int(rng.choice(5, p=(0.25, 0.15, 0.15, 0.15, 0.30)))
        if kind == 4:
            words, count = list(motifs), 1
        else:
            words, count = list(vocabularies[kind]), int(rng.integers(2, 6))
        chosen = [motifs[words[i]] for i in rng.integers(0, len(words), count)]
        planted += plant_site(rng, codes, start=start, motifs=chosen)
    centres, names, strengths = zip(*planted, strict=True)
    return codes, Instances(np.array(centres), np.array(names), np.array(strengths))


def openness(instances: Instances, *, size: int, read_motifs: tuple[str, ...]) -> np.ndarray:
    """Return how open every base is in a cell type that reads `read_motifs`.

    Returns:
        (size,) float32 from 0 (closed) to 1 (open).
    """
    energy = np.zeros(size)
    flank = 4 * REACH
    for centre, name, strength in zip(instances.centres, instances.motifs, instances.strengths, strict=True):
        if name in read_motifs and strength > 0:
            near = np.arange(max(0, int(centre) - flank), min(size, int(centre) + flank + 1))
            energy[near] += strength * np.exp(-((near - centre) ** 2) / (2 * REACH**2))
    power = energy**COOPERATIVITY
    return (power / (power + HALF_OPEN**COOPERATIVITY)).astype(np.float32)


def call_peaks(profile: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (start, end, summit) of every run of bases above `PEAK_OPENNESS` in an openness profile (L,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], profile > PEAK_OPENNESS, [0]]).astype(np.int8)))
    return [(int(s), int(e), int(s + profile[s:e].argmax())) for s, e in edges.reshape(-1, 2)]


def simulate(
    output: str | Path,
    *,
    seed: int = 0,
    depth: float = 0.3,
    chrom_sizes: Mapping[str, int] = CHROM_SIZES,
    split: Mapping[str, list[str]] = SPLIT,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write a simulated genome and the accessibility of its three cell types; the same seed gives the same files.

    `output` gets `genome.fa`, `split.json` and, for each cell type, `<name>.bw` (insertions per bp), `<name>.rate.bw`
    (the noise-free expectation of the same) and `<name>.narrowPeak` (true summits). `agnostic.bw` is the mean of the
    first two cell types and `agnostic.narrowPeak` holds their peaks; the last cell type stays unseen there.

    Args:
        output: folder to make.
        seed: of everything drawn.
        depth: expected insertions per bp over the genome, in each cell type.
        chrom_sizes: bp of each chromosome, each at least 3 kb.
        split: what `split.json` says.
        overwrite: replace an existing folder.

    Returns:
        Number of peaks of each cell type.

    Raises:
        ValueError: a chromosome is too short to hold a site.
    """
    for name, size in chrom_sizes.items():
        if size < 3 * SITE_SPACING:
            raise ValueError(f"`chrom_sizes` must be at least {3 * SITE_SPACING} bp, got {name} of {size}")
    check_own_folder(output, overwrite, SIMULATED_FILES, marks={"split.json": '"train"'})
    motifs = read_meme(MOTIF_FILE)
    read_by = {cell: GENERAL_MOTIFS + own for cell, own in CELL_TYPES.items()}
    sequences: dict[str, np.ndarray] = {}
    rates: dict[str, dict[str, np.ndarray]] = {cell: {} for cell in CELL_TYPES}
    peaks: dict[str, list[tuple[str, int, int, int]]] = {cell: [] for cell in CELL_TYPES}
    for index, (chrom, size) in enumerate(chrom_sizes.items()):
        sequences[chrom], instances = sample_chrom(np.random.default_rng([seed, 0, index]), size, motifs)
        for cell, names in read_by.items():
            profile = openness(instances, size=size, read_motifs=names)
            rates[cell][chrom] = BACKGROUND_RATE + profile
            peaks[cell] += [(chrom, *peak) for peak in call_peaks(profile)]

    counts: dict[str, dict[str, np.ndarray]] = {}
    for index, cell in enumerate(CELL_TYPES):
        rng = np.random.default_rng([seed, 1, index])
        scale = depth * sum(chrom_sizes.values()) / sum(float(rate.sum()) for rate in rates[cell].values())
        rates[cell] = {chrom: (rate * scale).astype(np.float32) for chrom, rate in rates[cell].items()}
        counts[cell] = {chrom: rng.poisson(rate).astype(np.float32) for chrom, rate in rates[cell].items()}

    *seen, _ = CELL_TYPES
    counts[AGNOSTIC] = {c: np.stack([counts[cell][c] for cell in seen]).mean(axis=0) for c in chrom_sizes}
    peaks[AGNOSTIC] = sorted(peak for cell in seen for peak in peaks[cell])

    with finished_folder(output, overwrite=overwrite) as folder:
        with (folder / "genome.fa").open("w", encoding="utf-8") as fasta:
            for chrom, codes in sequences.items():
                text = np.frombuffer(b"ACGT", np.uint8)[codes].tobytes().decode()
                fasta.write(f">{chrom}\n" + "".join(text[i : i + 60] + "\n" for i in range(0, len(text), 60)))
        (folder / "split.json").write_text(json.dumps(dict(split), indent=2) + "\n", encoding="utf-8")
        tracks = counts | {f"{cell}.rate": by_chrom for cell, by_chrom in rates.items()}
        for name, by_chrom in tracks.items():
            chunks = ((chrom, 0, values) for chrom, values in by_chrom.items())
            write_bigwig(folder / f"{name}.bw", dict(chrom_sizes), chunks, bin_size=1)
        for name, rows in peaks.items():
            lines = (f"{c}\t{s}\t{e}\t{name}_{i}\t0\t.\t0\t-1\t-1\t{p - s}\n" for i, (c, s, e, p) in enumerate(rows, 1))
            (folder / f"{name}.narrowPeak").write_text("".join(lines), encoding="utf-8")
    return {cell: len(peaks[cell]) for cell in CELL_TYPES}
