"""What a motif does on its own: predictions with and without it in sequences that hold nothing else.

Backgrounds are windows of the genome with all dinucleotides shuffled. The motif takes the place of the bases in the
middle, on both strands in turn, and the predicted signal (raw units) is compared with that of the same background. The
effect is log2((with + e) / (without + e)) of the mean signal over the target, and of that of the bins that the motif
touches; e is 1 % of the backgrounds' mean signal, so that an empty one does not decide. Both strands of a background
are averaged; the interval is the 95 % bootstrap percentile interval of the mean over backgrounds. Of a classifier the
effect is the change of a label's logit, in natural logarithms of odds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..datasets_scripts.fasta import N_CODE, Fasta, encode
from ..datasets_scripts.store import GenomeStore
from ..modeling import AtacForTrackPrediction
from .attribution_rules import tangermeme_module
from .class_predictions import class_logits
from .load import Classifier
from .predict import COMPLEMENT, Progress, chromosomes, cut_windows, predict_batches

# The sequences that ChromBPNet tests for Tn5's preference (kundajelab/chrombpnet, MIT; Pampari et al. 2024).
TN5 = {
    "tn5_1": "GCACAGTACAGAGCTG",
    "tn5_2": "GTGCACAGTTCTAGAGTGTGCAG",
    "tn5_3": "CCTCTACACTGTGCAGAA",
    "tn5_4": "GCACAGTTCTAGACTGTGCAG",
    "tn5_5": "CTGCACAGTGTAGAGTTGTGC",
}
CLEAR = 0.5  # log2, about 1.4-fold
_BOOTSTRAPS = 2000
Interval = tuple[float, float, float]  # mean, and the ends of its 95 % interval


@dataclass(frozen=True)
class MarginalEffect:
    """What one sequence does to a track in the backgrounds.

    Attributes:
        name: of the motif.
        sequence: inserted.
        backgrounds: their number.
        log2_fold: mean effect on the signal of the target, with its interval.
        local_log2_fold: the same of the bins that the motif touches.
        without: (bins,) mean signal of the backgrounds, raw units.
        inserted: (bins,) mean signal with the motif.
    """

    name: str
    sequence: str
    backgrounds: int
    log2_fold: Interval
    local_log2_fold: Interval
    without: np.ndarray
    inserted: np.ndarray

    @property
    def measures(self) -> dict[str, Interval]:
        """The effects by name, the one that motifs are sorted by first."""
        return {"log2_fold": self.log2_fold, "local_log2_fold": self.local_log2_fold}


@dataclass(frozen=True)
class LogitEffect:
    """What one sequence does to a classifier's label in the backgrounds; fields as of `MarginalEffect`."""

    name: str
    sequence: str
    backgrounds: int
    logit_change: Interval

    @property
    def measures(self) -> dict[str, Interval]:
        """The effect by name."""
        return {"logit_change": self.logit_change}


AnyEffect = MarginalEffect | LogitEffect


def effect_as_dict(effect: AnyEffect) -> dict[str, Any]:
    """Return an effect's numbers for JSON."""
    numbers = {
        name: dict(zip(("mean", "low", "high"), values, strict=True)) for name, values in effect.measures.items()
    }
    return {"name": effect.name, "sequence": effect.sequence, "backgrounds": effect.backgrounds, **numbers}


def backgrounds(source: GenomeStore | Fasta, *, length: int, count: int, seed: int = 0) -> np.ndarray:
    """Return shuffled windows of a genome without N, of places drawn at random.

    Args:
        source: the genome.
        length: bp of a window.
        count: of them.
        seed: of the places and of the shuffling.

    Returns:
        (count, length) uint8 codes.

    Raises:
        ModuleNotFoundError: tangermeme, which shuffles, is not installed.
        ValueError: the genome has too few places without N.
    """
    shuffle = tangermeme_module("ersatz").dinucleotide_shuffle
    rng = np.random.default_rng(seed)
    sizes = {chrom: size for chrom, size in source.chrom_sizes.items() if size >= length}
    if not sizes:
        raise ValueError(f"the genome has no chromosome of {length} bp, the model's window")
    shares = np.array(list(sizes.values())) / sum(sizes.values())
    wanted = dict(zip(sizes, rng.multinomial(count, shares).tolist(), strict=True))
    found = []
    for chrom, codes in chromosomes(source, [chrom for chrom in sizes if wanted[chrom]]):
        starts = rng.integers(0, len(codes) - length + 1, 20 * wanted[chrom])
        known = [start for start in starts if (codes[start : start + length] != N_CODE).all()][: wanted[chrom]]
        found.append(cut_windows(codes, np.array(known, np.int64), length))
    windows = np.concatenate(found)
    if not len(windows):
        raise ValueError(f"no place of the genome has {length} bp without N")
    one_hot = torch.from_numpy(np.eye(4, dtype=np.float32)[windows].transpose(0, 2, 1).copy())
    return shuffle(one_hot, n=1, random_state=seed)[:, 0].argmax(1).to(torch.uint8).numpy()


