"""What a checkpoint has seen, and the refusal to test it on that.

`provenance.json` lies beside the weights. It holds the intervals that the model was trained on and those that chose it
(validation), with a digest of each chromosome's sequence, and inside it the same of the model it started from.
"""

import json
import platform
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from ..datasets_scripts.chrom_names import chrom_key
from ..datasets_scripts.described import Described
from ..datasets_scripts.folds import Part
from .model_folder import RECORD as FILE_NAME
from .model_folder import fetch, open_model
from .names import ADAPTER_CONFIG, resolve

UNRECORDED = "not recorded"
_LIBRARIES = ("chromhub", "torch", "transformers", "peft", "numpy")
_NUM_NAMED = 5  # leaks that an error names


@dataclass(frozen=True)
class SeenChrom:
    """Intervals of one chromosome.

    Attributes:
        chrom: its name in the store.
        digest: of its sequence; the same in every store with this chromosome, whatever it is called there.
        intervals: (start, end) in bp, 0-based half-open.
        size: of the whole chromosome in bp; 0 where it was not recorded.
    """

    chrom: str
    digest: str
    intervals: tuple[tuple[int, int], ...]
    size: int = field(default=0, compare=False)


def record_text(record: dict[str, Any]) -> str:
    """Return a record as JSON, an interval a line: there may be tens of thousands."""
    text = json.dumps(record, indent=1, allow_nan=False)
    return re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text) + "\n"


@dataclass(frozen=True)
class Provenance:
    """Where a checkpoint comes from.

    Attributes:
        base_model: folder or Hub id that training started from; None from scratch.
        genome: assembly name, or "".
        trained_on: intervals of the training part.
        selected_on: intervals of the validation part, which chose the checkpoint.
        tracks: names of the tracks.
        seed: of the run.
        mode: scratch, full, two-stage, lora or head; "not recorded" of an adapter that came without a record.
        recipe: the whole recipe as plain values.
        versions: of Python and the libraries.
        data_fingerprint: of the store.
        base: the same of `base_model`; None from scratch, or where the base came without.
        assay: what the tracks measure, as the data said; "" where they did not.
        merged_from: folder or Hub id of the adapter that was merged into its base to make this model.
        base_digest: of the weights of `base_model` that training started from (`adapter_base.weights_digest`).
    """

    base_model: str | None
    genome: str
    trained_on: tuple[SeenChrom, ...]
    selected_on: tuple[SeenChrom, ...]
    tracks: tuple[str, ...]
    seed: int
    mode: str
    data_fingerprint: str
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    base: "Provenance | None" = None
    merged_from: str | None = None
    base_digest: str | None = None
    assay: str = ""

    @property
    def is_complete(self) -> bool:
        """Tell whether every model of the chain left a record."""
        links = list(self.chain())
        return links[-1].base_model is None and all(link.mode != UNRECORDED for link in links)

    def chain(self) -> "Iterator[Provenance]":
        """Yield this provenance, that of its base, and so on to the first model."""
        link: Provenance | None = self
        while link is not None:
            yield link
            link = link.base

    def seen(self, *, selection: bool = True) -> list[tuple[str, SeenChrom]]:
        """Return what this model and every model before it saw, as (assembly name, intervals of a chromosome).

        Args:
            selection: with the intervals that chose a checkpoint, not only those it was trained on.
        """
        return [
            (link.genome, chrom)
            for link in self.chain()
            for chrom in (*link.trained_on, *(link.selected_on if selection else ()))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)

    def save(self, folder: str | Path) -> None:
        """Write `provenance.json` into a folder."""
        (Path(folder) / FILE_NAME).write_text(record_text(self.to_dict()), encoding="utf-8")

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: str = FILE_NAME) -> "Provenance":
        """Read what `to_dict` returned; keys that this version does not know are passed over.

        Args:
            values: plain values.
            where: name for errors.

        Raises:
            ValueError: a key is missing or does not hold what it must.
        """
        try:
            known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
            for part in ("trained_on", "selected_on"):
                known[part] = tuple(
                    SeenChrom(
                        chrom["chrom"],
                        chrom["digest"],
                        tuple((int(s), int(e)) for s, e in chrom["intervals"]),
                        int(chrom.get("size", 0)),
                    )
                    for chrom in known[part]
                )
            known["tracks"] = tuple(known["tracks"])
            if known.get("base") is not None:
                known["base"] = cls.from_dict(known["base"], where=where)
            return cls(**known)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{where} does not say what the model has seen: {type(error).__name__} {error}; "
                "restore the file that training wrote"
            ) from None

    @classmethod
    def load(cls, folder: str | Path) -> "Provenance | None":
        """Read a folder's `provenance.json`; None where there is none.

        Raises:
            ValueError: the file is no JSON, or incomplete.
        """
        path = Path(folder).expanduser() / FILE_NAME
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON ({error}); restore the file that training wrote") from None
        return cls.from_dict(values, where=str(path))


def find_provenance(name: str | Path, *, revision: str | None = None) -> Provenance | None:
    """Return the provenance of a folder or Hub id; None where the model came without.

    An adapter's folder without one, as plain PEFT writes it, still has what its base has seen.

    Raises:
        ValueError: the file is damaged.
        OSError: the Hub could not be asked and its answer is not in the cache.
    """
    place = resolve(name)
    if place.folder is not None:
        return Provenance.load(place.folder) or _of_adapter(place.folder)
    name = place.name
    if try_to_load_from_cache(name, FILE_NAME, revision=revision) is _CACHED_NO_EXIST:
        return None
    try:
        fetch(name, revision)  # ends at once where there is no network
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OSError(f"what {name} was trained on is not known: {error}") from None
    try:
        return Provenance.load(Path(hf_hub_download(name, FILE_NAME, revision=revision)).parent)
    except LocalEntryNotFoundError:
        raise OSError(
            f"what {name} was trained on is not known: its {FILE_NAME} is not in the cache and the Hub cannot be "
            "reached; try again online"
        ) from None
    except EntryNotFoundError:
        return None


