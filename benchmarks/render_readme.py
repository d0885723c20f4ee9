"""Write the measured tables of README.md and docs from benchmarks/results, and README's tree: no number there is typed.

    python benchmarks/render_readme.py [--check]

A table lives between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; the functions below are the names.
"""

import argparse
import ast
import json
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "docs" / "claster.md",
    ROOT / "docs" / "recipes.md",
    ROOT / "docs" / "adaptation.md",
    ROOT / "docs" / "gpu.md",
)
BIN_SIZES = ("4", "16", "128", "512")
PEARSONS = ("pearson_log1p", "pearson_of_tissue_difference")


def read(name: str) -> dict:
    """Return one results file, empty where it does not exist yet."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Two digits after the point, or a dash."""
    return "-" if value is None else f"{value:.2f}"


def real_data() -> str:
    """Test Pearson by bin size beside the floor and the ceiling."""
    rows = []
    for name, run in [item for job in ("yeast", "celegans") for item in read(f"real_data_{job}").items()]:
        for test_set in ("genome_wide", "peaks"):
            pearson = pearson_by_bin(run["metrics"], test_set)
            if pearson:
                values = [number(pearson.get(size)) for size in BIN_SIZES]
                rows.append([f"**{name}**, {test_set.replace('_', '-')}", *values])
        halves = run["ceiling_half_agreement"]
        rows.append(["halves of the data agree", *(number(halves[size]) for size in BIN_SIZES)])
        rows.append(["6-mer ridge, made here", "-", "-", "-", number(run["floor_512bp_6mer_ridge"])])
        rows.append(["6-mer ridge, as stated with the data", "-", "-", "-", number(run["floor_stated"])])
    return table(["test Pearson, log1p", *(f"{size} bp" for size in BIN_SIZES)], rows)


def pearson_by_bin(metrics: dict, test_set: str) -> dict[str, float]:
    """Return the pooled log1p Pearson of the first track, by bin size."""
    (sets,) = list(metrics["results"].values())[:1]
    pooled = sets.get(test_set, {}).get("pooled", {})
    return {size: scales["log1p"]["pearson"] for size, scales in pooled.items()}


def zoo() -> str:
    """Each published preset against the reference package: as shipped, and like for like below it."""
    results = read("zoo")
    measures = max((list(result["measures"]) for result in results.values()), key=len, default=[])
    rows = []
    for name, result in results.items():
        batch = f"batch {result['batch_size']}, {result['rounds']} rounds"
        for variant, title in (("as shipped", f"**{name}**, {batch}"), ("our allocator", "like for like")):
            ratios = {name: f"{row[variant]['ratio']:.1f}x" for name, row in result["measures"].items()}
            rows.append([title, *(ratios.get(name, "-") for name in measures)])
    return table(["times faster than the reference in float32", *measures], rows)


def data() -> str:
    """A store's batches against the other ways to feed a model."""
    result = read("data")
    rows = [
        [
            f"{peer}, {name}",
            f"{row['ratio']:.1f}x",
            span(row["ratio_range"], "{:.1f}"),
            f"{row['ratio_by_the_clock']:.1f}x",
            f"{row['store_windows_per_second']:,}",
            f"{row['peer_windows_per_second']:,}",
        ]
        for peer, variants in result.get("peers", {}).items()
        for name, row in variants.items()
    ]
    title = f"{result.get('windows')}; {result.get('rounds')} rounds"
    header = [title, "ratio", "range", "by the clock", "store, windows/s", "peer, windows/s"]
    return table(header, rows) if rows else ""


def streaming() -> str:
    """Exported windows, streamed and map-style, against the store in memory."""
    result = read("streaming") or read("data").get("streaming", {})
    rows = [
        [
            name,
            f"{row['windows_per_second']:,}",
            span(row["windows_per_second_range"], "{:,}"),
            f"{row['windows_per_cpu_second']:,}",
            f"{row['first_batch_seconds'] * 1e3:.0f} ms",
            f"{row['longest_wait_seconds'] * 1e3:,.0f} ms",
        ]
        for name, row in result.get("readers", {}).items()
    ]
    title = f"{result.get('windows', 0):,} windows an epoch, {result.get('rounds')} rounds"
    header = [title, "windows a second", "range", "per second of processor time", "first batch", "longest wait"]
    return table(header, rows) if rows else ""


