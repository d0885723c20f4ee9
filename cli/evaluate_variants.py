"""`chromhub evaluate-variants`: scores of variants against what was measured."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .console import command, out, print_json, say, warn


@command()
def evaluate_variants(
    scores: Annotated[Path, typer.Argument(help="TSV that `chromhub score` made.")],
    truth: Annotated[
        Path, typer.Option(help="TSV that names chrom, pos (1-based), ref, alt, and what was measured; or .gz.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to make.  [default: none]")] = None,
    score: Annotated[
        str | None, typer.Option(help="Column of the scores.  [default: logfc; of a classifier logit_change]")
    ] = None,
    effect: Annotated[str | None, typer.Option(help="Column of a measured effect, positive where ALT is more.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that is 1 where a variant has an effect, else 0.")] = None,
    beside: Annotated[str | None, typer.Option(help="Column of another score, measured on the same variants.")] = None,
    p_value: Annotated[float, typer.Option(help="Of counts: Fisher's exact test must be below.", min=0)] = 0.01,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of the random baseline.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier comparison.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print variants.json on standard output.")] = False,
) -> None:
    """Compare variant scores with allele counts, an effect or labels.

    Without --effect and --label the table must have the columns wgs_ref, wgs_alt, atac_ref, atac_alt (reads), and the
    test is that of Grover et al.: variants balanced in the genome and not in open chromatin; direction and Spearman.
    """
    from ..datasets_scripts.atomic import check_own_folder
    from ..inference.variant_protocol import CountFilter
    from ..inference.variant_truth import Truth, read_table
    from ..inference.variant_truth import evaluate_variants as compare
    from ..inference.variant_truth_folder import FILES, write_variants

    if effect and label:
        raise ValueError("give --effect or --label, not both: what the score is compared with")
    if output is not None:
        check_own_folder(output, overwrite, FILES, marks={"variants.json": ""})
    scored = read_table(scores)
    chosen = score or next((name for name in ("logfc", "logit_change") if name in scored), "logfc")
    how = Truth("effect" if effect else "label" if label else "counts", effect or label, beside, CountFilter(p_value))
    table, found = compare(scored, read_table(truth), how, score=chosen, seed=seed)
    if output is not None:
        write_variants(table, found, output, overwrite=overwrite)
    warn(found.get("warnings", []))
    if as_json:
        print_json(found)
        return
    shown = Table("score", "measure", "value", "95 %", "at random", box=SIMPLE_HEAD)
    shown.title = f"{found['n']:,} variants, {chosen} against {how.column or 'allele counts'}"
    for name, measures in ((chosen, found["measures"]), *([(beside, found["beside"]["measures"])] if beside else [])):
        for measure, numbers in measures.items():
            value, low, high, random = (
                "-" if numbers[key] is None else f"{numbers[key]:.3f}" for key in ("value", "low", "high", "random")
            )
            shown.add_row(name, measure, value, f"{low} to {high}", random)
    out.print(shown)
    say("left out: " + (", ".join(f"{n:,} {why}" for why, n in found["dropped"].items() if n) or "none"))
    if output is not None:
        say(f"wrote {output}")
