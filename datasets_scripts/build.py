"""Files of the field -> GenomeStore, one chromosome in memory at a time."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .atomic import check_output, finished_folder
from .bed import clip_to_end, drop_past_end, parse_region, place_intervals, read_intervals, read_peaks
from .bigwig import BigWig, Summary, bin_signal
from .chrom_names import match_chroms, shown
from .fasta import N_CODE, Fasta
from .folds import ASAP_FOLDS, PARTS, Split, asap_split
from .fragments import count_insertions
from .store import FORMAT, VERSION, GenomeStore, next_offset
from .store_inputs import InputReport, StoreInputs, TrackSource, check_inputs

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Genome:
    """bp of the chromosomes in the store (`sizes`) and of all in the FASTA (`all_sizes`), and the runs of N."""

    sizes: dict[str, int]
    all_sizes: dict[str, int]
    digests: dict[str, str]
    gaps: pd.DataFrame


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
    split = _read_split(inputs.split)
    progress = on_progress or (lambda stage, done, total: None)
    with finished_folder(output, overwrite) as folder:
        reports = [InputReport.of("fasta", inputs.fasta, "chromosomes")]
        genome = _write_codes(folder / "codes.npy", inputs, reports[0], progress)
        split = _place_split(split, genome, reports)
        tracks = []
        for track in inputs.tracks:
            reports.append(InputReport.of(f"track {track.name}", track.path))
            signal = _bins(track, inputs.bin_size, summary, genome=genome, report=reports[-1], progress=progress)
            stats = _write_track(folder / "tracks" / f"{track.name}.npy", signal, bin_size=inputs.bin_size)
            if not stats["sum"]:
                raise ValueError(f"{track.path} has no signal on the genome's chromosomes {shown(genome.sizes)}")
            tracks.append({"name": track.name, "kind": track.kind, "tn5_shift": list(track.tn5_shift)} | stats)
        progress("peaks and masks", len(genome.sizes), len(genome.sizes))
        tables = {"gaps": genome.gaps, "peaks": _peaks(inputs, genome, reports)}
        tables |= {"blacklist": _blacklist(inputs, genome, reports), "unmappable": _unmappable(inputs, genome, reports)}
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
        split.to_json(folder / "split.json")
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


def _write_codes(path: Path, inputs: StoreInputs, report: InputReport, progress: Progress) -> _Genome:
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
    return _Genome(sizes, all_sizes, digests, pd.DataFrame(gaps, columns=["chrom", "start", "end"]))


def _bins(
    track: TrackSource, bin_size: int, summary: Summary, *, genome: _Genome, report: InputReport, progress: Progress
) -> Iterator[np.ndarray]:
    """Yield the binned signal of each chromosome, in the genome's order."""
    read = _bigwig_bins if track.kind == "bigwig" else _fragment_bins
    for done, bins in enumerate(read(track, bin_size, summary, genome, report), 1):
        yield bins
        progress(f"track {track.name}", done, len(genome.sizes))


