"""Predictions for windows, for whole chromosomes, and as bigWig files.

Every chromosome has one grid of tiles: `target_length` bp each from position 0, every tile predicted from the window
of `input_length` bp around it, with N beyond the chromosome's ends. Tiles do not overlap and nothing is blended, so a
track does not depend on the batch size (but for rounding) or on what else was asked for.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.atomic import check_output
from ..datasets_scripts.bigwig import write_bigwig
from ..datasets_scripts.chrom_names import pair_chroms, shown
from ..datasets_scripts.fasta import N_CODE, Fasta
from ..datasets_scripts.loader import ahead
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.unfinished import PART, unfinished_parts
from ..modeling import AtacForTrackPrediction
from .averaging import BOTH_STRANDS, Models, as_models
from .fingerprints import model_fingerprint, source_fingerprint, table_fingerprint
from .ranks import ALONE, Ranks
from .track_parts import count_values, read_track_parts, write_track_part

_BLOCK = 1024  # tiles of a part
COMPLEMENT = np.array([3, 2, 1, 0, N_CODE], np.uint8)

Progress = Callable[[int, int], None]
"""Called with the number of windows done and of all windows; first with 0, once everything has been checked."""


def predict_batches(
    model: Models,
    batches: Iterable[np.ndarray],
    *,
    device: torch.device | str | None = None,
    average_rc: bool = BOTH_STRANDS,
    target_only: bool = True,
) -> Iterator[np.ndarray]:
    """Predict the targets of windows, batch by batch.

    Args:
        model: in evaluation mode; of several, predictions are averaged in the scale of training.
        batches: (B, L) uint8 codes each, L = `input_length`; B may differ.
        device: where the model is moved first; None leaves it where it is. Within `inference.cpu.computing` with
            `bf16`, the model computes in bfloat16.
        average_rc: predict both strands and average them in the scale of training. That is the scale of the loss and of
            the metrics: one strand that overshoots weighs no more there than one that undershoots.
        target_only: leave out the context on both sides.

    Yields:
        (B, T, bins of the target or of the window) float32, in the scale of training (`model.to_signal` gives raw
        units).

    Raises:
        ValueError: a model is in training mode, models do not go together, or a prediction is not finite.
    """
    models = as_models(model)
    if device is not None:
        for each in models:
            each.to(torch.device(device))  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    for codes in batches:
        predictions = np.mean([_predict(each, codes, target_only) for each in models], axis=0)
        if average_rc:
            reverse = COMPLEMENT[codes[:, ::-1]]
            backward = np.mean([_predict(each, reverse, target_only) for each in models], axis=0)
            predictions = (predictions + backward[..., ::-1]) / 2
        if not np.isfinite(predictions).all():
            raise ValueError("the model predicted values that are not finite; its weights are damaged, train it again")
        yield predictions


def predict_chrom(
    model: Models,
    codes: np.ndarray,
    *,
    tiles: np.ndarray | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    average_rc: bool = BOTH_STRANDS,
) -> Iterator[tuple[int, np.ndarray]]:
    """Predict a chromosome tile by tile, in order.

    Args:
        model: as in `predict_batches`.
        codes: (size,) uint8 codes of the whole chromosome.
        tiles: ascending indices of the tiles to predict; None for all.
        batch_size: tiles predicted at once.
        device: as in `predict_batches`.
        average_rc: as in `predict_batches`.

    Yields:
        Where a run of adjacent tiles of one batch starts, in bp, and its signal, (T, bins) float32 in raw units. The
        last tile ends with the chromosome's last bin.
    """
    first = as_models(model)[0]
    config = first.config
    num_bins = -(-len(codes) // config.bin_size)
    tile_bins = config.target_length // config.bin_size
    if tiles is None:
        tiles = np.arange(-(-num_bins // tile_bins))
    batches = [tiles[i : i + batch_size] for i in range(0, len(tiles), batch_size)]
    context = (config.input_length - config.target_length) // 2
    windows = (cut_windows(codes, batch * config.target_length - context, config.input_length) for batch in batches)
    if torch.device(device or first.device).type == "cuda":
        windows = ahead(windows)
    predicted = predict_batches(model, windows, device=device, average_rc=average_rc)
    for batch, predictions in zip(batches, predicted, strict=True):
        signal = first.to_signal(torch.from_numpy(predictions)).numpy()  # (B, T, tile_bins)
        for run in np.split(np.arange(len(batch)), np.flatnonzero(np.diff(batch) > 1) + 1):
            stitched = signal[run].transpose(1, 0, 2).reshape(signal.shape[1], -1)
            yield int(batch[run[0]]) * config.target_length, stitched[:, : num_bins - int(batch[run[0]]) * tile_bins]


def cut_windows(codes: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Cut windows from a chromosome, with N beyond its ends.

    Args:
        codes: (size,) uint8.
        starts: (B,) bp, may be negative.
        length: bp of every window.

    Returns:
        (B, length) uint8.
    """
    inside = (starts >= 0) & (starts + length <= len(codes))
    if len(starts) and inside.all():
        return np.lib.stride_tricks.sliding_window_view(codes, length)[starts]
    windows = np.full((len(starts), length), N_CODE, np.uint8)
    if inside.any():
        windows[inside] = cut_windows(codes, starts[inside], length)
    for row in np.flatnonzero(~inside):
        first, last = np.clip([starts[row], starts[row] + length], 0, len(codes))
        windows[row, first - starts[row] : last - starts[row]] = codes[first:last]
    return windows


