"""`chromhub data`: files of the field -> a store, and a look into one."""

from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import pandas as pd
import typer
from rich.table import Table

from ..datasets_scripts.bed import parse_region
from ..datasets_scripts.bigwig import Summary
from ..datasets_scripts.build import build_store
from ..datasets_scripts.fasta import decode
from ..datasets_scripts.figures import plot_window
from ..datasets_scripts.folds import PARTS
from ..datasets_scripts.interval_signal import PeakValue
from ..datasets_scripts.reads import Duplicates, ReadRules
from ..datasets_scripts.sheet import read_sheet
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.store_inputs import StoreInputs, parse_normalise
from ..datasets_scripts.track_details import TrackDetails
from ..datasets_scripts.track_kinds import KINDS
from ..datasets_scripts.windows import covered_bp, whole_chroms
from .console import app, command, out, print_json, progress, say, warn
from .data_inputs import track_sources

_SHOWN_BP = 2_000  # longest region whose bases are printed

data_app = typer.Typer(help="Make a store from a genome and its tracks, and look into one.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@command(data_app, "build")
def build(
    fasta: Annotated[
        list[Path], typer.Option(help="Genome: FASTA, plain, gzip or bgzip; repeatable, where it lies in several.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    track: Annotated[
        list[str],
        typer.Option(
            help="[NAME=]PATH of bigWig, bedGraph, BAM, 10x fragments, bedpe, tagAlign or narrowPeak; repeatable."
        ),
    ] = [],  # noqa: B006
    fragments: Annotated[
        list[str], typer.Option(help="[NAME=]PATH of reads or fragments; any BED is taken as fragments; repeatable.")
    ] = [],  # noqa: B006
    kind: Annotated[
        list[str], typer.Option(help=f"NAME=KIND where a file is not recognised: {', '.join(KINDS)}; repeatable.")
    ] = [],  # noqa: B006
    barcodes: Annotated[
        list[str],
        typer.Option(help="[NAME=]PATH of a table barcode, cell type: one track for each type in fragments NAME."),
    ] = [],  # noqa: B006
    tn5_shift: Annotated[
        str, typer.Option(help="bp added to the first and last base of reads: 0,0 (shifted), 4,-4 or 4,-5.")
    ] = "0,0",
    min_mapq: Annotated[int, typer.Option(help="Least mapping quality of a BAM's reads.")] = 0,
    duplicates: Annotated[
        str, typer.Option(help="marked: left out; keep: counted, 10x by read support; collapse: one read per two ends.")
    ] = "marked",
    exclude: Annotated[
        list[str],
        typer.Option(
            help="CHROM[:START-END] where no read or signal counts: chrM, rDNA, past a cut FASTA's end; repeatable."
        ),
    ] = [],  # noqa: B006
    normalise: Annotated[
        str, typer.Option(help="none, cpm, or the depth that each track is scaled to, as 2e7.")
    ] = "none",
    peak_value: Annotated[
        str, typer.Option(help="Peaks as a track: one (1 inside), signal (column 7) or name (the number that ends it).")
    ] = "one",
    peaks: Annotated[
        Path | None, typer.Option(help="narrowPeak or BED; without it the peaks of all tracks that are peaks.")
    ] = None,
    blacklist: Annotated[Path | None, typer.Option(help="BED of regions never used.")] = None,
    unmappable: Annotated[Path | None, typer.Option(help="BED of regions without unique reads.")] = None,
    mask_region: Annotated[
        list[str], typer.Option(help="CHROM[:START-END], 0-based half-open, joins the blacklist; repeatable.")
    ] = [],  # noqa: B006
    split: Annotated[
        str | None, typer.Option(help="JSON with train, valid and test, or asap-0 to asap-4 (the default for human).")
    ] = None,
    bin_size: Annotated[int, typer.Option(help="bp per bin.")] = 4,
    summary: Annotated[
        str | None, typer.Option(help="max, mean or sum of a bin's bases; default max for bigWig, sum for fragments.")
    ] = None,
    genome: Annotated[str, typer.Option(help="Name of the assembly, for the record (hg38).")] = "",
    assay: Annotated[str, typer.Option(help="What the tracks measure, for cards: ATAC-seq, DNase-seq.")] = "",
    chroms: Annotated[str | None, typer.Option(help="Only these chromosomes: chr1,chr2.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="CSV, TSV or YAML of tracks, one a row.")] = None,
    mask_gaps: Annotated[int, typer.Option(help="bp without a value in a --track that count as not measured.")] = 0,
    tolerance: Annotated[float, typer.Option(help="Largest relative error of storing a track as float16.")] = 0.0,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, max=256, help="Processes; each makes one track at a time.")
    ] = 1,
    update: Annotated[bool, typer.Option("--update", help="Make only what changed of an existing store.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing store.")] = False,
    as_json: Json = False,
) -> None:
    """Make a store: the genome's bases and the tracks' signal, ready to be trained on."""
    tracks = track_sources(
        track,
        fragments,
        kinds=kind,
        barcodes=barcodes,
        tn5_shift=parse_shift(tn5_shift),
        rules=ReadRules(min_mapq, cast(Duplicates, duplicates)),
        exclude=tuple(exclude),
        depth=parse_normalise(normalise),
        peak_value=cast(PeakValue, peak_value),
    )
    details = {
        source.name: TrackDetails(mask_gaps=mask_gaps * (source.kind == "bigwig"), tolerance=tolerance)
        for source in tracks
    }
    listed, of_sheet = read_sheet(sheet, genome=genome) if sheet is not None else ([], {})
    inputs = StoreInputs(
        fasta=tuple(fasta),
        tracks=(*tracks, *listed),
        split=split,
        peaks=peaks,
        blacklist=blacklist,
        unmappable=unmappable,
        mask_regions=tuple(mask_region),
        bin_size=bin_size,
        summary=cast(Summary | None, summary),
        genome=genome,
        assay=assay,
        chroms=tuple(name.strip() for name in chroms.split(",") if name.strip()) if chroms is not None else None,
    )
    with progress() as bar:
        task = bar.add_task("starting", total=None)
        store = build_store(
            inputs,
            output,
            details=details | of_sheet,
            jobs=jobs,
            update=update,
            overwrite=overwrite,
            on_progress=lambda stage, done, total: bar.update(
                task, description=stage, completed=done, total=total or None
            ),
        )
    report = store.report()
    warn(text for entry in report for text in entry.get("warnings", []))
    if as_json:
        print_json({"store": str(output), "fingerprint": store.fingerprint, "inputs": report})
        return
    table = Table("input", "read", "kept", "dropped", "notes", title=f"{output!s} ({store.num_bytes / 1e6:,.0f} MB)")
    for entry in report:
        dropped = "\n".join(f"{number:,} {reason}" for reason, number in entry["dropped"].items())
        name = f"{entry['input']}\n{entry['file']}".strip()
        table.add_row(
            name,
            f"{entry['read']:,} {entry['unit']}",
            f"{entry['kept']:,}",
            dropped or "0",
            "\n".join(entry["notes"]),
        )
    out.print(table)
    say(f"next: chromhub train --data {output} --preset convnext-dcnn -o RUN, or chromhub data inspect {output}")


@command(data_app, "inspect")
def inspect(
    store_path: Annotated[Path, typer.Argument(metavar="STORE", help="Folder made by `chromhub data build`.")],
    region: Annotated[str | None, typer.Option(help="CHROM:START-END to look at.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the region (or the busiest one): PNG, SVG or PDF.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing figure.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a store holds, and the signal of a region."""
    store = GenomeStore.open(store_path, in_memory=False)
    chrom, start, end = _region(store, region)
    result = _describe(store)
    if region is not None or figure is not None:
        bins = store.bins_of(chrom, start, end)
        signal = {name: store.signal(chrom, name)[bins] for name in store.track_names}
        result["region"] = {
            "chrom": chrom,
            "start": start,
            "end": end,
            "sequence": decode(store.codes(chrom)[start:end]) if end - start <= _SHOWN_BP else None,
            "tracks": {
                n: {"sum": float(v.sum()), "max": float(v.max()), "mean": float(v.mean())} for n, v in signal.items()
            },
        }
    if figure is not None:
        plot_window(store, chrom, start, end, figure, overwrite=overwrite)
        result["figure"] = str(figure)
    if as_json:
        print_json(result)
        return
    for name in (
        "genome",
        *(["assay"] if result["assay"] else []),
        "chromosomes",
        "bp",
        "bin_size",
        "summary",
        "peaks",
        "blacklist_bp",
        "unmappable_bp",
        "n_bp",
    ):
        out.print(f"{name:14} {result[name]}", markup=False)
    tracks = Table("track", "sum", "largest bin", "bins above 0")
    for track in result["tracks"]:
        tracks.add_row(track["name"], f"{track['sum']:,.0f}", f"{track['max']:,.4g}", f"{track['above_zero']:.1%}")
    out.print(tracks)
    parts = Table("part", "entries", "bp", "peaks")
    for part, counts in result["split"].items():
        parts.add_row(part, " ".join(counts["entries"]), f"{counts['bp']:,}", f"{counts['peaks']:,}")
    out.print(parts)
    if "region" in result:
        values = Table(f"{chrom}:{start:,}-{end:,}", "sum", "largest bin", "mean bin")
        for name, found in result["region"]["tracks"].items():
            values.add_row(name, *(f"{found[key]:,.4g}" for key in ("sum", "max", "mean")))
        out.print(values)
        if result["region"]["sequence"]:
            out.print(result["region"]["sequence"], markup=False)
    if figure is not None:
        say(f"figure: {figure}")


def _describe(store: GenomeStore) -> dict[str, Any]:
    """Return a store's contents in numbers; overlapping intervals count once."""
    whole = whole_chroms(store.chrom_sizes)

    def num_bp(intervals: pd.DataFrame) -> int:
        return int(covered_bp(whole, intervals).sum())

    split = {}
    for part in PARTS:
        intervals = store.split.intervals(part, store.chrom_sizes)
        split[part] = {
            "entries": list(getattr(store.split, part)),
            "bp": num_bp(intervals),
            "peaks": len(store.split.select(store.peaks, part, store.chrom_sizes)),
        }
    return {
        "genome": store.genome,
        "assay": store.assay,
        "fingerprint": store.fingerprint,
        "chromosomes": len(store.chrom_sizes),
        "bp": sum(store.chrom_sizes.values()),
        "bin_size": store.bin_size,
        "summary": store.summary,
        "peaks": len(store.peaks),
        "blacklist_bp": num_bp(store.blacklist),
        "unmappable_bp": num_bp(store.unmappable),
        "n_bp": num_bp(store.gaps),
        "tracks": store.description["tracks"],
        "split": split,
        "chrom_sizes": store.chrom_sizes,
    }


def _region(store: GenomeStore, text: str | None) -> tuple[str, int, int]:
    """Return the region to look at: the given one, or 20 kb around the first track's largest bin off the blacklist."""
    if text is not None:
        chrom, start, end = parse_region(text)
        store.offset(chrom)
        return chrom, start or 0, store.chrom_sizes[chrom] if end is None else end
    best = (-1.0, "", 0)
    for chrom in store.chrom_sizes:
        signal = np.array(store.signal(chrom))
        masked = store.blacklist.loc[store.blacklist["chrom"] == chrom, ["start", "end"]]
        for first, last in masked.to_numpy():
            signal[store.bins_of(chrom, first, last)] = 0
        best = max(best, (float(signal.max()), chrom, int(signal.argmax()) * store.bin_size))
    _, chrom, summit = best
    return chrom, max(0, summit - 10_000), min(store.chrom_sizes[chrom], summit + 10_000)


def parse_shift(text: str) -> tuple[int, int]:
    """Read "4,-4"."""
    try:
        first, last = (int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--tn5-shift must be two integers such as 4,-4, got {text!r}") from None
    return first, last
