"""A simulated landscape with a rule from enhancers to genes, as a landscape folder.

A gene's transcription is its promoter's H3K4me3 times the sum of its enhancers' H3K27ac, each weighed by the distance:
exp(-d / SCALE). Enhancers are bins of H3K27ac away from promoters. Every window is cut from one genome.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from chromhub.datasets_scripts.contacts import rotated_rows
from chromhub.datasets_scripts.landscape import LandscapeData
from chromhub.datasets_scripts.landscape_signal import LandscapeGrid

TRACKS = ["ATAC-seq", "H3K4me3", "H3K27ac", "H3K27me3"]
GRID = LandscapeGrid(101, 100, num_bins=21, bin_size=200, fine_bin_size=20, smoothing=0)
SCALE = 1000.0  # bp
REACH = 4000  # bp within which an enhancer counts


def simulate(seed: int, chroms: dict[str, int], *, spacing: int = 6000) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """Return tracks {chrom: (4, bins)} of 100 bp, genes and enhancers (chrom, start, end, element)."""
    rng = np.random.default_rng(seed)
    tracks, genes, enhancers = {}, [], []
    for chrom, size in chroms.items():
        signal = rng.gamma(2.0, 0.05, (4, size // 100))
        for i, tss in enumerate(range(spacing, size - spacing, spacing)):
            tss += int(rng.integers(-10, 11)) * 100 + 50
            strand = "+-"[int(rng.integers(2))]
            signal[1, tss // 100] = rng.uniform(1, 3)
            start, end = (tss, tss + 600) if strand == "+" else (tss - 599, tss + 1)
            genes.append((f"{chrom}g{i}", chrom, start, end, strand, tss))
            for _ in range(int(rng.integers(1, 3))):
                place = tss // 100 + int(rng.choice([-1, 1])) * int(rng.integers(5, 30))
                signal[2, place], signal[0, place] = rng.uniform(2, 6), rng.uniform(1, 2)
                enhancers.append((chrom, 100 * place, 100 * place + 100, f"{chrom}e{len(enhancers)}"))
        tracks[chrom] = signal
    genes = pd.DataFrame(genes, columns=["gene", "chrom", "start", "end", "strand", "tss"])
    elements = pd.DataFrame(enhancers, columns=["chrom", "start", "end", "element"]).drop_duplicates(["chrom", "start"])
    return tracks, genes, elements.reset_index(drop=True)


def activity(landscape: np.ndarray) -> np.ndarray:
    """Return the rule's transcription of the central gene of each landscape, (n,)."""
    centre, reach = landscape.shape[-1] // 2, REACH // 100
    away = np.abs(np.arange(landscape.shape[-1]) - centre)
    weight = np.where((away > 3) & (away <= reach), np.exp(-away * 100 / SCALE), 0)
    strong = np.where(landscape[:, 2] > 1, landscape[:, 2], 0)
    return landscape[:, 1, centre] * (strong * weight).sum(1)


def write_landscape(
    folder: Path, *, seed: int = 0, chroms: dict[str, int] | None = None, contacts: str | None = None, targets: int = 1
) -> tuple[LandscapeData, pd.DataFrame]:
    """Write a folder with a training (a), a validation (b) and a test (c) chromosome; return it and the enhancers."""
    chroms = chroms or {"a": 120_000, "b": 60_000, "c": 60_000}
    tracks, genes, enhancers = simulate(seed, chroms)
    half = GRID.num_input_bins // 2
    windows = [
        np.pad(tracks[chrom], ((0, 0), (half, half)))[:, tss // 100 : tss // 100 + GRID.num_input_bins]
        for chrom, tss in zip(genes["chrom"], genes["tss"], strict=True)
    ]
    landscape = np.stack(windows).astype(np.float32)
    shape = np.exp(-0.5 * ((np.arange(GRID.num_bins) - GRID.num_bins // 2) / 2) ** 2)
    profile = activity(landscape)[:, None, None] * shape * (1 + np.arange(targets))[:, None]
    folder.mkdir(parents=True)
    np.save(folder / "landscape.npy", landscape)
    np.save(folder / "targets.npy", profile.astype(np.float32))
    mask = np.ones((len(genes), GRID.num_bins), bool)
    mask[0, :2] = False
    np.save(folder / "mask.npy", mask)
    described = None
    if contacts:
        map_shape = [rotated_rows(21) if contacts == "rotated" else 21, 21]
        rng = np.random.default_rng(seed + 1)
        np.save(folder / "contacts.npy", rng.normal(-3, 1, (len(genes), *map_shape)).astype(np.float32))
        described = {"file": "m.cool", "form": contacts, "bin_size": 500, "balanced": True, "shape": map_shape}
    genes.to_csv(folder / "genes.tsv", sep="\t", index=False)
    description = {
        "format": 1,
        "genome": "toy",
        "grid": asdict(GRID),
        "input_tracks": [{"name": name, "files": []} for name in TRACKS],
        "target_tracks": [{"name": f"RNA{t}", "files": []} for t in range(targets)],
        "contacts": described,
        "genes": {"read": len(genes), "kept": len(genes), "dropped": {}},
        "chrom_sizes": chroms,
        "split": {part: [chrom] for part, chrom in zip(("train", "valid", "test"), chroms, strict=True)},
        "fingerprint": f"{seed:016x}",
    }
    (folder / "landscape.json").write_text(json.dumps(description))
    return LandscapeData.open(folder), enhancers
