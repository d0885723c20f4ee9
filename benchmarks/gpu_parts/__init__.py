"""The parts of benchmarks/gpu.py, one file each; `part.py` is what they share."""