def _of_adapter(folder: Path) -> Provenance | None:
    """Return what is known of an adapter without a record, by its base."""
    if not (folder / ADAPTER_CONFIG).exists():
        return None
    base = open_model(folder, weights=False).base_name  # which refuses a chain of bases without an end
    seen = find_provenance(base) if base else None
    return seen and Provenance(base, "", (), (), (), seed=0, mode=UNRECORDED, data_fingerprint="", base=seen)


def library_versions() -> dict[str, str]:
    """Return the versions that belong in a provenance or a result."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}}


def part_intervals(store: Described, part: Part) -> tuple[SeenChrom, ...]:
    """Return a part of a store's split ("train", "valid" or "test") as a provenance keeps it."""
    table = store.split.intervals(part, store.chrom_sizes)
    chroms = {str(chrom): rows for chrom, rows in table.groupby("chrom", sort=False)}
    return tuple(
        SeenChrom(
            chrom,
            store.chrom_digests[chrom],
            tuple(_join(zip(rows["start"], rows["end"], strict=True))),
            store.chrom_sizes[chrom],
        )
        for chrom, rows in chroms.items()
    )


def find_leak(provenance: Provenance, store: Described, part: Part) -> list[str]:
    """Return where a part of a store overlaps what a model has seen.

    Two chromosomes are the same if their sequences are, or if their names and the names of their assemblies are
    ("chr1" and "1" are one name). For the parts "train" and "test", "seen" is trained on or selected on, by this model
    or any before it; for "valid" only trained on, since a run's own validation part always chose it.

    Returns:
        Overlaps as "chrom:start-end", 0-based half-open, joined and sorted, in the order of the part.
    """
    return _overlaps(provenance, store, part, _same_chrom)


def find_untold(provenance: Provenance, store: Described, part: Part) -> list[str]:
    """Return where it cannot be told whether a part of a store overlaps what a model has seen.

    That is where a chromosome of the same name and length, of an assembly without a name or with another one, has
    other bases: it may be the same chromosome with one base changed, or another assembly's.

    Returns:
        As `find_leak`.
    """
    return _overlaps(provenance, store, part, _maybe_same_chrom)


def leak_record(provenance: Provenance | None, store: Described, part: Part, *, allowed: bool) -> dict[str, Any]:
    """Return what metrics.json says of a leak.

    Args:
        provenance: of the model; None where it came without.
        store: the data.
        part: of it.
        allowed: the user goes on whatever there is.

    Returns:
        `checked` (False where the model, or one it started from, came without provenance, or where it cannot be told),
        `allowed`, `overlaps`, and `unchecked` with the intervals of which it cannot be told, where there are some.
    """
    untold = find_untold(provenance, store, part) if provenance else []
    return {
        "checked": provenance is not None and provenance.is_complete and not untold,
        "allowed": allowed,
        "overlaps": find_leak(provenance, store, part) if provenance else [],
        **({"unchecked": untold} if untold else {}),
    }


def refuse_leak(provenance: Provenance, store: Described, part: Part) -> None:
    """Raise if a model has seen a part of a store.

    Raises:
        ValueError: it has; the message names the intervals.
    """
    leaks = find_leak(provenance, store, part)
    if leaks:
        more = f" and {len(leaks) - _NUM_NAMED} more" if len(leaks) > _NUM_NAMED else ""
        raise ValueError(
            f"the {part} part of the data overlaps what the model, or a model it started from, was trained or selected "
            f"on: {', '.join(leaks[:_NUM_NAMED])}{more}; choose another split, or give --allow-leak to go on"
        )


def _overlaps(
    provenance: Provenance, store: Described, part: Part, same: Callable[[SeenChrom, SeenChrom, str, str], bool]
) -> list[str]:
    """Return where a part of a store overlaps what a model has seen of chromosomes that are the same by some rule."""
    seen = provenance.seen(selection=part != "valid")
    found = []
    for here in part_intervals(store, part):
        overlaps = [
            (max(start, seen_start), min(end, seen_end))
            for genome, there in seen
            if same(here, there, store.genome, genome)
            for start, end in here.intervals
            for seen_start, seen_end in there.intervals
            if max(start, seen_start) < min(end, seen_end)
        ]
        found += [f"{here.chrom}:{start}-{end}" for start, end in _join(overlaps)]
    return found


def _same_chrom(here: SeenChrom, there: SeenChrom, genome: str, seen_genome: str) -> bool:
    if here.digest and here.digest == there.digest:
        return True
    return bool(genome) and genome.lower() == seen_genome.lower() and _bare(here) == _bare(there)


def _maybe_same_chrom(here: SeenChrom, there: SeenChrom, genome: str, seen_genome: str) -> bool:
    """Tell whether two chromosomes may be one although neither digests nor assemblies say so."""
    if _same_chrom(here, there, genome, seen_genome) or _bare(here) != _bare(there):
        return False
    if there.size:
        return here.size == there.size
    fits = all(end <= here.size for _, end in there.intervals)
    return fits and not (genome and seen_genome)  # an older record


def _bare(chrom: SeenChrom) -> str:
    return chrom_key(chrom.chrom)


def _join(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return intervals sorted, with those that touch or overlap made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((int(start), int(end)) for start, end in intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
