"""What trained models have learned, on real data: motifs, marginal effects, and variants. All samples are small.

    pip install "chromhub[interpret]"
    python benchmarks/real_insight.py motifs NAME --run RUN --store STORE --meme FILE [--regions 150] [--motif REB1]
    python benchmarks/real_insight.py variants NAME --run RUN --data ../shared/data

`motifs` attributes the regions with the most measured signal (peaks of the store; where it has none, tiles of 512 bp;
the strongest 1 % left out as artefacts; with `--among SHARE` random ones of that share, the strongest), finds motifs
with tfmodisco-lite, names them after the MEME file, and inserts the motifs named, and of a track model Tn5's, into
shuffled backgrounds, which `marginal` does alone. Regions of all parts are taken: nothing here is an evaluation.

`variants` scores the dsQTL SNPs of chr22 (Lee et al. 2015) whose window has no N, and the GP1BA saturation mutagenesis
(Kircher et al. 2019), mean of both strands: the change of a classifier's logit, or of a track's log2 signal. AUPRC is
beside that of the published gkm-SVM score on the same SNPs, Spearman beside none. Each has the 95 % bootstrap interval
over variants.
"""

import argparse
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from chromhub.datasets_scripts.fasta import N_CODE, Fasta
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.variants import Variant
from chromhub.datasets_scripts.windows import peak_windows
from chromhub.inference.attribute import AttributionSettings
from chromhub.inference.attribution_folder import attribute_to_folder
from chromhub.inference.cpu import prepare_cpu
from chromhub.inference.load import load_sequence_model
from chromhub.inference.marginal_folder import chosen_motifs, write_effects
from chromhub.inference.marginalize import TN5, backgrounds, marginalize, marginalize_label, tn5_verdict
from chromhub.inference.motif_database import known_motifs
from chromhub.inference.motif_folder import motifs_to_folder
from chromhub.inference.ranking import average_precision, spearman
from chromhub.inference.variant_scorer import ScoreSettings, VariantScorer
from chromhub.inference.variant_truth import bootstrap
from chromhub.inference.variants import OK, GenomeBases, allele_windows
from chromhub.modeling import AtacForTrackPrediction

RESULTS = Path(__file__).parent / "results" / "insight.json"
_TILE = 512


