"""What the demo says at its end: the table, a sentence on what it shows, and the report with its pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ..datasets_scripts.store import GenomeStore

SETS = ("genome_wide", "peaks")
BIN_SIZES = (4, 128)  # bp
REGION = 24_000  # bp of the browser picture
TIE = 0.01  # Pearson; a smaller difference is called none
USABLE = 0.3  # Pearson; below it a base is no test of tuning
NAMES = {"base": "agnostic base", "lora": "base + LoRA", "scratch": "from scratch", "truth": "noise-free truth"}
OWN_DATA = """\
chromhub data build --fasta hg38.fa --track mycells.bw --peaks mycells.narrowPeak --split asap-0 -o data/mycells
chromhub finetune --base ORG/MODEL --data data/mycells --mode lora -o runs/mycells
chromhub evaluate runs/mycells --data data/mycells
chromhub predict runs/mycells --data data/mycells --all -o mycells.predicted.bw
chromhub push runs/mycells ORG/mycells-atac --license cc-by-4.0
"""


def verdict(models: dict[str, dict[str, Any]], *, target: str) -> str:
    """Say what the numbers say, whoever won; by the genome-wide Pearson at the finest bins."""
    r = {name: models[name]["pearson"]["genome_wide"][str(BIN_SIZES[0])] for name in NAMES}
    if any(value is None for value in r.values()):
        return "A model predicted a constant, so there is no correlation to compare; it was trained too briefly."
    if r["base"] < USABLE:
        return (
            f"The base learned too little to be worth tuning: at {BIN_SIZES[0]} bp, genome-wide, it reached Pearson "
            f"{r['base']:.2f}, tuned {r['lora']:.2f}, and a model from scratch {r['scratch']:.2f}. "
            "A quick demo only shows that everything runs."
        )
    windows = models["lora"]["windows"]
    gain = r["lora"] - r["scratch"]
    if gain > TIE:
        first = (
            f"On {windows} windows of {target}, tuning the agnostic base won: Pearson {r['lora']:.2f} against "
            f"{r['scratch']:.2f} from scratch at {BIN_SIZES[0]} bp, genome-wide on a chromosome that no model saw."
        )
    elif gain < -TIE:
        first = (
            f"Tuning the agnostic base lost here: on {windows} windows of {target} it reached Pearson {r['lora']:.2f} "
            f"at {BIN_SIZES[0]} bp, and a model from scratch {r['scratch']:.2f}."
        )
    else:
        first = (
            f"Here tuning the agnostic base made no difference: on {windows} windows of {target} it reached Pearson "
            f"{r['lora']:.2f} at {BIN_SIZES[0]} bp, and a model from scratch {r['scratch']:.2f}."
        )
    step = r["lora"] - r["base"]
    second = (
        f"The adapter {'raised' if step > 0 else 'lowered'} the base's own {r['base']:.2f}"
        if abs(step) > TIE
        else f"The adapter left the base where it was ({r['base']:.2f})"
    )
    return f"{first} {second}; noise keeps even the truth at {r['truth']:.2f}. One seed, simulated data."


def table_columns() -> list[str]:
    """Return the headings of the final table."""
    scores = [f"{name}\n{bin_size} bp" for name in ("genome", "peaks") for bin_size in BIN_SIZES]
    return ["model", "own\nwindows", "weights\ntrained", "steps", "seconds", *scores]


def table_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the final table."""
    rows = []
    for name, title in NAMES.items():
        row = result["models"][name]
        counts = [f"{row[key]:,.0f}" if key in row else "" for key in ("windows", "parameters", "steps", "seconds")]
        scores = [row["pearson"][key][str(bin_size)] for key in SETS for bin_size in BIN_SIZES]
        rows.append([title, *counts, *("none" if score is None else f"{score:.3f}" for score in scores)])
    return rows


def table_note(result: dict[str, Any]) -> str:
    """Say what the table's numbers are."""
    base, scratch = result["models"]["base"], result["models"]["scratch"]
    return (
        f"Pearson of log1p signal on the held-out chromosome, all of it and around {result['cell_type']} peaks, at "
        f"{BIN_SIZES[0]} and {BIN_SIZES[1]} bp. The base was trained on {base['windows_of_others']:,} windows of "
        f"{' and '.join(result['other_cell_types'])}. The model from scratch was given the steps of base and adapter "
        "together, and their learning rate. Of each run the step with the best Pearson "
        f"on the validation chromosome was kept (from scratch: {scratch['best_step']:,}). The truth is the rate that "
        "the counts were drawn from."
    )