@dataclass(frozen=True)
class PredictedTracks:
    """The files that `predict_to_bigwig` wrote.

    Attributes:
        paths: one a track.
        chroms: chromosomes with predictions.
        num_bins: bins with predictions in each file.
    """

    paths: tuple[Path, ...]
    chroms: tuple[str, ...]
    num_bins: int


def track_paths(path: str | Path, track_names: Iterable[str]) -> tuple[Path, ...]:
    """Return the file of each track: `path` itself for one track, name.TRACK.bw for each of several.

    Raises:
        ValueError: two tracks would share a file.
    """
    path, names = Path(path), [re.sub(r"[^\w.+-]", "_", name) for name in track_names]
    if len(names) == 1:
        return (path,)
    if len(set(names)) < len(names):
        raise ValueError(f"track names must differ as file names, got {', '.join(names)}; rename them in config.json")
    return tuple(path.with_name(f"{path.stem}.{name}{path.suffix}") for name in names)


def whole_chroms(chrom_sizes: Mapping[str, int], chroms: Iterable[str]) -> pd.DataFrame:
    """Return chromosomes as regions (chrom, start, end); "chr1" and "1" are one name.

    Raises:
        ValueError: a chromosome that the genome lacks.
    """
    names = _known(chroms, chrom_sizes).values()
    return pd.DataFrame([(name, 0, chrom_sizes[name]) for name in names], columns=["chrom", "start", "end"])