def insert(windows: np.ndarray, sequence: str) -> np.ndarray:
    """Return windows (B, L) with a sequence in the middle; N keeps the background's base.

    Raises:
        ValueError: a sequence that is empty, longer than the window, or not of A, C, G, T and N.
    """
    codes = encode(sequence.upper())
    if not len(codes) or len(codes) > windows.shape[1] or set(sequence.upper()) - set("ACGTN"):
        raise ValueError(
            f"a motif must be 1 to {windows.shape[1]} letters of A, C, G, T and N, got {sequence[:30]!r}"
            f"{'...' if len(sequence) > 30 else ''}"
        )
    first = (windows.shape[1] - len(codes)) // 2
    changed = windows.copy()
    place = changed[:, first : first + len(codes)]
    place[:, codes != N_CODE] = codes[codes != N_CODE]
    return changed


def marginalize(
    model: AtacForTrackPrediction,
    motifs: Mapping[str, str],
    windows: np.ndarray,
    *,
    track: int = 0,
    batch_size: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[MarginalEffect]:
    """Measure motifs in backgrounds.

    Args:
        model: in evaluation mode, on the device to run on.
        motifs: sequence by name.
        windows: from `backgrounds`.
        track: index.
        batch_size: windows at once.
        seed: of the bootstrap.
        progress: told how many motifs are done.
    """
    config = model.config
    if progress:
        progress(0, len(motifs))
    without = _signal(model, windows, track, batch_size)
    floor = 0.01 * max(float(without.mean()), 1e-12)
    effects = []
    for name, sequence in motifs.items():
        both = [insert(windows, strand) for strand in (sequence, _reverse_complement(sequence))]
        signals = [_signal(model, side, track, batch_size) for side in both]
        first = (config.input_length - len(sequence)) // 2 - config.crop_bins * config.bin_size
        touched = slice(max(0, first // config.bin_size), -(-(first + len(sequence)) // config.bin_size))
        folds = []
        for bins in (slice(None), touched):
            sides = [np.log2((side[:, bins].mean(1) + floor) / (without[:, bins].mean(1) + floor)) for side in signals]
            folds.append(mean_interval(np.mean(sides, axis=0), seed=seed))
        mean = np.mean(signals, axis=(0, 1))
        effects.append(MarginalEffect(name, sequence, len(windows), folds[0], folds[1], without.mean(0), mean))
        if progress:
            progress(len(effects), len(motifs))
    return effects


def marginalize_label(
    model: Classifier,
    motifs: Mapping[str, str],
    windows: np.ndarray,
    *,
    label: int = 0,
    batch_size: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[LogitEffect]:
    """Measure motifs in backgrounds by a classifier; arguments as of `marginalize`, with the index of a label."""

    def logits(given: np.ndarray) -> np.ndarray:
        batches = (given[i : i + batch_size] for i in range(0, len(given), batch_size))
        return np.concatenate(list(class_logits(model, batches, average_rc=False)))[:, label].astype(np.float64)

    if progress:
        progress(0, len(motifs))
    without = logits(windows)
    effects = []
    for name, sequence in motifs.items():
        both = [logits(insert(windows, strand)) for strand in (sequence, _reverse_complement(sequence))]
        effects.append(
            LogitEffect(name, sequence, len(windows), mean_interval(np.mean(both, axis=0) - without, seed=seed))
        )
        if progress:
            progress(len(effects), len(motifs))
    return effects


def mean_interval(values: np.ndarray, *, seed: int = 0, level: float = 0.95) -> Interval:
    """Return the mean of (n,) values and its bootstrap percentile interval."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (_BOOTSTRAPS, len(values)))].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def tn5_verdict(effects: list[MarginalEffect], motif_share: float | None = None) -> dict[str, Any]:
    """Judge whether a model has learned where Tn5 likes to cut.

    It has where one of Tn5's sequences changes the signal at itself by 1.4-fold or more, upwards, and surely so (the
    interval lies above 0): a rule of ours, as the paper states none. The share of motifs is told beside it.

    Args:
        effects: of the sequences of `TN5`.
        motif_share: of the places of motifs, in those that look like Tn5's, where `chromhub motifs` was run.
    """
    strongest = max(effects, key=lambda effect: effect.local_log2_fold[0])
    mean, low, _ = strongest.local_log2_fold
    learned = mean >= CLEAR and low > 0
    words = (
        f"{strongest.name} changes the signal at itself {2**mean:.2f}-fold (95 % from {2**low:.2f} on); "
        f"{'the model has learned' if learned else 'no sign that the model has learned'} Tn5's preference"
    )
    return {"learned": learned, "strongest": strongest.name, "motif_share": motif_share, "verdict": words}


def _signal(model: AtacForTrackPrediction, windows: np.ndarray, track: int, batch_size: int) -> np.ndarray:
    """Return the predicted signal of a track, (B, bins) float64 in raw units."""
    batches = (windows[i : i + batch_size] for i in range(0, len(windows), batch_size))
    predicted = predict_batches(model, batches, average_rc=False)
    found = [model.to_signal(torch.from_numpy(each)).numpy()[:, track] for each in predicted]
    return np.concatenate(found).astype(np.float64)


def _reverse_complement(sequence: str) -> str:
    codes = COMPLEMENT[encode(sequence.upper())[::-1]]
    return "".join("ACGTN"[code] for code in codes)
