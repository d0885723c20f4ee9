"""The architectures in numbers: every preset and its "-small" size, and ChromTransfer with its three heads.

Counted and measured on new models, as `chromhub info NAME` does; the same on every machine.

    python benchmarks/architectures.py [NAME ...]
"""

import argparse
import json
from pathlib import Path

from chromhub.inference.architecture import CHROMTRANSFER, describe
from chromhub.modeling import CHROMTRANSFER_PRESETS, PRESETS

RESULTS = Path(__file__).parent / "results" / "architectures.json"
NAMES = [
    *(name for name in PRESETS if not name.endswith(("-small", "-tiny"))),
    *(name for name in PRESETS if name.endswith("-small")),
    *(CHROMTRANSFER + preset for preset in CHROMTRANSFER_PRESETS),
]


def main() -> None:
    """Describe the models and write results/architectures.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; printed, and nothing is written")
    names = parser.parse_args().names
    results = {}
    for name in names or NAMES:
        results[name] = found = describe(name).to_dict()
        size, cost = f"{found['parameters']:>11,} parameters", f"{found['flops'] / 1e9:6.2f} GFLOP"
        print(f"{name:28} {size} {cost}  {found['reach']['in_words']}")
    if not names:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