def store_build() -> str:
    """Making a store and writing a bigWig, against plain code and the reference package."""
    result = read("store_build")
    jobs = {
        "plain": "a store, against pyfaidx, `pyBigWig.values` and numpy",
        "reference": "a store, against the reference's preparation of its training windows",
        "reference_folds": "a store, against that of training and validation windows of each chromosome",
        "bigwig_writing": "a bigWig, against the reference's way to write it",
    }
    rows = [
        [
            title,
            f"{row['ratio']:.1f}x",
            span(row["ratio_range"], "{:.1f}"),
            f"{row['one_thread']:.1f}x" if "one_thread" in row else "-",
            f"{row['seconds']:.2f} s",
        ]
        for name, title in jobs.items()
        if isinstance(row := result.get(name), dict)
    ]
    if "bytes_per_bp" in result:
        theirs = result["reference"].get("bytes_per_bp") if isinstance(result.get("reference"), dict) else None
        ratio = f"{theirs / result['bytes_per_bp']:.1f}x" if theirs else "-"
        rows.append(["bytes a bp on disk, against the reference's", ratio, "-", "-", f"{result['bytes_per_bp']} bytes"])
    memory = result.get("memory", {})
    for name, title in (("build", "making a store of"), ("read", "reading every window of")):
        if name in memory:
            peak = f"{memory[name]['peak_gb']} GB"
            rows.append([f"peak memory, {title} {memory['gigabases']} Gb", "-", "-", "-", peak])
    title = f"{result.get('megabases', 0):g} Mb, {result.get('rounds')} rounds"
    header = [title, "ratio by the clock", "range", "by processor time", "ours"]
    return table(header, rows) if rows else ""


def transfer_blood() -> str:
    """Each way to learn six blood cell types, by share of the data, beside the floor and the untuned base."""
    result = read("transfer_blood")
    if "together" not in result:
        return ""
    groups = (
        ("together", result["together"]),
        ("together-longer", result["together-longer"]),
        ("together-dhs-base", result.get("together-dhs-base", [])),
        ("alone", result["alone"]["mean_over_types"]),
    )
    alone = result["alone"]["types"]
    kinds = {
        "together": "together",
        "together-longer": "together",
        "together-dhs-base": "together, from the base that saw no blood type",
        "alone": "each alone" if len(alone) == len(result["types"]) else " and ".join(alone) + " alone",
    }
    rows = [
        transfer_row(kinds[kind], point, result["steps"][kind])
        for kind, points in groups
        for point in sorted(points, key=lambda point: (point["mode"] != "base", point["mode"] != "floor"))
        if kind != "together-longer" or point["mode"] not in ("base", "floor")
        if kind != "together-dhs-base" or point["mode"] != "floor"
    ]
    metrics = ["AUROC, other types", "AUPRC, other types", "AUROC, closed", "AUPRC, closed", "peak signal, Pearson"]
    return table(["test AUROC, mean over the types", "windows", "parameters trained", *metrics], rows)


def transfer_row(of_types: str, point: dict, steps: int) -> list[str]:
    """One mode and fraction: the mean, and in parentheses the worst and the best seed where there are several."""
    beside = {"base": "the untuned base", "floor": "floor: 6-mer ridge"}
    name = f"{beside.get(point['mode'], point['mode'])}, {of_types}"
    share = "" if point["mode"] == "base" else f", {100 * point['fraction']:g} %"
    trained = f"{point['parameters_trained']:,} in {steps} steps" if point["parameters_trained"] else "-"
    return [f"{name}{share}", f"{point['windows']:,}", trained, *map(over_seeds, point["metrics"].values())]


