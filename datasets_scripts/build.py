"""Files of the field -> GenomeStore, one chromosome in memory at a time."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .atomic import check_output, finished_folder
from .bigwig import BigWig
from .chrom_names import shown
from .fasta import N_CODE, Fasta
from .store import FORMAT, VERSION, GenomeStore, flat_layout, next_offset
from .store_inputs import InputReport, StoreInputs, check_inputs
from .store_tables import Genome, blacklist_table, peak_table, place_split, read_split, unmappable_table
from .track_sources import Progress, read_bins, read_once


def build_store(
    inputs: StoreInputs, output: str | Path, *, overwrite: bool = False, on_progress: Progress | None = None
) -> GenomeStore:
    """Make a store; the folder appears when it is complete, and the same inputs give the same bytes.

    Chromosome names of every file are brought to the FASTA's (`match_chroms`). Peaks past a chromosome's end are
    dropped; blacklist and unmappable intervals are cut there.

    Args:
        inputs: the files and the rules.
        output: folder to make.
        overwrite: replace an existing store; no other folder is ever replaced.
        on_progress: called with what is being done, and chromosomes done and in all (0 while unknown).

    Returns:
        The store, its arrays mapped.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given, or it is not a store.
        FileNotFoundError: a file is missing.
        ValueError: what the readers refuse, a wrong option, a bigWig of another assembly, a track without signal, or
            a split that does not fit the genome.
    """
    output = check_output(output, overwrite)
    if output.is_dir() and any(output.iterdir()) and not (output / "store.json").is_file():
        raise FileExistsError(
            f"{output} is not a chromhub store, so --overwrite does not replace it: choose another name"
        )
    summary = check_inputs(inputs)
    split = read_split(inputs.split)
    for track in inputs.tracks:
        if track.kind == "bigwig":
            BigWig(track.path)  # a damaged one is refused before anything else is read
    progress = on_progress or (lambda stage, done, total: None)
    with finished_folder(output, overwrite) as folder:
        reports = [InputReport.of("fasta", inputs.fasta, "chromosomes")]
        genome = _write_codes(folder / "codes.npy", inputs, reports[0], progress)
        split = place_split(split, genome, reports)
        progress("peaks and masks", 0, 0)
        tables = {"gaps": genome.gaps, "peaks": peak_table(inputs, genome, reports)}
        tables |= {
            "blacklist": blacklist_table(inputs, genome, reports),
            "unmappable": unmappable_table(inputs, genome, reports),
        }
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
        split.to_json(folder / "split.json")
        tracks = []
        codes = _read_codes(folder / "codes.npy", genome)
        with read_once(inputs.tracks) as sources:
            for track in sources:
                report = InputReport.of(f"track {track.name}", track.path)
                reports.append(report)
                signal = read_bins(
                    track, inputs.bin_size, summary, genome=genome, report=report, progress=progress, codes=codes
                )
                stats = _write_track(folder / "tracks" / f"{track.name}.npy", signal, bin_size=inputs.bin_size)
                if not stats["sum"]:
                    raise ValueError(f"{track.path} has no signal on the genome's chromosomes {shown(genome.sizes)}")
                tracks.append({"name": track.name} | track.describe() | report.facts | stats)
        description: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "genome": inputs.genome,
            "bin_size": inputs.bin_size,
            "summary": summary,
            "chroms": [{"name": n, "size": s, "digest": genome.digests[n]} for n, s in genome.sizes.items()],
            "tracks": tracks,
        }
        files = [folder / f"{name}.tsv" for name in tables] + [folder / "split.json"]
        content = json.dumps(description).encode() + b"".join(file.read_bytes() for file in files)
        description["fingerprint"] = hashlib.sha256(content).hexdigest()[:16]
        _write_json(folder / "report.json", [asdict(report) for report in reports])
        _write_json(folder / "store.json", description)
    return GenomeStore.open(output, in_memory=False)


def _write_codes(path: Path, inputs: StoreInputs, report: InputReport, progress: Progress) -> Genome:
    """Write codes.npy from the FASTA."""
    fasta = Fasta(inputs.fasta)
    chosen = None if inputs.chroms is None else set(inputs.chroms)
    all_sizes: dict[str, int] = {}
    digests: dict[str, str] = {}
    gaps: list[tuple[str, int, int]] = []
    with _flat_file(path, np.uint8, fill=N_CODE) as append:
        for chrom, codes in fasta.read_codes():
            all_sizes[chrom] = len(codes)
            progress(f"sequence {chrom}", len(all_sizes), 0)
            if chosen is None or chrom in chosen:
                append(codes)
                digests[chrom] = hashlib.sha256(codes.tobytes()).hexdigest()[:16]
                is_n = np.concatenate([[False], codes == N_CODE, [False]])
                gaps += [(chrom, int(s), int(e)) for s, e in np.flatnonzero(is_n[1:] != is_n[:-1]).reshape(-1, 2)]
    if unknown := sorted((chosen or set()) - set(all_sizes)):
        raise ValueError(f"--chroms names {shown(unknown)}, which {inputs.fasta} lacks: it has {shown(all_sizes)}")
    sizes = {chrom: all_sizes[chrom] for chrom in digests}
    report.read, report.kept = len(all_sizes), len(sizes)
    report.drop("chromosome not chosen", len(all_sizes) - len(sizes))
    report.notes.append(f"{sum(sizes.values()):,} bp, of which N {sum(end - start for _, start, end in gaps):,}")
    if fasta.num_iupac:
        report.notes.append(f"{fasta.num_iupac:,} IUPAC letters became N")
    return Genome(sizes, all_sizes, digests, pd.DataFrame(gaps, columns=["chrom", "start", "end"]))


def _read_codes(path: Path, genome: Genome) -> Callable[[str], np.ndarray]:
    """Return a function that gives a chromosome's codes."""
    flat, offsets = np.load(path, mmap_mode="r"), flat_layout(genome.sizes)[0]
    return lambda chrom: flat[offsets[chrom] : offsets[chrom] + genome.sizes[chrom]]


