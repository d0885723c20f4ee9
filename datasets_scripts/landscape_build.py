"""bigWig tracks, a contact map and genes -> a landscape folder."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from .atomic import check_own_folder, finished_folder, making
from .bigwig import BigWig
from .chrom_names import check_sizes, lost_rows, match_chroms, shown
from .contacts import CoolFile, log_contacts, rotate_and_crop, rotated_rows
from .folds import PARTS, Split
from .genes import read_genes
from .landscape import DESCRIPTION, FORMAT, LandscapeData
from .landscape_signal import LandscapeGrid, fine_layout, target_bins, window_means
from .row_file import RowFile

ContactForm = Literal["rotated", "square"]
Progress = Callable[[str, int, int], None]
_BATCH = 256  # genes at a time
_FILES = (DESCRIPTION, "genes.tsv", "landscape.npy", "targets.npy", "mask.npy", "contacts.npy")
_MARKS = {DESCRIPTION: '"input_tracks"'}


@dataclass(frozen=True)
class LandscapeInputs:
    """What a landscape folder is made from.

    Args:
        tracks: bigWigs of each input track, summed, in the order of the landscape's rows.
        targets: likewise of each target track; strands of RNA-seq are summed.
        genes: GTF, GFF3 or BED.
        gene_type: of a GTF or GFF3, as protein_coding; None takes all.
        grid: the bins.
        contacts: .cool or FILE::GROUP of a .mcool; None has no contact map.
        contact_form: "rotated" as CLASTER reads Micro-C, or "square" as it reads promoter-capture Hi-C.
        contact_bins: rows of the square map; None takes what the landscape spans, 626 of 1,600 bp in the source.
        balanced: multiply contacts by their weights.
        split: a JSON file, or None with
        valid: chromosomes of the validation part and
        test: of the test part; all others train.
        clip: larger values of a bin become this; None keeps them.
        edges: "pad" with zeros what lies off a chromosome, or "drop" genes whose landscape does.
        chroms: only these.
        genome: name of the assembly, for the record.
    """

    tracks: Mapping[str, tuple[Path, ...]]
    targets: Mapping[str, tuple[Path, ...]]
    genes: Path
    gene_type: str | None = None
    grid: LandscapeGrid = field(default_factory=LandscapeGrid)
    contacts: str | None = None
    contact_form: ContactForm = "rotated"
    contact_bins: int | None = None
    balanced: bool = True
    split: Path | None = None
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    clip: float | None = None
    edges: Literal["pad", "drop"] = "pad"
    chroms: tuple[str, ...] | None = None
    genome: str = ""


def build_landscape(
    inputs: LandscapeInputs, output: str | Path, *, overwrite: bool = False, on_progress: Progress | None = None
) -> LandscapeData:
    """Make a landscape folder; it appears when it is complete.

    Args:
        inputs: what from.
        output: the folder.
        overwrite: replace an existing one.
        on_progress: told the stage, how many genes are done, and of how many.

    Raises:
        FileNotFoundError: an input does not exist.
        FileExistsError: `output` exists.
        ValueError: an input is damaged, or they have no gene in common.
    """
    read = [path for group in (inputs.tracks, inputs.targets) for paths in group.values() for path in paths]
    read += [inputs.genes, *([inputs.split] if inputs.split else []), *_cool_file(inputs.contacts)]
    others = "files that are no landscape"
    check_own_folder(output, overwrite, _FILES, others=others, marks=_MARKS, inputs=read)
    if inputs.clip is not None and not 0 < inputs.clip < math.inf:
        raise ValueError(f"--clip must be a finite number above 0, got {inputs.clip}")
    with making(output, overwrite):
        return _build(inputs, Path(output), overwrite, on_progress)


def _build(inputs: LandscapeInputs, output: Path, overwrite: bool, on_progress: Progress | None) -> LandscapeData:
    """Make a landscape folder whose lock is held."""
    if not inputs.tracks or not inputs.targets:
        raise ValueError("a landscape needs at least one --track to read and one --target to predict")
    files = {
        path: BigWig(path) for group in (inputs.tracks, inputs.targets) for paths in group.values() for path in paths
    }
    cool = CoolFile(inputs.contacts, balanced=inputs.balanced) if inputs.contacts else None
    genes, dropped = read_genes(inputs.genes, gene_type=inputs.gene_type)
    num_read = len(genes) + sum(dropped.values())
    names = _names(genes, files, cool, inputs)
    reference = files[next(iter(inputs.tracks.values()))[0]]
    sizes = {chrom: reference.chrom_sizes[there[reference.path]] for chrom, there in names.items()}
    genes, lost = _placed(genes, sizes, inputs)
    split = _split(inputs, sizes)
    report: dict[str, Any] = {"read": num_read, "kept": len(genes), "dropped": {**dropped, **lost}}
    if text := lost_rows(
        str(inputs.genes),
        kept=len(genes),
        read=len(genes) + sum(lost.values()),
        unit="genes",
        lost=[f"{number:,} {why}" for why, number in lost.items()],
    ):
        report["warnings"] = [f"{text} chromosomes that every input has: {shown(sizes)}"]
    tell = on_progress or (lambda stage, done, total: None)
    with finished_folder(output, overwrite, is_held=True) as folder:
        below = _write_signal(inputs, genes, files, names, sizes, folder, tell)
        contacts = _write_contacts(inputs, cool, genes, names, folder, tell) if cool else None
        genes.to_csv(folder / "genes.tsv", sep="\t", index=False)
        description = {
            "format": FORMAT,
            "genome": inputs.genome,
            "grid": asdict(inputs.grid),
            "input_tracks": _described(inputs.tracks),
            "target_tracks": _described(inputs.targets),
            "contacts": contacts,
            "clip": inputs.clip,
            "edges": inputs.edges,
            "genes": {"file": inputs.genes.name, "gene_type": inputs.gene_type, **report},
            "bins_below_zero": below,
            "chrom_sizes": sizes,
            "split": {part: list(getattr(split, part)) for part in PARTS},
        }
        description["fingerprint"] = _fingerprint(folder, description)
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return LandscapeData.open(output)


def _cool_file(contacts: str | None) -> list[Path]:
    """Return the file of FILE or FILE::GROUP."""
    return [Path(contacts.partition("::")[0])] if contacts else []


def _names(
    genes: pd.DataFrame, files: Mapping[Path, BigWig], cool: CoolFile | None, inputs: LandscapeInputs
) -> dict[str, dict[Path, str]]:
    """Return each gene's chromosome's name in each file, for chromosomes that all of them have."""
    chroms = list(dict.fromkeys(genes["chrom"]))
    if inputs.chroms is not None:
        wanted = match_chroms(inputs.chroms, chroms, what=f"--chroms with {inputs.genes}")
        if missing := [chrom for chrom in inputs.chroms if chrom not in wanted]:
            raise ValueError(f"--chroms names {shown(missing)}, which {inputs.genes} lacks: it has {shown(chroms)}")
        chroms = [chrom for chrom in chroms if chrom in wanted.values()]
    there = {
        path: (match_chroms(chroms, file.chrom_sizes, what=f"{inputs.genes} with {path}"))
        for path, file in files.items()
    }
    if cool is not None:
        there[cool.path] = match_chroms(chroms, cool.chrom_sizes, what=f"{inputs.genes} with {cool.path}")
    common = {
        c: {path: pairs[c] for path, pairs in there.items()} for c in chroms if all(c in p for p in there.values())
    }
    if not common:
        raise ValueError(f"no chromosome of {inputs.genes} is in every track; give tracks of one genome")
    first = next(iter(files.values()))
    sizes = {chrom: first.chrom_sizes[there[first.path][chrom]] for chrom in common}
    for path, file in (*files.items(), *([(cool.path, cool)] if cool is not None else [])):
        pairs = {name: chrom for chrom, name in there[path].items() if chrom in common}
        remedy = "give files of one genome"
        check_sizes(file.chrom_sizes, pairs, sizes, used=sizes, what=str(path), other=str(first.path), remedy=remedy)
    return common


def _placed(genes: pd.DataFrame, sizes: dict[str, int], inputs: LandscapeInputs) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the genes that can be read, sorted, and how many cannot by reason."""
    chroms, tss = genes["chrom"].to_numpy(), genes["tss"].to_numpy()
    ends = np.array([sizes.get(chrom, 0) for chrom in chroms], np.int64)
    inside = tss < ends
    lost = {
        "chromosome not in every input, or not chosen": int((ends == 0).sum()),
        "start site past its chromosome's end": int((~inside & (ends > 0)).sum()),
    }
    if inputs.edges == "drop":
        reach = inputs.grid.num_input_bins * inputs.grid.input_bin_size // 2
        within = (tss >= reach) & (tss + reach <= ends)
        lost["landscape runs off its chromosome"] = int((inside & ~within).sum())
        inside &= within
    if not inside.any():
        raise ValueError(
            f"no gene of {inputs.genes} is left: {', '.join(f'{n} {why}' for why, n in lost.items() if n)}"
        )
    rank = {chrom: i for i, chrom in enumerate(sizes)}
    here = np.flatnonzero(inside)
    order = np.lexsort((tss[here], np.array([rank[chrom] for chrom in chroms[here]])))
    kept: pd.DataFrame = genes.take(here[order]).reset_index(drop=True)
    return kept, {why: number for why, number in lost.items() if number}


