"""What a store and its exported shards have in common: the genome, the grid, the tracks and the split."""

from typing import Protocol

from .folds import Split


class Described(Protocol):
    """Data that a model can be trained on; enough for its head and its provenance.

    `GenomeStore` and `Shards` both are.
    """

    @property
    def genome(self) -> str:
        """Name of the assembly, or ""."""
        ...

    @property
    def assay(self) -> str:
        """What the tracks measure, or ""."""
        ...

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Bp of each chromosome."""
        ...

    @property
    def chrom_digests(self) -> dict[str, str]:
        """First 16 hex digits of the SHA-256 of each chromosome's codes."""
        ...

    @property
    def bin_size(self) -> int:
        """Bp per bin."""
        ...

    @property
    def summary(self) -> str:
        """How the bases of a bin make its value: "max", "mean" or "sum"."""
        ...

    @property
    def track_names(self) -> list[str]:
        """Of the tracks, in the order of the signal's axis T."""
        ...

    @property
    def split(self) -> Split:
        """Training, validation and test intervals."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when any of the content does."""
        ...
