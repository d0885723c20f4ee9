"""A landscape folder: tracks, contact maps and targets around start sites, as flat arrays.

landscape.json    the bins, the tracks, where everything came from, the split, the fingerprint
genes.tsv         one gene a row: gene, chrom, start, end, strand, tss
landscape.npy     (n, R, P) float32, raw signal of R tracks in P bins
targets.npy       (n, T, N) float32, raw signal of T tracks in N bins
mask.npy          (n, N) bool, False for bins past a chromosome's end
contacts.npy      (n, rows, positions) float32, log10 of contacts, where there are any
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from .atomic import heal
from .chrom_names import chrom_key
from .folds import PARTS, Part, Split
from .landscape_signal import LandscapeGrid
from .plain_files import PlainRecord, check_regular, read_json

DESCRIPTION = "landscape.json"
FORMAT = 1
_COLUMNS = ("gene", "chrom", "start", "end", "strand", "tss")  # of genes.tsv
_GENE_TYPES: Any = {"gene": str, "chrom": str, "strand": str}  # a gene may be called NAN, or NA


def is_landscape(path: str | Path) -> bool:
    """Tell whether a path is a folder that `chromhub data build-landscape` made."""
    return (Path(path).expanduser() / DESCRIPTION).is_file()


class _Named(PlainRecord):
    name: str


class _Contacts(PlainRecord):
    form: Literal["rotated", "square"]
    shape: list[int] = Field(min_length=2, max_length=2)


class LandscapeRecord(PlainRecord):
    """What landscape.json must hold; the grid and the split check themselves."""

    genome: str
    grid: dict[str, int | float | str]
    input_tracks: list[_Named] = Field(min_length=1)
    target_tracks: list[_Named] = Field(min_length=1)
    contacts: _Contacts | None
    chrom_sizes: dict[str, int]
    split: dict[str, list[str]]
    fingerprint: str


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
        heal(folder)
        if not is_landscape(folder):
            raise FileNotFoundError(f"{path} is no landscape folder; make one with `chromhub data build-landscape`")
        try:
            description = read_json(folder / DESCRIPTION, remedy="build it again")
            if description.get("format") != FORMAT:
                raise ValueError(f"{path} has format {description.get('format')}, this chromhub reads {FORMAT}")
            LandscapeRecord.check(description, str(folder / DESCRIPTION), remedy="build it again")
            grid = LandscapeGrid(**description["grid"])
            Split(**{part: tuple(description["split"][part]) for part in PARTS}, name=str(path))
            genes = pd.read_csv(folder / "genes.tsv", sep="\t", dtype=_GENE_TYPES, keep_default_na=False)
            names = ["landscape", "targets", "mask", *(["contacts"] if description["contacts"] else [])]
            for name in names:
                check_regular(folder / f"{name}.npy")
            arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
        except (KeyError, TypeError, OSError, EOFError) as error:
            raise ValueError(f"{path} is damaged ({error}); build it again") from error
        if missing := [column for column in _COLUMNS if column not in genes]:
            raise ValueError(f"{path} is damaged: genes.tsv lacks the column {missing[0]}; build it again")
        if any(np.ndim(array) == 0 or len(array) != len(genes) for array in arrays):
            raise ValueError(f"{path} is damaged: its arrays differ in length; build it again")
        shapes = [
            (len(description["input_tracks"]), grid.num_input_bins),
            (len(description["target_tracks"]), grid.num_bins),
            (grid.num_bins,),
            tuple(description["contacts"]["shape"] if description["contacts"] else ()),
        ]
        for name, array, shape in zip(names, arrays, shapes, strict=False):
            kind = np.dtype(bool if name == "mask" else np.float32)
            if array.dtype != kind or array.shape[1:] != shape:
                raise ValueError(
                    f"{path} is damaged: {name}.npy must hold {kind} of {shape} a gene, got {array.dtype} of "
                    f"{array.shape[1:]}; build it again"
                )
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
        return {chrom: f"{chrom_key(chrom)}, {size} bp" for chrom, size in self.chrom_sizes.items()}

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