def over_seeds(values: dict | None) -> str:
    """The mean of a metric, with its spread where seeds differ."""
    if values is None:
        return "-"
    spread = "" if values["smallest"] == values["largest"] else f" ({values['smallest']:.3f}-{values['largest']:.3f})"
    return f"{values['mean']:.3f}{spread}"


def why_tuning_fails() -> str:
    """What is in the sequence, and what each change of a tuned network brings; validation windows."""
    result = read("why_tuning_fails")
    if not result:
        return ""
    rows = [
        [name, "-", "-", f"{row['other_types']:.3f}", f"{row['closed']:.3f}", ""]
        for name, row in result["untuned"].items()
    ]
    for row in result["runs"].values():
        before = result["runs"].get(row["against"] or "")
        gain = f"{row['other_types'] - before['other_types']:+.3f}" if before else ""
        start = f"{before['changed'].split(',')[0]}: " if before else ""
        cells = [
            f"{row['parameters']:,}",
            f"{row['steps']:,}",
            f"{row['other_types']:.3f}",
            f"{row['closed']:.3f}",
            gain,
        ]
        rows.append([f"{row['changed']}" + (f" (after {start.rstrip(': ')})" if before else ""), *cells])
    header = ["validation AUROC, mean of six types", "parameters", "steps", "other types", "closed", "change"]
    return table(header, rows)


def variants() -> str:
    """Scored variants a second against the reference, and memory against their number."""
    result = read("variants")
    rows = [
        [
            name,
            f"{row['variants_per_second']:.0f}",
            *(f"{row[key]['ratio']:.1f}x" for key in ("as shipped", "our allocator")),
        ]
        for name, row in result.items()
        if name != "memory"
    ]
    if memory := result.get("memory"):
        few, many = (count for count in memory if count != "ratio")
        peak = f"{memory[many]['peak_mb']:.0f} MB, {memory['ratio']:.3f}x that of {int(few):,}"
        rows.append([f"peak memory of {int(many):,} variants", "", peak, ""])
    header = ["processor time, one thread, float32", "variants/s", "against the reference as shipped", "like for like"]
    return table(header, rows) if rows else ""


def motifs() -> str:
    """Motifs found in attributions: of each database motif that one looks like, the one in most places."""
    rows = []
    for model, run in read("insight").get("motifs", {}).items():
        best: dict[str, dict] = {}
        for motif in run["motifs"]:
            like = motif["match"]["name"]
            if motif["match"]["e_value"] <= 0.05 and motif["seqlets"] > best.get(like, {"seqlets": 0})["seqlets"]:
                best[like] = motif
        sample = f"{model}: {run['regions']['kept']:,} regions"
        for like, motif in best.items():
            e_value = f"{motif['match']['e_value']:.0e}"
            sign = "rises" if motif["name"].startswith("pos") else "falls"
            rows.append([sample, like, motif["consensus"], sign, f"{motif['seqlets']:,}", e_value])
    header = ["attributed", "looks like", "consensus", "prediction", "places", "E-value"]
    return table(header, rows) if rows else ""


def marginal() -> str:
    """Motifs inserted into shuffled sequence."""
    rows = []
    for model, run in read("insight").get("motifs", {}).items():
        numbers = f"{run['backgrounds']} backgrounds"
        for motif in run["marginal"]:
            if "logit_change" in motif:
                rows.append([model, motif["name"], "logit", *interval(motif["logit_change"]), numbers])
            elif not motif["name"].startswith("tn5"):
                rows.append([model, motif["name"], "log2 at the motif", *interval(motif["local_log2_fold"]), numbers])
        tn5 = [motif for motif in run["marginal"] if motif["name"].startswith("tn5")]
        if tn5:
            strongest = max(tn5, key=lambda motif: motif["local_log2_fold"]["mean"])
            name = f"Tn5's own, strongest of {len(tn5)}"
            rows.append([model, name, "log2 at the motif", *interval(strongest["local_log2_fold"]), numbers])
    return table(["model", "inserted", "change of", "mean", "95 % interval", "sample"], rows) if rows else ""


