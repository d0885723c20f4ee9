"""BAM -> chunks of reads' cut ends, through pysam (the extra `bam`)."""

from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .reads import NO_CUT, ReadChunk, ReadRules

_CHUNK = 1_000_000  # reads held at a time
_THREADS = 2  # that decompress
_PAIRED, _PROPER, _UNMAPPED, _REVERSE = 0x1, 0x2, 0x4, 0x10
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # SAM specification 4.1.2
_NUM_FLAGS = 1 << 12  # SAM specification 1.4: twelve bits
_OTHER_MATE = "the other mate of a pair"
# The first that holds is the reason.
_REASONS = (
    (_UNMAPPED, "unmapped"),
    (0x100, "secondary alignment"),
    (0x800, "supplementary alignment"),
    (0x200, "failed quality control"),
    (0x400, "marked duplicate"),
)


def bam_chrom_sizes(path: Path) -> dict[str, int]:
    """Return the size in bp of each chromosome in a BAM's header.

    Raises:
        ValueError: pysam is not installed, not a BAM, or a damaged one.
    """
    with _open(path) as file:
        return dict(zip(file.references, file.lengths, strict=True))


def read_bam(path: Path, rules: ReadRules, dropped: Counter[str]) -> Iterator[ReadChunk]:
    """Read a BAM, sorted or not, indexed or not.

    A proper pair is one fragment, taken from its forward mate: from that one's start over the template length. A read
    without mate is one cut, its 5' end. Every alignment that is not counted is counted in `dropped`, by its first
    reason.

    Args:
        path: the file.
        rules: which reads count.
        dropped: number of alignments left out by reason, added to.

    Raises:
        ValueError: pysam is not installed, not a BAM, or a damaged one.
    """
    reason_of_flag = [_reason(flag, rules) for flag in range(_NUM_FLAGS)]
    left_out: Counter[int] = Counter()
    quality = rules.min_mapping_quality
    with _open(path) as file:
        names = pd.Index(file.references)
        chroms, firsts, lasts = array("i"), array("q"), array("q")
        for read in file.fetch(until_eof=True):
            flag = read.flag
            if reason_of_flag[flag]:
                left_out[flag] += 1
                continue
            if quality and not _is_unique(read, quality):
                dropped[f"mapping quality below {quality}"] += 1
                continue
            start = read.reference_start
            if flag & _PAIRED:
                length = read.template_length
                if length < 0 and read.next_reference_start == start:
                    length = -length  # which of two mates with one start is the left one is arbitrary
                if length <= 0:
                    dropped["mates that do not face each other"] += 1
                    continue
                firsts.append(start)
                lasts.append(start + length - 1)
            elif flag & _REVERSE:
                end = read.reference_end
                if end is None:
                    dropped["no alignment"] += 1
                    continue
                firsts.append(NO_CUT)
                lasts.append(end - 1)
            else:
                firsts.append(start)
                lasts.append(NO_CUT)
            chroms.append(read.reference_id)
            if len(chroms) == _CHUNK:
                yield _chunk(chroms, firsts, lasts, names)
                chroms, firsts, lasts = array("i"), array("q"), array("q")
        if chroms:
            yield _chunk(chroms, firsts, lasts, names)
    for flag, number in left_out.items():
        dropped[reason_of_flag[flag]] += number


def _reason(flag: int, rules: ReadRules) -> str:
    """Return why alignments with a flag do not count, "" if they do."""
    for bit, reason in _REASONS:
        if flag & bit and not (reason == "marked duplicate" and rules.duplicates == "keep"):
            return reason
    if flag & _PAIRED and not flag & _PROPER:
        return "not a proper pair"
    return _OTHER_MATE if flag & _PAIRED and flag & _REVERSE else ""


def _is_unique(read: Any, quality: int) -> bool:
    """Return whether a read, and its mate as far as the MQ tag tells, is mapped with at least this quality."""
    if read.mapping_quality < quality:
        return False
    return not (read.flag & _PAIRED and read.has_tag("MQ")) or read.get_tag("MQ") >= quality


def _chunk(chroms: array, firsts: array, lasts: array, names: pd.Index) -> ReadChunk:
    """Return what was gathered."""
    codes = np.frombuffer(chroms, np.int32)
    chrom = pd.Categorical.from_codes(codes, names)  # pyright: ignore[reportArgumentType]
    return ReadChunk(chrom, np.frombuffer(firsts, np.int64), np.frombuffer(lasts, np.int64))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Yield the open file; what pysam finds wrong with it becomes a ValueError."""
    try:
        import pysam
    except ModuleNotFoundError as error:
        raise ValueError(f'{path} is a BAM, which needs pysam: pip install "chromhub[bam]"') from error
    with path.open("rb") as binary:
        binary.seek(max(0, path.stat().st_size - len(_END)))
        if binary.read() != _END:
            raise ValueError(
                f"{path} is no BAM, or a truncated one (it lacks BGZF's last block): copy or make it again"
            )
    verbosity = pysam.set_verbosity(0)  # htslib prints what is raised here
    try:
        with pysam.AlignmentFile(str(path), "rb", threads=_THREADS) as file:
            yield file
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no BAM, or a truncated or damaged one ({error}): copy or make it again") from error
    finally:
        pysam.set_verbosity(verbosity)