def _bigwig_bins(
    track: TrackSource, bin_size: int, summary: Summary, genome: _Genome, report: InputReport
) -> Iterator[np.ndarray]:
    """Yield a bigWig's bins; a chromosome it lacks is all zero, one of another length is another assembly."""
    bigwig = BigWig(track.path)
    found = match_chroms(bigwig.chrom_sizes, genome.all_sizes, what=f"{track.path} with the genome")
    for name, chrom in found.items():
        if bigwig.chrom_sizes[name] != genome.all_sizes[chrom]:
            raise ValueError(
                f"{track.path} says {name} has {bigwig.chrom_sizes[name]} bp, the FASTA's {chrom} has "
                f"{genome.all_sizes[chrom]}: they are of different assemblies, give the FASTA the track was made on"
            )
    names = {chrom: name for name, chrom in found.items() if chrom in genome.sizes}
    report.unit = "chromosomes"
    report.read, report.kept = len(bigwig.chrom_sizes), len(names)
    report.drop("chromosome not in the genome", len(bigwig.chrom_sizes) - len(found))
    report.drop("chromosome not chosen", len(found) - len(names))
    if silent := [chrom for chrom in genome.sizes if chrom not in names]:
        report.notes.append(f"no signal for {shown(silent)}: set to 0")
    for chrom, size in genome.sizes.items():
        if chrom in names:
            yield bigwig.binned(names[chrom], size=size, bin_size=bin_size, summary=summary)
        else:
            yield np.zeros(-(-size // bin_size), np.float32)


def _fragment_bins(
    track: TrackSource, bin_size: int, summary: Summary, genome: _Genome, report: InputReport
) -> Iterator[np.ndarray]:
    """Yield the binned insertions of fragments."""
    report.unit = "fragments"
    counts, found = count_insertions(track.path, genome.sizes, tn5_shift=track.tn5_shift)
    for _, per_bp in counts:
        yield bin_signal(per_bp, bin_size=bin_size, summary=summary)
    report.read, report.kept = found.read, found.kept
    for reason, number in found.dropped.items():
        report.drop(reason, number)
    if found.unknown_chroms:
        report.notes.append(f"chromosomes not in the store: {shown(found.unknown_chroms)}")
    if found.ends_off:
        report.notes.append(f"{found.ends_off:,} ends were shifted off their chromosome")


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


def _peaks(inputs: StoreInputs, genome: _Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return the peaks on the genome; none without a file."""
    if inputs.peaks is None:
        return pd.DataFrame({"chrom": [], "start": [], "end": [], "summit": []})
    report = InputReport.of("peaks", inputs.peaks, "peaks")
    reports.append(report)
    peaks = read_peaks(inputs.peaks)
    report.read = len(peaks)
    peaks = _placed(peaks, genome, report, inputs.peaks)
    peaks, num_off = drop_past_end(peaks, genome.sizes)
    report.drop("past the chromosome's end", num_off)
    report.kept = len(peaks)
    if num_off:
        report.notes.append("peaks past a chromosome's end hint at another assembly")
    if peaks.empty:
        raise ValueError(f"{inputs.peaks}: none of {report.read} peaks lies on the genome ({report.dropped})")
    return peaks


def _blacklist(inputs: StoreInputs, genome: _Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return the blacklist's intervals and the mask regions."""
    tables = [_mask("blacklist", inputs.blacklist, genome, reports)]
    if inputs.mask_regions:
        report = InputReport("mask regions", read=len(inputs.mask_regions))
        reports.append(report)
        rows = [_mask_region(text, genome) for text in inputs.mask_regions]
        tables.append(pd.DataFrame([row for row in rows if row[0] in genome.sizes], columns=["chrom", "start", "end"]))
        report.kept = len(tables[-1])
        report.drop("chromosome not chosen", report.read - report.kept)
    table = pd.concat(tables, ignore_index=True)
    rank = {chrom: i for i, chrom in enumerate(genome.sizes)}
    rows = sorted(table.itertuples(index=False, name=None), key=lambda row: (rank[row[0]], *row[1:]))
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def _mask_region(text: str, genome: _Genome) -> tuple[str, int, int]:
    """Return chrom, start and end of one --mask-region, which must lie on the genome."""
    name, start, end = parse_region(text)
    chrom = match_chroms([name], genome.all_sizes, what=f"--mask-region {text} with the genome")[name]
    size = genome.all_sizes[chrom]
    if end is not None and end > size:
        raise ValueError(f"--mask-region {text} must end within {chrom}, which has {size} bp")
    return chrom, start or 0, size if end is None else end


def _unmappable(inputs: StoreInputs, genome: _Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return the unmappable intervals."""
    return _mask("unmappable", inputs.unmappable, genome, reports)


def _mask(name: str, path: Path | None, genome: _Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return a mask's intervals, cut at the chromosomes' ends; none without a file."""
    if path is None:
        return pd.DataFrame({"chrom": [], "start": [], "end": []})
    report = InputReport.of(name, path)
    reports.append(report)
    table = read_intervals(path)
    report.read = len(table)
    table, num_cut = clip_to_end(_placed(table, genome, report, path), genome.sizes)
    report.kept = len(table)
    report.drop("past the chromosome's end", report.read - sum(report.dropped.values()) - len(table))
    if num_cut:
        report.notes.append(f"{num_cut:,} intervals ran past their chromosome's end: cut there")
    return table


def _placed(table: pd.DataFrame, genome: _Genome, report: InputReport, path: Path) -> pd.DataFrame:
    """Give a table the genome's names, and note what is not on it."""
    table, dropped = place_intervals(table, genome.sizes, genome_chroms=list(genome.all_sizes), what=str(path))
    for reason, number in dropped.items():
        report.drop(reason, number)
    return table


def _read_split(split: Path | str | Split | None) -> Split | None:
    """Return the split that the option names; None stays None."""
    if split is None or isinstance(split, Split):
        return split
    names = {f"asap-{fold}": fold for fold in range(len(ASAP_FOLDS))}
    if str(split) in names:
        return asap_split(names[str(split)])
    if not Path(split).is_file() and str(split).startswith("asap"):
        raise ValueError(f"--split must be a JSON file or one of {', '.join(names)}, got {split}")
    return Split.from_json(split)


def _place_split(split: Split | None, genome: _Genome, reports: list[InputReport]) -> Split:
    """Return the split under the genome's names; without one, the paper's first fold of a human genome."""
    report = InputReport("split", unit="entries")
    reports.append(report)
    if split is None:
        split = asap_split(0)
        if missing := [c for c in sum(ASAP_FOLDS, ()) if not {c, c.removeprefix("chr")} & set(genome.all_sizes)]:
            raise ValueError(
                f"--split is needed for a genome without {shown(missing, 3)}: give a JSON file "
                '{"train": ["chrI"], "valid": ["chrII"], "test": ["chrIII:1-5000"]}, or one of asap-0 to asap-4'
            )
        report.notes.append("no --split given: took asap-0, the paper's first fold")
    whole = split.placed_on(genome.all_sizes)
    placed = whole.restricted_to(genome.sizes)
    report.read, report.kept = (sum(len(getattr(s, part)) for part in PARTS) for s in (whole, placed))
    report.drop("chromosome not chosen", report.read - report.kept)
    for part in PARTS:
        intervals = placed.intervals(part, genome.sizes)
        report.notes.append(
            f"{part}: {(intervals['end'] - intervals['start']).sum():,} bp in {len(intervals)} intervals"
        )
    return placed


def _write_json(path: Path, value: Any) -> None:
    """Write indented JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n")