def measured_variants() -> str:
    """Variants that were measured."""
    rows = []
    for model, run in read("insight").get("variants", {}).items():
        snps, gp1ba = run["dsqtl"], run["gp1ba"]
        peer = " ".join(interval(snps["auprc_gkm_svm"]))
        sample = f"{snps['dsqtls']} dsQTLs of {snps['snps']} SNPs"
        chance = f"{snps['share']:.2f}"
        rows.append([f"{model}: dsQTLs, AUPRC", *interval(snps["auprc"]), chance, f"gkm-SVM {peer}", sample])
        sample = f"{gp1ba['variants']} variants"
        rows.append([f"{model}: GP1BA, Spearman", *interval(gp1ba["spearman"]), "0", "", sample])
    header = ["measured", "value", "95 % interval", "at random", "published score", "sample"]
    return table(header, rows) if rows else ""


def additivity() -> str:
    """How far attributions are from additive, by kind of model."""
    found: dict[str, list[tuple[float, float | None]]] = {}
    for name, row in read("additivity").items():
        kind = "tiny presets" if name.endswith("-tiny") else "models that ship" if "-tiny-" in name else None
        kind = kind or ("models that ship" if "-small-" in name else "ChromTransfer" if " " in name else "full presets")
        gradients = row.get("integrated-gradients")
        error = gradients["largest_error"] if gradients else None
        found.setdefault(kind, []).append((row["deep-lift"]["largest_error"], error))
    rows = []
    for kind, errors in found.items():
        gradients = [error for _, error in errors if error is not None]
        left_out = f"{sum(error >= 1e-3 for error in gradients)} of {len(gradients)}" if gradients else "-"
        largest = f"{max(error for error, _ in errors):.0e}"
        within = [error for error in gradients if error < 1e-3]
        rows.append([kind, str(len(errors)), largest, f"{max(within):.0e}" if within else "-", left_out])
    header = ["random windows", "models", "DeepLIFT", "integrated gradients", "of these 0.001 or more, left out"]
    return table(header, rows) if rows else ""


def interval(found: dict) -> tuple[str, str]:
    """Return a value and its interval."""
    return f"{found['value'] if 'value' in found else found['mean']:.2f}", f"{found['low']:.2f} to {found['high']:.2f}"


def claster_yeast() -> str:
    """Transcription in yeast from chromatin: means over held-out chromosomes, and the one that a sequence model has."""
    result = read("claster_yeast")
    measures = ("pearson_log2p1", "pearson_raw", "spearman", "r2_raw")
    rows = []
    for level in ("bins", "genes", "start_sites"):
        linear = next(iter(result["runs"].values()))["mean"][level]["linear"]
        sides = {**{name: run["mean"][level]["model"] for name, run in result["runs"].items()}, "linear": linear}
        for name, numbers in sides.items():
            rows.append([level.replace("_", " "), name, *(f"{numbers[key]:.3f}" for key in measures)])
    for chrom, fold in result["sequence"]["test_chromosomes"].items():
        of_fold = result["runs"]["landscape"]["test_chromosomes"][chrom]
        for level in ("bins", "genes", "start_sites"):
            sides = {"landscape": of_fold[level]["model"], "linear": of_fold[level]["linear"]}
            for name, numbers in {**sides, "sequence": fold[level]["sequence"]}.items():
                of = f"{level.replace('_', ' ')}, {chrom} alone"
                rows.append([of, name, *(f"{numbers[key]:.3f}" for key in measures)])
    return table(["of", "by", "Pearson, log2(1 + x)", "Pearson, raw", "Spearman", "R2, raw"], rows)


def transfer_worm() -> str:
    """Neurons of the worm from the germline: signal, and the difference between the tissues."""
    result = read("transfer_worm")
    rows = [
        [
            name,
            f"{run['windows']:,}",
            f"{run['parameters_trained']:,}",
            *(number(run[key].get(size)) for key in PEARSONS for size in ("16", "128")),
        ]
        for name, run in result.items()
    ]
    parts = [f"{title}, {size} bp" for title in ("signal", "tissue difference") for size in (16, 128)]
    return table(["test Pearson, log1p", "windows", "parameters trained", *parts], rows) if rows else ""