def write_demo_report(folder: Path, result: dict[str, Any], agnostic: "GenomeStore", own: "GenomeStore") -> None:
    """Write report.html, and its pictures beside it.

    Args:
        folder: the demo's, with its runs and predictions.
        result: what `run_demo` found.
        agnostic: the store the base was trained on.
        own: the store of the new cell type.
    """
    from ..inference.comparison_figures import GREEN, PINK, learning_curves
    from ..inference.provenance import library_versions
    from ..inference.report import Figure, Section, Table, write_report

    target, others = result["cell_type"], " and ".join(result["other_cell_types"])
    pictures = folder / "pictures"
    pictures.mkdir()
    histories = {
        NAMES[name]: json.loads((folder / "runs" / name / "history.json").read_text(encoding="utf-8"))
        for name in ("lora", "scratch")
    }
    learning_curves(histories, pictures / "tuning.png", colours={NAMES["lora"]: GREEN, NAMES["scratch"]: PINK})
    where = draw_region(folder, target, agnostic, own, pictures / "region.png")
    sections = [
        Section("What came out", [], Table(table_columns(), table_rows(result), table_note(result))),
        Section(
            "What a browser would show",
            figures=[
                Figure(
                    pictures / "region.png",
                    f"{where}, held out: where most peaks of {target} alone lie. The base has never seen the motifs "
                    f"that open those; it knows {others}, and so the motifs of the peaks that only they have.",
                )
            ],
        ),
        Section(
            "How the models learned",
            figures=[
                Figure(folder / "runs/base/training_curve.png", f"The base, on the mean of {others}."),
                Figure(pictures / "tuning.png", f"On {result['models']['lora']['windows']} windows of {target}."),
            ],
        ),
        Section(
            "How the genome was made",
            [
                "A site every kilobase or so: clusters of motifs drawn from JASPAR matrices, and lone decoys. CTCF, "
                "SP1, NRF1, NFYA and FOS::JUN act in every cell type; GATA1 and TAL1::TCF3 in erythroid cells, SPI1 "
                "and CEBPA in myeloid cells, HNF4A and HNF1A in hepatocytes. Motifs open chromatin together, hardly "
                "alone, and the insertions are Poisson counts: 0.3 per bp on average.",
                "JASPAR's matrices are licensed CC BY 4.0 (jaspar.elixir.no).",
            ],
        ),
        Section(
            "The same on your data",
            ["One ATAC-seq sample and a model from the Hub:"],
            code=OWN_DATA,
        ),
    ]
    write_report(
        folder / "report.html",
        title=f"chromhub demo: a model of {target}s from {result['models']['lora']['windows']} windows",
        lead=result["verdict"],
        sections=sections,
        footer=f"chromhub {library_versions()['chromhub']}, seed {result['seed']}, {result['device']}. Simulated data.",
    )


def draw_region(folder: Path, target: str, agnostic: "GenomeStore", own: "GenomeStore", path: Path) -> str:
    """Draw measured and predicted signal where most peaks of the new cell type alone lie; return the place."""
    from ..datasets_scripts.bigwig import BigWig
    from ..datasets_scripts.windows import drop_overlapping
    from ..inference.comparison_figures import BLUE, GREEN, ORANGE, PINK, browser

    (chrom,) = own.split.test
    alone, _ = drop_overlapping(own.peaks, agnostic.peaks)
    of_others, _ = drop_overlapping(agnostic.peaks, own.peaks)
    shared, _ = drop_overlapping(own.peaks, alone)
    start = densest(alone.loc[alone["chrom"] == chrom, "summit"].to_numpy(), size=own.chrom_sizes[chrom], length=REGION)
    bins = slice(start // own.bin_size, (start + REGION) // own.bin_size)
    rows, colours = {"measured": own.signal(chrom)[bins]}, {"measured": BLUE}
    for name, colour in (("base", ORANGE), ("lora", GREEN), ("scratch", PINK)):
        predicted = BigWig(folder / "predictions" / f"{name}.bw")
        values = predicted.binned(chrom, size=own.chrom_sizes[chrom], bin_size=own.bin_size, summary="mean")
        rows[NAMES[name]], colours[NAMES[name]] = values[bins], colour
    browser(
        rows,
        path,
        chrom=chrom,
        start=start,
        bin_size=own.bin_size,
        unit="insertions per bp",
        colours=colours,
        shaded={"shared peak": shared, f"peak of {target} alone": alone, "peak of the others alone": of_others},
    )
    return f"{chrom}:{start:,}-{start + REGION:,}"


def densest(summits: "np.ndarray", *, size: int, length: int) -> int:
    """Return where the stretch of `length` bp that holds most summits of one chromosome starts, in whole kb.

    Args:
        summits: (n,) bp.
        size: bp of the chromosome.
        length: bp; no more than `size`.
    """
    starts = range(0, size - length + 1, 1000)
    return max(starts, key=lambda start: int(((summits >= start) & (summits < start + length)).sum()))
