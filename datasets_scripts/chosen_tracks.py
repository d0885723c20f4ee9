"""Some tracks of a store, seen as a store of these alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

from .store import GenomeStore


class ChosenTracks(GenomeStore):
    """A store of which only some tracks are seen, in a given order; bases, peaks, masks and split are the store's.

    It shares the arrays of the store it was made from. Sent to another process, it is opened there anew.
    """

    @classmethod
    def of(cls, store: GenomeStore, tracks: Sequence[str]) -> "ChosenTracks":
        """Choose tracks of a store.

        Args:
            store: where from.
            tracks: their names, in the order wanted.

        Raises:
            ValueError: none, an unknown name, or one that comes twice.
        """
        names = list(tracks)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`tracks` must be one or more different names, got {names}")
        entries = {entry["name"]: entry for entry in store.description["tracks"]}
        for name in names:
            store.track_metadata(name)  # refuses an unknown one
        chosen = cls.__new__(cls)
        chosen.__dict__.update({k: v for k, v in store.__dict__.items() if k not in ("has_masks", "_unmeasured_runs")})
        chosen.description = store.description | {"tracks": [entries[name] for name in names]}
        chosen._tracks = [store._tracks[store.track_names.index(name)] for name in names]
        chosen.track_names = names
        chosen._windows = {}
        return chosen

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _reopen, (self.path, self._in_memory, self.track_names)


def _reopen(path: Path, in_memory: bool | None, tracks: list[str]) -> ChosenTracks:
    return ChosenTracks.of(GenomeStore.open(path, in_memory=in_memory), tracks)