def ablation() -> str:
    """Validation Pearson of each choice of training, and what it adds to the reference."""
    rows = []
    for species, found in read("ablation").get("species", {}).items():
        for name, run in found["runs"].items():
            seeds = list(run["seeds"].values())
            costs = [seed["processor_seconds"] for seed in seeds if seed["processor_seconds"] is not None]
            differences = [
                "" if name == "reference" else " ".join(f"{value:+.3f}" for value in run["differences"][size])
                for size in ("4", "128")
            ]
            rows.append(
                [
                    f"**{species}**, {found['part']}: {name}",
                    *(f"{run['pearson_log1p'][size]:.3f}" for size in ("4", "128")),
                    *differences,
                    f"{seeds[0]['steps']:,}",
                    f"{seeds[0]['parameters']:,}",
                    f"{sum(costs) / len(costs):.0f} s" if costs else "-",
                ]
            )
    values = [f"{what}, {size} bp" for what in ("Pearson", "over the reference") for size in (4, 128)]
    header = ["validation, log1p; a difference a seed", *values, "steps", "parameters", "processor time of training"]
    picture = "![Validation Pearson of each choice over the reference](figures/ablation.png)"
    return f"{table(header, rows)}\n\n{picture}" if rows else ""


def span(values: list[float], form: str) -> str:
    """Return a range."""
    return " to ".join(form.format(value) for value in values)


def presets() -> str:
    """Test Pearson of every preset at one budget on yeast."""
    results = read("presets_yeast")
    rows = [
        [name, f"{run['parameters']:,}", *(number(run["test_pearson_log1p"].get(size)) for size in BIN_SIZES)]
        for name, run in results.items()
    ]
    steps = {(run["steps"], run["windows"]) for run in results.values()}
    title = "; ".join(f"{num_steps} steps, {num_windows:,} windows" for num_steps, num_windows in sorted(steps))
    return table([title, "parameters", *(f"{size} bp" for size in BIN_SIZES)], rows)


def architectures() -> str:
    """Size, cost and reach of every preset."""
    results = read("architectures")
    rows = []
    for name, found in results.items():
        if name.endswith("-small"):
            continue
        small = results.get(f"{name}-small")
        local = found["local_reach"]["in_words"]
        rows.append(
            [
                name,
                f"{found['parameters']:,}",
                f"{found['flops'] / 1e9:.2f}",
                found["reach"]["in_words"],
                "-" if local == found["reach"]["in_words"] else local,
                found["lengths"],
                f"{small['parameters']:,}; {small['flops'] / 1e9:.2f}" if small else "-",
            ]
        )
    header = ["preset", "parameters", "GFLOP a window", "a bin sees", "without GRN or the final mean", "input lengths"]
    return table([*header, "-small: parameters; GFLOP"], rows)


def tree() -> str:
    """Every source file with the first sentence of its docstring; a file imports only files above it."""
    lines = []
    for folder in ("datasets_scripts", "modeling", "inference", "finetune", "hub_models", "cli"):
        files = {path.stem: ast.parse(path.read_text()) for path in sorted((ROOT / folder).glob("*.py"))}
        init = files.pop("__init__")
        siblings = {name: sibling_imports(tree, files) for name, tree in files.items()}
        lines.append(f"{folder + '/':34s}{summary(init)}")
        lines += [
            f"    {name + '.py':30s}{summary(files[name])}" for name in TopologicalSorter(siblings).static_order()
        ]
    return "\n".join(["```text", *lines, "```"])


