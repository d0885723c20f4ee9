"""A landscape folder: tracks, contact maps and targets around start sites, as flat arrays.

landscape.json    the bins, the tracks, where everything came from, the split, the fingerprint
genes.tsv         one gene a row: gene, chrom, start, end, strand, tss
landscape.npy     (n, R, P) float32, raw signal of R tracks in P bins
targets.npy       (n, T, N) float32, raw signal of T tracks in N bins
mask.npy          (n, N) bool, False for bins past a chromosome's end
contacts.npy      (n, rows, positions) float32, log10 of contacts, where there are any
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .folds import PARTS, Part, Split
from .landscape_signal import LandscapeGrid

DESCRIPTION = "landscape.json"
FORMAT = 1


def is_landscape(path: str | Path) -> bool:
    """Tell whether a path is a folder that `chromhub data build-landscape` made."""
    return (Path(path).expanduser() / DESCRIPTION).is_file()


@dataclass(frozen=True)
class LandscapeData:
    """An opened landscape folder; its arrays are mapped, not read.

    Args:
        path: the folder.
        description: landscape.json.
        genes: genes.tsv, sorted by chromosome and start site.
        landscapes: (n, R, P) float32.
        targets: (n, T, N) float32.
        mask: (n, N) bool.
        contacts: (n, rows, positions) float32, or None.
    """

    path: Path
    description: dict[str, Any]
    genes: pd.DataFrame
    landscapes: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    contacts: np.ndarray | None

    @classmethod
    def open(cls, path: str | Path) -> "LandscapeData":
        """Open a folder.

        Raises:
            FileNotFoundError: no such folder, or one of another kind.
            ValueError: a damaged folder, or one of a later chromhub.
        """
        folder = Path(path).expanduser()
        if not is_landscape(folder):
            raise FileNotFoundError(f"{path} is no landscape folder; make one with `chromhub data build-landscape`")
        try:
            description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            if description["format"] != FORMAT:
                raise ValueError(f"{path} has format {description['format']}, this chromhub reads {FORMAT}")
            genes = pd.read_csv(folder / "genes.tsv", sep="\t", dtype={"gene": str, "chrom": str, "strand": str})
            names = ["landscape", "targets", "mask", *(["contacts"] if description["contacts"] else [])]
            arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
        except (KeyError, OSError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is damaged ({error}); build it again") from error
        if any(len(array) != len(genes) for array in arrays):
            raise ValueError(f"{path} is damaged: its arrays differ in length; build it again")
        landscapes, targets, mask, *contacts = arrays
        return cls(folder, description, genes, landscapes, targets, mask, contacts[0] if contacts else None)

    @property
    def grid(self) -> LandscapeGrid:
        """The bins."""
        return LandscapeGrid(**self.description["grid"])

    @property
    def genome(self) -> str:
        """Name of the assembly, or ""."""
        return self.description["genome"]

    @property
    def assay(self) -> str:
        """Landscapes do not say it; their tracks have the assay's name."""
        return ""

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Bp of each chromosome."""
        return self.description["chrom_sizes"]

    @property
    def chrom_digests(self) -> dict[str, str]:
        """What tells a chromosome where no sequence was read and no assembly was named: its name and its length."""
        return {chrom: f"{chrom.removeprefix('chr')}, {size} bp" for chrom, size in self.chrom_sizes.items()}

    @property
    def bin_size(self) -> int:
        """Bp of a predicted bin."""
        return self.grid.bin_size

    @property
    def summary(self) -> str:
        """Bins hold means."""
        return "mean"

    @property
    def input_tracks(self) -> list[str]:
        """Names of the landscape's rows."""
        return [track["name"] for track in self.description["input_tracks"]]

    @property
    def track_names(self) -> list[str]:
        """Names of the targets."""
        return [track["name"] for track in self.description["target_tracks"]]

    @property
    def contact_form(self) -> str | None:
        """How contact maps lie: "rotated" or "square"; None without."""
        return self.description["contacts"]["form"] if self.description["contacts"] else None

    @property
    def split(self) -> Split:
        """Training, validation and test chromosomes."""
        return Split(**{part: tuple(self.description["split"][part]) for part in PARTS}, name=str(self.path))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when any of the content does."""
        return self.description["fingerprint"]

    def rows(self, part: Part) -> np.ndarray:
        """Return the rows of the genes whose start site lies in a part of the split, (n,) int64."""
        sites = self.genes[["chrom"]].assign(start=self.genes["tss"], end=self.genes["tss"] + 1, row=self.genes.index)
        return self.split.select(sites, part, self.chrom_sizes)["row"].to_numpy(np.int64)

    def windows(self, rows: np.ndarray) -> pd.DataFrame:
        """Return what the targets of `rows` cover, cut at the chromosomes' ends: columns chrom, start, end."""
        genes, grid = self.genes.iloc[rows], self.grid
        starts = genes["tss"].to_numpy() + grid.target_start
        sizes = np.array([self.chrom_sizes[chrom] for chrom in genes["chrom"]])
        ends = np.minimum(starts + grid.num_bins * grid.bin_size, sizes)
        return pd.DataFrame({"chrom": genes["chrom"].to_numpy(), "start": np.maximum(starts, 0), "end": ends})
