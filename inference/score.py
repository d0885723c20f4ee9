"""Score variants: from a file of any length to a row a variant, in chunks that survive an interruption."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.atomic import check_output, finished_file, finished_folder
from ..datasets_scripts.chrom_names import lost_of_table, lost_rows, match_chroms, shown
from ..datasets_scripts.fasta import Fasta
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.unfinished import PART, unfinished_parts
from ..datasets_scripts.variants import Variant, is_vcf, variants_of
from .fingerprints import file_fingerprint, model_fingerprint, source_fingerprint, table_fingerprint
from .predict import Progress
from .ranks import ALONE, Ranks
from .variant_figures import VariantFigures, check_figures, draw_variants
from .variant_null import Sample
from .variant_scorer import ScoreSettings, VariantModels, VariantScorer
from .variant_tables import largest_variants, merge_tsv, merge_vcf, score_columns, write_part
from .variants import OK, GenomeBases

_CHUNK = 1024  # variants of a part


@dataclass(frozen=True)
class Scored:
    """What `score_file` wrote.

    Attributes:
        path: the file.
        columns: of scores.
        counts: variants by status.
        figures: those drawn, the largest change first.
        warnings: what a user must know: most variants or peaks were lost, and which.
    """

    path: Path
    columns: tuple[str, ...]
    counts: dict[str, int]
    figures: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def score_file(
    models: VariantModels,
    source: GenomeStore | Fasta,
    given: list[str] | Path,
    output: str | Path,
    *,
    settings: ScoreSettings,
    peaks: pd.DataFrame | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    ranks: Ranks = ALONE,
    figures: VariantFigures | None = None,
) -> Scored:
    """Score every variant of a file, or those given as text; what cannot be scored is there with its status.

    Memory holds a chunk of 1,024 variants. A run that was interrupted goes on behind its last whole chunk.

    Args:
        models: as for `VariantScorer`.
        source: the genome.
        given: a VCF or TSV, or texts such as "chr1:12345:A>G".
        output: a .tsv, or, of a VCF, a .vcf; each with .gz where wanted.
        settings: how.
        peaks: columns chrom, summit; with them the active allele's quantile among peaks is given.
        overwrite: replace an existing file.
        progress: told how many variants are done.
        ranks: of several processes with one `output`, which this is; each scores its chunks, the leader joins them.
        figures: a folder of pictures of the variants with the largest log2 fold change.

    Raises:
        FileExistsError: `output` or the folder of figures exists and `overwrite` is not given.
        ValueError: no variant, a broken line, no chromosome in common, or an output or figures that do not go with the
            input.
    """
    output = check_output(output, overwrite, inputs=[source.path, *([given] if isinstance(given, Path) else [])])
    source_vcf = _check_output(given, output)
    variants = variants_of(given)
    sample = Sample(settings.num_null, np.random.default_rng([settings.seed, 0]))
    total, chroms = _survey(variants, sample)
    if not total:
        raise ValueError(f"{given} holds no variant" if isinstance(given, Path) else "no variant was given")
    genome = GenomeBases(source, chroms)
    scorer = VariantScorer(models, genome, settings)
    if figures:
        check_figures(figures, scorer, output, overwrite=overwrite)
    if progress:
        progress(0, total)
    output.parent.mkdir(parents=True, exist_ok=True)
    depends = _depends_on(scorer, source, given, peaks)
    with unfinished_parts(output, depends, overwrite=overwrite, leader=ranks.leads) as folder:
        ranks.wait()
        peaks_there, lost = _on_genome(peaks, source)
        _distributions(scorer, folder, sample.kept, peaks_there, ranks)
        parts, done = [], 0
        for index, chunk in enumerate(_chunks(variants())):
            parts.append(folder / f"{PART}{index:07d}.tsv")
            if ranks.owns(index) and not parts[-1].exists():
                statuses = scorer.statuses(chunk)
                scored = scorer.score([v for v, status in zip(chunk, statuses, strict=True) if status == OK])
                rows = list(zip(chunk, statuses, scorer.texts(chunk, statuses), strict=True))
                write_part(parts[-1], rows, scored, scorer.names)
            done += len(chunk)
            if progress:
                progress(done, total)
        ranks.wait()
        columns = score_columns(scorer.names, scorer.alleles.outputs)
        counts: Counter[str] = Counter()
        drawn: list[Path] = []
        if ranks.leads:
            with _figures(figures, scorer, parts, columns, overwrite) as drawn:
                if source_vcf is None:
                    counts = merge_tsv(parts, output, columns, overwrite=overwrite)
                else:
                    meanings = [scorer.describe(name) for name in scorer.names for _ in scorer.alleles.outputs]
                    described = dict(zip(columns, meanings, strict=True))
                    counts = merge_vcf(parts, source_vcf, output, described, overwrite=overwrite)
    statuses = [f"{number:,} {status}" for status, number in sorted(counts.items()) if status != OK]
    if unknown := [chrom for chrom in chroms if genome.known(chrom) is None]:
        statuses.append(f"the genome lacks {shown(unknown)}")
    what = str(given) if isinstance(given, Path) else "the variants given"
    text = lost_rows(what, kept=counts[OK], read=sum(counts.values()), unit="variants", lost=statuses)
    return Scored(output, tuple(columns), dict(counts), tuple(drawn), (*lost, *([text] if text else [])))


@contextmanager
def _figures(
    wanted: VariantFigures | None, scorer: VariantScorer, parts: Sequence[Path], columns: Sequence[str], overwrite: bool
) -> Iterator[list[Path]]:
    """Draw what is wanted and yield the files, which are there once the block has ended well."""
    if wanted is None:
        yield []
        return
    with finished_folder(wanted.folder, overwrite) as folder:
        largest = largest_variants(parts, columns, "logfc", count=wanted.count)
        yield [wanted.folder / name for name in draw_variants(scorer, largest, folder)]


def _check_output(given: list[str] | Path, output: Path) -> Path | None:
    """Return the VCF that is to be annotated; None where a TSV is to be written."""
    name = output.name.removesuffix(".gz")
    if name.endswith(".vcf"):
        if not isinstance(given, Path) or not is_vcf(given):
            raise ValueError(f"{output}: only a VCF can be annotated as a VCF; choose a name that ends in .tsv")
        return given
    if not name.endswith((".tsv", ".txt")):
        raise ValueError(f"the name of the output must end in .tsv, .tsv.gz, .vcf or .vcf.gz, got {output.name!r}")
    return None


def _survey(variants: Callable[[], Iterator[Variant]], sample: Sample) -> tuple[int, list[str]]:
    """Read all variants once: return how many there are and their chromosomes, and offer each to the sample."""
    total, chroms = 0, dict[str, None]()
    for variant in variants():
        total += 1
        chroms[variant.chrom] = None
        if sample.size and variant.kind == "sequence":
            sample.add(variant)
    return total, list(chroms)


def _depends_on(
    scorer: VariantScorer, source: GenomeStore | Fasta, given: list[str] | Path, peaks: pd.DataFrame | None
) -> dict[str, Any]:
    """Return all that a chunk depends on; not the batch size."""
    kept = {name: value for name, value in asdict(scorer.settings).items() if name != "batch_size"}
    models = scorer.alleles.models
    return {
        **kept,
        "cells": "normalised",  # parts of before hold no such cell
        "models": [model_fingerprint(model) for model in models],
        "device": models[0].device.type,
        "bf16": torch.is_autocast_enabled(models[0].device.type),
        "source": source_fingerprint(source),
        "variants": file_fingerprint(given) if isinstance(given, Path) else given,
        "peaks": table_fingerprint(peaks),
    }


def _on_genome(peaks: pd.DataFrame | None, source: GenomeStore | Fasta) -> tuple[pd.DataFrame | None, list[str]]:
    """Give peaks the genome's names of chromosomes; return also what is to be said of those that are lost."""
    if peaks is None or peaks.empty:
        return None, []
    names = match_chroms(peaks["chrom"].unique(), source.chrom_sizes, what="peaks with the genome")
    text = lost_of_table("the peaks", list(peaks["chrom"]), names, unit="peaks")
    return peaks.assign(chrom=peaks["chrom"].map(lambda chrom: names.get(chrom, chrom))), [text] if text else []


def _distributions(
    scorer: VariantScorer, folder: Path, sample: Sequence[Variant], peaks: pd.DataFrame | None, ranks: Ranks
) -> None:
    """Give the scorer its background and null distribution: made by the leader, kept with the parts."""
    path = folder / f"{PART}distributions.npz"
    if ranks.leads and not path.exists():
        if peaks is not None:
            scorer.find_background(peaks)
        if scorer.settings.num_null:
            scorer.find_null(sample)
        arrays = {f"null_{name}": values for name, values in scorer.null.items()}
        if scorer.background is not None:
            arrays["background"] = scorer.background
        with finished_file(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    ranks.wait()
    with np.load(path) as arrays:
        scorer.background = arrays.get("background")
        scorer.null = {name: arrays[f"null_{name}"] for name in scorer.alleles.tested if f"null_{name}" in arrays}


def _chunks(variants: Iterator[Variant]) -> Iterator[list[Variant]]:
    while chunk := list(islice(variants, _CHUNK)):
        yield chunk