def sibling_imports(tree: ast.Module, files: dict[str, ast.Module]) -> list[str]:
    """Return the files of its folder that a file imports, sorted."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return sorted({node.module for node in imports if node.module in files})


def summary(tree: ast.Module) -> str:
    """Return the first paragraph of a file's docstring on one line."""
    return (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")


def gpu() -> str:
    """What a card did: its roofs, windows a second of each preset with the share of the bf16 roof, whole jobs."""
    results = read("gpu")
    if not results:
        return "Not measured yet: no GPU was at hand."
    facts, tests = results.get("facts", {}), results.get("correctness", {})
    roofs = {name: rate["median"] for name, rate in facts.get("product_tflops", {}).items()}
    versions = facts.get("versions", {})
    told = [f"{name} {versions[name]}" for name in ("torch", "transformers") if versions.get(name)]
    about = [f"{facts.get('card', {}).get('name', 'a card')}, {', '.join(told)}."]
    about += [f"Matrix products: {', '.join(f'{name} {rate:.0f}' for name, rate in roofs.items())} TFLOP/s."]
    if "copy_tb_s" in facts:
        about += [f"A copy on the card: {facts['copy_tb_s']['median']:.2f} TB/s, read and written."]
    if "passed" in tests:
        about += [f"Tests on the card: {tests['passed']} passed, {len(tests['failures'])} failed."]
    rows = []
    for preset, found in results.get("throughput", {}).get("presets", {}).items():
        theirs = found.get("eager", {})
        for kind in ("eager", "compiled", "largest"):
            for way, rate in found.get(kind, {}).items():
                if not isinstance(rate, dict) or way.startswith("reference"):
                    continue
                mode = way.split()[0]
                passes = 3 if mode == "step" else 1
                share = rate["median"] * passes * found["gflop"] / 1e3 / roofs["bf16"] if "bf16" in roofs else None
                reference = theirs.get(f"reference {mode}")
                ratio = "-" if reference is None else f"{rate['median'] / reference['median']:.1f}x"
                cells = [f"{rate['median']:,.0f}", "-" if share is None else f"{share:.0%}", ratio]
                rows.append([preset, f"{way}, {kind}, batch {found[kind]['batch']}", *cells])
    header = ["preset", "", "windows/s", "of the bf16 roof", "times the reference as shipped"]
    job, lines = results.get("whole_job", {}), []
    if "train" in job:
        lines.append(f"* training from a store: {job['train']['windows_per_second']:,.0f} windows/s")
    for name, strands in (("chromosome", "both strands"), ("chromosome_one_strand", "one strand")):
        if name in job:
            size, took, ratio = (job[name][key] for key in ("bp", "seconds", "ratio"))
            lines.append(f"* {size / 1e6:.0f} Mb to bigWig, {strands}: {took:.1f} s, {ratio:.0f}x the 120 s stated")
    if "score" in job:
        lines.append(f"* `score`: {job['score']['per_second']:,.0f} variants/s")
    return "\n\n".join(filter(None, [" ".join(about), table(header, rows) if rows else "", "\n".join(lines)]))


TABLES = {
    "real-data": real_data,
    "zoo": zoo,
    "data": data,
    "streaming": streaming,
    "store-build": store_build,
    "architectures": architectures,
    "presets": presets,
    "transfer-blood": transfer_blood,
    "transfer-worm": transfer_worm,
    "why-tuning-fails": why_tuning_fails,
    "ablation": ablation,
    "variants": variants,
    "additivity": additivity,
    "motifs": motifs,
    "marginal": marginal,
    "measured-variants": measured_variants,
    "claster-yeast": claster_yeast,
    "gpu": gpu,
    "tree": tree,
}


def render(text: str) -> str:
    """Return `text` with every table made anew."""
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- begin: {name} -->\n).*?(<!-- end: {name} -->)", re.DOTALL)
        if pattern.search(text):
            made = make()
            text = pattern.sub(lambda match, made=made: f"{match[1]}{made}\n{match[2]}", text)
    return text


def main() -> None:
    """Rewrite the documents, or with --check say whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for document in DOCUMENTS:
        text = document.read_text()
        rendered = render(text)
        if arguments.check and rendered != text:
            name = document.relative_to(ROOT)
            raise SystemExit(f"{name} is not what the results say; run python benchmarks/render_readme.py")
        if not arguments.check:
            document.write_text(rendered)


if __name__ == "__main__":
    main()
