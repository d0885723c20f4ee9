"""bigWig files written byte by byte: section types, byte orders and packings that pyBigWig does not write."""

import struct
import zlib
from pathlib import Path

import numpy as np

BEDGRAPH, VARIABLE_STEP, FIXED_STEP = 1, 2, 3


def write_raw_bigwig(
    path: Path,
    sizes: dict[str, int],
    sections: list[tuple[str, int, list[tuple[int, int, float]]]],
    *,
    order: str = "<",
    packed: bool = True,
) -> Path:
    """Write sections (chromosome, type, intervals) as they are given; steps and spans are those of the intervals.

    One leaf holds all blocks and one all chromosomes; there are no zoom levels. After Kent et al. 2010, supplementary
    tables 5 to 16.
    """
    numbers = {chrom: i for i, chrom in enumerate(sizes)}
    blocks, bounds = [], []
    for chrom, kind, intervals in sections:
        start, end = intervals[0][0], intervals[-1][1]
        span = intervals[0][1] - start
        step = max(0, intervals[1][0] - start) if len(intervals) > 1 else span
        body = struct.pack(f"{order}5IBBH", numbers[chrom], start, end, step, span, kind, 0, len(intervals))
        for first, last, value in intervals:
            body += {
                BEDGRAPH: lambda a=first, b=last, v=value: struct.pack(order + "IIf", a, b, v),
                VARIABLE_STEP: lambda a=first, v=value: struct.pack(order + "If", a, v),
                FIXED_STEP: lambda v=value: struct.pack(order + "f", v),
            }[kind]()
        blocks.append(zlib.compress(body) if packed else body)
        bounds.append((numbers[chrom], start, numbers[chrom], end))
    key_size = max(map(len, sizes))
    tree = struct.pack(order + "4IQQ", 0x78CA8C91, len(sizes), key_size, 8, len(sizes), 0)
    tree += struct.pack(order + "BBH", 1, 0, len(sizes))
    for chrom, size in sizes.items():
        tree += chrom.encode().ljust(key_size, b"\0") + struct.pack(order + "II", numbers[chrom], size)
    summary = struct.pack(order + "Q4d", 1, 0.0, 1.0, 1.0, 1.0)
    summary_at = 64 + len(tree)
    data_at = summary_at + len(summary)
    data = struct.pack(order + "Q", len(blocks)) + b"".join(blocks)
    index_at = data_at + len(data)
    index = struct.pack(order + "IIQ4IQII", 0x2468ACE0, len(blocks), len(blocks), 0, 0, 9, 0, index_at, 1, 0)
    index += struct.pack(order + "BBH", 1, 0, len(blocks))
    at = data_at + 8
    for block, bound in zip(blocks, bounds, strict=True):
        index += struct.pack(order + "4IQQ", *bound, at, len(block))
        at += len(block)
    largest = max(len(zlib.decompress(b)) if packed else len(b) for b in blocks) if packed else 0
    head = struct.pack(order + "IHHQQQHHQQIQ", 0x888FFC26, 4, 0, 64, data_at, index_at, 0, 0, 0, summary_at, largest, 0)
    path.write_bytes(head + tree + summary + data + index + struct.pack(order + "I", 0x888FFC26))
    return path


def per_base(sections: list[tuple[str, int, list[tuple[int, int, float]]]], chrom: str, size: int) -> np.ndarray:
    """Return the signal the sections say, (size,) float32, NaN where they say nothing."""
    signal = np.full(size, np.nan, np.float32)
    for name, _, intervals in sections:
        for start, end, value in intervals if name == chrom else ():
            signal[start:end] = value
    return signal
