import hashlib

import numpy as np
import pytest
from chromhub.datasets_scripts import fasta as fasta_module
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.store import flat_layout
from chromhub.datasets_scripts.store_codes import write_codes
from chromhub.datasets_scripts.store_inputs import InputReport, StoreInputs

from .conftest import write_fasta

SEQUENCES = {"chr1": "NNACGTNNNNNACGNN", "chr2": "ACGT", "chr3": "N", "chr4": "NACGTR"}


@pytest.mark.parametrize("block", [1, 5, 9, 1 << 20])
def test_codes_gaps_and_digests_at_any_size_of_pieces(tmp_path, monkeypatch, block) -> None:
    monkeypatch.setattr(fasta_module, "_BLOCK", block)
    fasta = write_fasta(tmp_path / "a.fa", SEQUENCES, width=4)
    inputs = StoreInputs(fasta, (), chroms=("chr1", "chr3", "chr4"))
    report = InputReport.of("fasta", fasta)
    genome = write_codes(tmp_path / "codes.npy", inputs, report, lambda stage, done, total: None)
    assert genome.sizes == {"chr1": 16, "chr3": 1, "chr4": 6}
    assert genome.all_sizes == {"chr1": 16, "chr2": 4, "chr3": 1, "chr4": 6}
    gaps = [["chr1", 0, 2], ["chr1", 6, 11], ["chr1", 14, 16], ["chr3", 0, 1], ["chr4", 0, 1], ["chr4", 5, 6]]
    assert genome.gaps.to_numpy().tolist() == gaps
    flat, (offsets, length) = np.load(tmp_path / "codes.npy"), flat_layout(genome.sizes)
    assert len(flat) == length
    for chrom, size in genome.sizes.items():
        codes = flat[offsets[chrom] : offsets[chrom] + size]
        assert decode(codes) == SEQUENCES[chrom].replace("R", "N")
        assert genome.digests[chrom] == hashlib.sha256(codes).hexdigest()[:16]
    assert np.count_nonzero(flat != 4) == 7 + 4  # nothing but N between chromosomes
    assert "1 IUPAC letters became N" in report.notes