def strongest(store: GenomeStore, count: int, *, among: float | None = None) -> pd.DataFrame:
    """Return the middles of the regions with the most signal of the first track, in the order of the genome.

    With `among`, as many are drawn at random from that share of all regions, the strongest.
    """
    tables = []
    for chrom, size in store.chrom_sizes.items():
        if store.peaks.empty:
            middles = np.arange(_TILE // 2, size - _TILE // 2, _TILE)
        else:
            rows = peak_windows(store.peaks[store.peaks["chrom"] == chrom], length=2)
            middles = rows["start"].to_numpy() + 1
        middles = middles[(middles > 2048) & (middles < size - 2048)]
        starts = (middles - _TILE // 2) // store.bin_size * store.bin_size
        flat = store.flat_starts(pd.DataFrame({"chrom": chrom, "start": starts}))
        signal = [store.gather(part, _TILE)[1][:, 0].sum(-1) for part in np.array_split(flat, 1 + len(flat) // 4096)]
        tables.append(pd.DataFrame({"chrom": chrom, "middle": middles, "signal": np.concatenate(signal)}))
    table = pd.concat(tables, ignore_index=True).sort_values("signal", ascending=False, kind="stable")
    if among is None:
        chosen = table.iloc[len(table) // 100 :][:count]
    else:
        chosen = table.iloc[: int(among * len(table))].sample(count, random_state=0)
    return chosen.sort_index()[["chrom", "middle"]].reset_index(drop=True)


def motifs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Attribute, find motifs, insert them."""
    store, model = GenomeStore.open(arguments.store), load_sequence_model(arguments.run)
    folder = arguments.work or Path(tempfile.mkdtemp(prefix="insight-"))
    settings = AttributionSettings("deep-lift", shuffles=arguments.shuffles, width=600)
    if not (folder / "attributions").exists():
        attribute_to_folder(
            model,
            store,
            folder / "attributions",
            regions=strongest(store, arguments.regions, among=arguments.among),
            settings=settings,
            progress=lambda done, total: print(f"{done} of {total} regions", flush=True) if done % 160 == 0 else None,
        )
    about = json.loads((folder / "attributions" / "attribute.json").read_text())
    found = motifs_to_folder(folder / "attributions", folder / "motifs", database=arguments.meme, overwrite=True)
    return {
        "run": Path(arguments.run).name,
        "store": store.path.resolve().name,
        "regions": about["regions"],
        "among": arguments.among,
        "shuffles": about["shuffles"],
        "largest_additivity_error": about["largest_additivity_error"],
        "seqlets": found["seqlets"],
        "database": found["database"],
        "tn5_share": found["tn5_share"],
        "motifs": [
            {**{key: motif[key] for key in ("name", "consensus", "seqlets", "share")}, "match": motif["matches"][0]}
            for motif in found["motifs"]
        ],
        **marginal(arguments, folder, found["tn5_share"]),
    }


def marginal(
    arguments: argparse.Namespace, folder: Path | None = None, tn5_share: float | None = None
) -> dict[str, Any]:
    """Insert the motifs named, and Tn5's, into shuffled backgrounds."""
    store, model = GenomeStore.open(arguments.store), load_sequence_model(arguments.run)
    folder = folder or arguments.work or Path(tempfile.mkdtemp(prefix="insight-"))
    wanted = chosen_motifs(arguments.motif, known_motifs(arguments.meme).motifs)
    windows = backgrounds(store, length=int(model.config.input_length or 0), count=arguments.backgrounds)
    if not isinstance(model, AtacForTrackPrediction):
        found = write_effects(marginalize_label(model, wanted, windows), {}, folder / "marginal", overwrite=True)
        return {"backgrounds": len(windows), "marginal": found["motifs"]}
    effects = marginalize(model, {**wanted, **TN5}, windows)
    verdict = tn5_verdict([effect for effect in effects if effect.name in TN5], tn5_share)
    options = {"bin_size": model.config.bin_size, "overwrite": True}
    found = write_effects(effects, {"tn5": verdict}, folder / "marginal", **options)
    return {"backgrounds": len(windows), "marginal": found["motifs"], "tn5": verdict}


def changes(run: str, genome: Fasta, table: pd.DataFrame, alleles: tuple[str, str]) -> np.ndarray:
    """Return the change of a classifier's first logit, or of a first track's log2 signal, from one allele to the other.

    The genome may hold either. NaN where it holds neither, or the window has an N.
    """
    model, bases = load_sequence_model(run), GenomeBases(genome, table["chrom"].unique())
    score = "logfc" if isinstance(model, AtacForTrackPrediction) else "logit_change"
    scorer = VariantScorer(model, bases, ScoreSettings(average_rc=True))
    length = int(model.config.input_length or 0)
    result = np.full(len(table), np.nan)
    for sign, (ref, alt) in ((1, alleles), (-1, alleles[::-1])):
        columns = (table[column].tolist() for column in ("chrom", "pos", ref, alt))
        given = [Variant(chrom, pos - 1, *pair) for chrom, pos, *pair in zip(*columns, strict=True)]
        usable = [
            i
            for i, status in enumerate(scorer.statuses(given))
            if status == OK
            and (allele_windows(given[i], given[i].chrom, bases.fetch, input_length=length) != N_CODE).all()
        ]
        if usable:
            result[usable] = sign * scorer.score([given[i] for i in usable])[score][:, 0]
    return result


def interval(measure: Any, *columns: np.ndarray) -> dict[str, float | None]:
    """Return a measure with its 95 % bootstrap percentile interval over rows."""
    return bootstrap(lambda *rows: {"found": measure(*rows)}, *columns)["found"]


def variants(arguments: argparse.Namespace) -> dict[str, Any]:
    """Score both sets."""
    data = arguments.data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chr22.fa"  # the file is plain gzip, without random access
        path.write_bytes(gzip.decompress((data / "human_hg19" / "hg19_chr22_partial.fa.gz").read_bytes()))
        return measured_variants(arguments.run, Fasta(path), data / "variants")


def measured_variants(run: str, genome: Fasta, folder: Path) -> dict[str, Any]:
    """Score both sets in `folder`."""
    dsqtl = pd.read_csv(folder / "dsqtl_lee2015_chr22.hg19.tsv", sep="\t")
    change = changes(run, genome, dsqtl, ("allele1", "allele2"))
    known = ~np.isnan(change)
    labels, theirs = (dsqtl["label"] > 0).to_numpy()[known], dsqtl["gkm_svm"].to_numpy()[known]
    mpra = pd.read_csv(folder / "mpra_kircher2019_GP1BA_chr22.hg19.tsv", sep="\t")
    mpra = mpra[mpra["ref"].isin(list("ACGT")) & mpra["alt"].isin(list("ACGT"))].reset_index(drop=True)
    effect = changes(run, genome, mpra, ("ref", "alt"))
    there = ~np.isnan(effect)
    return {
        "run": Path(run).name,
        "dsqtl": {
            "snps": int(known.sum()),
            "dsqtls": int(labels.sum()),
            "share": float(labels.mean()),
            "auprc": interval(average_precision, np.abs(change[known]), labels),
            "auprc_gkm_svm": interval(average_precision, np.abs(theirs), labels),
        },
        "gp1ba": {
            "variants": int(there.sum()),
            "spearman": interval(spearman, effect[there], mpra["log2_effect"].to_numpy()[there]),
        },
    }


def main() -> None:
    """Measure and write the results under NAME."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["motifs", "marginal", "variants"])
    parser.add_argument("name")
    parser.add_argument("--run", required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--meme", help="file, or jaspar:GROUP")
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--work",
        type=Path,
        help="folder that keeps attributions, motifs and pictures; attributions in it are taken as they are",
    )
    parser.add_argument("--regions", type=int, default=150)
    parser.add_argument("--among", type=float, help="draw regions at random from this share, the strongest")
    parser.add_argument("--shuffles", type=int, default=4)
    parser.add_argument("--backgrounds", type=int, default=60)
    parser.add_argument("--motif", action="append", default=[])
    arguments = parser.parse_args()
    prepare_cpu(1)
    found = {"motifs": motifs, "marginal": marginal, "variants": variants}[arguments.what](arguments)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results.setdefault(arguments.what, {})[arguments.name] = found
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(RESULTS)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
