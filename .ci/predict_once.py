"""Make one prediction with the installed wheel: every sub-package must have come along."""

import subprocess
import sys
import tempfile
from pathlib import Path

import chromhub
import numpy as np
import pyBigWig
import torch

assert "site-packages" in chromhub.__file__, chromhub.__file__
folder = Path(tempfile.mkdtemp())
bases = np.random.default_rng(0).choice(list("ACGT"), 10_000)
(folder / "genome.fa").write_text(">chr1\n" + "".join(bases) + "\n")
torch.manual_seed(0)
model = chromhub.AtacForTrackPrediction(chromhub.AtacConfig.from_preset("convnext-dcnn-tiny"))
model.save_pretrained(folder / "model")
chromhub.DnaFeatureExtractor().save_pretrained(folder / "model")
command = Path(sys.executable).with_name("chromhub")
subprocess.run(
    [command, "predict", folder / "model", "--fasta", folder / "genome.fa", "--all", "-o", folder / "out.bw"],
    check=True,
    cwd=folder,
)
subprocess.run([command, "demo", "--help"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
with pyBigWig.open(str(folder / "out.bw")) as track:
    values = np.array(track.values("chr1", 0, 10_000))
assert np.isfinite(values).all(), "the predicted track has holes"
assert values.std() > 0, "the predicted track is constant"
sys.stdout.write(f"predicted {len(values):,} bp, mean {values.mean():.4f}\n")