def _write_track(path: Path, signal: Iterable[np.ndarray], *, bin_size: int) -> dict[str, Any]:
    """Write a track's bins; return their digest, sum, largest value and the share above 0."""
    digest = hashlib.sha256()
    total, largest, num_above, num_bins = 0.0, 0.0, 0, 0
    path.parent.mkdir(exist_ok=True)
    with _flat_file(path, np.float32, fill=0, bin_size=bin_size) as append:
        for bins in signal:
            append(bins)
            digest.update(bins.tobytes())
            total += float(bins.sum(dtype=np.float64))
            largest = max(largest, float(bins.max()))
            num_above += int(np.count_nonzero(bins))
            num_bins += len(bins)
    return {"digest": digest.hexdigest()[:16], "sum": total, "max": largest, "above_zero": num_above / num_bins}


@contextmanager
def _flat_file(path: Path, dtype: type, *, fill: int, bin_size: int = 1) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends a chromosome's values to a .npy file, laid out as `store.flat_layout` says.

    The length is known at the end only, so the header is written again then; numpy leaves room for that.
    """

    def header() -> None:
        file.seek(0)
        shape = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(file, shape)

    def pad() -> None:
        nonlocal length
        missing = next_offset(length * bin_size) // bin_size - length
        file.write(np.full(missing, fill, dtype).data)
        length += missing

    def append(values: np.ndarray) -> None:
        nonlocal length
        pad()
        file.write(np.ascontiguousarray(values, dtype).data)
        length += len(values)

    length = 0
    with path.open("wb") as file:
        header()
        yield append
        pad()
        header()


def _write_json(path: Path, value: Any) -> None:
    """Write indented JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n")