def predict_to_bigwig(
    model: Models,
    source: GenomeStore | Fasta,
    path: str | Path,
    *,
    regions: pd.DataFrame | None = None,
    batch_size: int = 64,
    average_rc: bool = BOTH_STRANDS,
    overwrite: bool = False,
    progress: Progress | None = None,
    ranks: Ranks = ALONE,
) -> PredictedTracks:
    """Predict a genome, or regions of it, into one bigWig a track, in raw units.

    Memory holds one chromosome's sequence and about a thousand tiles. Predictions wait in a hidden folder beside the
    output (4 bytes a bin and track) until all are there, since a bigWig wants its chromosomes sorted by name and a
    FASTA may hold them in any order; a run that was interrupted goes on with what is there. A region is predicted on
    the same tiles as the whole chromosome and cut to the bins it touches. Tiles without a single A, C, G or T are left
    out, as gaps.

    Args:
        model: as in `predict_batches`, on the device to run on.
        source: where the sequence comes from.
        path: the file to make; see `track_paths` for several tracks.
        regions: columns chrom, start, end; None for the whole genome. They may overlap.
        batch_size: tiles predicted at once.
        average_rc: as in `predict_batches`.
        overwrite: replace existing files.
        progress: told how many tiles are done.
        ranks: of several processes with one `path`, which this is; each predicts its stretches, the leader writes.

    Returns:
        What was written; of a process that does not lead, the same without numbers.

    Raises:
        FileExistsError: a file exists and `overwrite` is not given.
        ValueError: a region on no chromosome or off its end, or nothing to predict.
    """
    models = as_models(model)
    config = models[0].config
    paths = track_paths(path, config.track_names or ())
    for file in paths:
        check_output(file, overwrite, inputs=[source.path])
    sizes, bin_size, tile = source.chrom_sizes, config.bin_size, config.target_length
    wanted = regions_by_chrom(regions, sizes)
    tiles = {chrom: np.flatnonzero(_touched(rows, step=tile, size=sizes[chrom])) for chrom, rows in wanted.items()}
    done, total = 0, sum(map(len, tiles.values()))
    if progress:
        progress(0, total)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    rank_of = {chrom: i for i, chrom in enumerate(sizes)}
    parts: dict[str, list[Path]] = {}
    depends = {
        "models": [model_fingerprint(each) for each in models],
        "device": models[0].device.type,
        "bf16": torch.is_autocast_enabled(models[0].device.type),
        "source": source_fingerprint(source),
        "regions": table_fingerprint(regions),
        "average_rc": average_rc,
    }
    with unfinished_parts(paths[0], depends, overwrite=overwrite, leader=ranks.leads) as folder:
        ranks.wait()
        index = 0
        for chrom, codes in chromosomes(source, wanted):
            called = np.array([i for i in tiles[chrom] if (codes[i * tile : (i + 1) * tile] != N_CODE).any()], np.int64)
            done += len(tiles[chrom]) - len(called)
            asked = _touched(wanted[chrom], step=bin_size, size=len(codes))
            for first in range(0, len(called), _BLOCK):
                block = called[first : first + _BLOCK]
                part = folder / f"{PART}{rank_of[chrom]:06d}-{first // _BLOCK:06d}.npz"
                parts.setdefault(chrom, []).append(part)
                index += 1
                if not ranks.owns(index - 1) or part.exists():
                    done += len(block)
                    continue
                runs = []
                for start, signal in predict_chrom(
                    models, codes, tiles=block, batch_size=batch_size, average_rc=average_rc
                ):
                    inside = asked[start // bin_size : start // bin_size + signal.shape[1]]
                    runs.append((start, np.where(inside, signal, np.float32(np.nan))))
                    done += -(-signal.shape[1] * bin_size // tile)
                    if progress:
                        progress(done, total)
                write_track_part(part, runs)
        if progress:
            progress(total, total)
        ranks.wait()
        if not ranks.leads:
            return PredictedTracks(paths, (), 0)
        counts = count_values(parts)
        if not counts:
            raise ValueError("there is nothing to predict: the sequence asked for has no base but N")
        header = {chrom: sizes[chrom] for chrom in sorted(sizes)}
        for track, file in enumerate(paths):
            write_bigwig(file, header, read_track_parts(parts, track), bin_size=bin_size, overwrite=overwrite)
    return PredictedTracks(paths, tuple(counts), sum(counts.values()))


def regions_by_chrom(regions: pd.DataFrame | None, chrom_sizes: Mapping[str, int]) -> dict[str, pd.DataFrame]:
    """Return the rows of each chromosome under the genome's names; every region must lie on the genome."""
    if regions is None:
        regions = whole_chroms(chrom_sizes, chrom_sizes)
    if regions.empty:
        raise ValueError("there is nothing to predict: no region was given")
    regions = regions.assign(chrom=regions["chrom"].replace(_known(regions["chrom"], chrom_sizes)))
    sizes = np.array([chrom_sizes[chrom] for chrom in regions["chrom"]])
    off_end = regions[regions["end"] > sizes]
    if len(off_end):
        chrom, start, end = off_end.iloc[0][["chrom", "start", "end"]]
        raise ValueError(
            f"regions must end within their chromosome, but {chrom}:{start}-{end} does not ({chrom} has "
            f"{chrom_sizes[chrom]} bp; {len(off_end)} such regions): are they of another assembly?"
        )
    return {str(chrom): rows for chrom, rows in regions.groupby("chrom", sort=False)}


def _known(chroms: Iterable[str], chrom_sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the genome's name of each chromosome, all of which it must have."""
    chroms = list(dict.fromkeys(chroms))
    names = pair_chroms(chroms, list(chrom_sizes))
    if unknown := [chrom for chrom in chroms if chrom not in names]:
        raise ValueError(f"the genome has no chromosomes {shown(unknown)}; it has {shown(chrom_sizes)}")
    return names


def _touched(regions: pd.DataFrame, *, step: int, size: int) -> np.ndarray:
    """Tell which steps of a chromosome's grid regions overlap, (ceil(size / step),) bool."""
    touched = np.zeros(-(-size // step), bool)
    for start, end in zip(regions["start"], regions["end"], strict=True):
        touched[start // step : -(-end // step)] = True
    return touched


def chromosomes(source: GenomeStore | Fasta, wanted: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the codes of the wanted chromosomes, one at a time."""
    if isinstance(source, Fasta):
        yield from ((chrom, codes) for chrom, codes in source.read_codes() if chrom in wanted)
    else:
        yield from ((chrom, source.codes(chrom)) for chrom in wanted)


def _predict(model: AtacForTrackPrediction, codes: np.ndarray, target_only: bool) -> np.ndarray:
    """Return predictions, (B, T, bins) float32 in the scale of training."""
    inputs = torch.from_numpy(np.ascontiguousarray(codes))
    return model.predict(inputs, target_only=target_only).cpu().numpy()