def _split(inputs: LandscapeInputs, sizes: dict[str, int]) -> Split:
    if inputs.split is not None:
        if inputs.valid or inputs.test:
            raise ValueError("--split names every part; leave out --valid and --test")
        return Split.from_json(inputs.split).placed_on(sizes)
    held = Split((), inputs.valid, inputs.test, name="--valid and --test").placed_on(sizes)
    out = {*held.valid, *held.test}
    return Split(tuple(chrom for chrom in sizes if chrom not in out), held.valid, held.test)


def _write_signal(
    inputs: LandscapeInputs,
    genes: pd.DataFrame,
    files: Mapping[Path, BigWig],
    names: Mapping[str, Mapping[Path, str]],
    sizes: Mapping[str, int],
    folder: Path,
    tell: Progress,
) -> dict[str, int]:
    """Write landscape.npy, targets.npy and mask.npy; return how many bins of each track were below 0."""
    grid, n = inputs.grid, len(genes)
    shapes = (n, len(inputs.tracks), grid.num_input_bins), (n, len(inputs.targets), grid.num_bins)
    below = dict.fromkeys([*inputs.tracks, *inputs.targets], 0)
    reach = (grid.num_input_bins * grid.input_bin_size) // 2
    fine_start, _, num_fine = fine_layout(grid)

    def means(
        name: str, paths: tuple[Path, ...], chrom: str, starts: np.ndarray, bins: int, bin_size: int
    ) -> np.ndarray:
        options = {"size": sizes[chrom], "num_bins": bins, "bin_size": bin_size}
        total = np.sum([window_means(files[path], names[chrom][path], starts, **options) for path in paths], axis=0)
        below[name] += int((total < 0).sum())
        return np.clip(total, 0, inputs.clip)

    edges = grid.target_start + grid.bin_size * np.arange(grid.num_bins)
    mask = np.zeros((n, grid.num_bins), bool)
    with (
        RowFile(folder / "landscape.npy", shapes[0]) as landscapes,
        RowFile(folder / "targets.npy", shapes[1]) as targets,
    ):
        for chrom, rows in genes.groupby("chrom", sort=False):  # one after the other, since genes are sorted
            for i in range(0, len(rows), _BATCH):
                here = rows.index[i : i + _BATCH].to_numpy()
                tss = genes["tss"].to_numpy()[here]
                landscape = np.empty((len(here), *shapes[0][1:]), np.float32)
                for r, (name, paths) in enumerate(inputs.tracks.items()):
                    landscape[:, r] = means(
                        name, paths, str(chrom), tss - reach, grid.num_input_bins, grid.input_bin_size
                    )
                landscapes.extend(landscape)
                target = np.empty((len(here), *shapes[1][1:]), np.float32)
                for t, (name, paths) in enumerate(inputs.targets.items()):
                    fine = means(name, paths, str(chrom), tss + fine_start, num_fine, grid.fine_bin_size)
                    target[:, t] = target_bins(fine, grid)
                targets.extend(target)
                starts = tss[:, None] + edges
                mask[here] = (starts >= 0) & (starts + grid.bin_size <= sizes[str(chrom)])
                tell("signal", int(here[-1]) + 1, n)
    np.save(folder / "mask.npy", mask)
    return below


def _write_contacts(
    inputs: LandscapeInputs,
    cool: CoolFile,
    genes: pd.DataFrame,
    names: Mapping[str, Mapping[Path, str]],
    folder: Path,
    tell: Progress,
) -> dict[str, Any]:
    """Write contacts.npy; return what landscape.json says of it."""
    span = (inputs.grid.num_input_bins - 1) * inputs.grid.input_bin_size
    bins = inputs.contact_bins or span // cool.bin_size + 1
    if bins < 3:
        raise ValueError(
            f"a contact map needs 3 bins or more, got {bins} of {cool.bin_size} bp over {span} bp; give --contact-bins "
            "or a finer resolution"
        )
    rotated = inputs.contact_form == "rotated"
    shape = (len(genes), rotated_rows(bins) if rotated else bins, bins)
    with RowFile(folder / "contacts.npy", shape) as contacts:
        for i, (chrom, tss) in enumerate(zip(genes["chrom"], genes["tss"], strict=True)):
            square = log_contacts(cool.square(names[chrom][cool.path], int(tss), bins))
            contacts.extend((rotate_and_crop(square) if rotated else square)[None])
            if i % 64 == 63 or i + 1 == len(genes):
                tell("contacts", i + 1, len(genes))
    return {
        "file": Path(inputs.contacts or "").name,
        "form": inputs.contact_form,
        "bin_size": cool.bin_size,
        "balanced": inputs.balanced,
        "shape": list(shape[1:]),
    }


def _described(tracks: Mapping[str, tuple[Path, ...]]) -> list[dict[str, Any]]:
    """Return names and files of tracks, without this machine's paths."""
    return [{"name": name, "files": [[p.name, p.stat().st_size] for p in paths]} for name, paths in tracks.items()]


def _fingerprint(folder: Path, description: dict[str, Any]) -> str:
    """Return 16 hex digits of everything in the folder."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
