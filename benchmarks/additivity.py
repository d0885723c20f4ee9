"""How far attributions are from summing to the change of the output: every preset, both additive methods.

    pip install "chromhub[interpret]"
    python benchmarks/additivity.py [--quick] [--only NAME ...] [--windows 1] [--shuffles 20] [--json]

Models with random weights (every parameter drawn, so that none is the identity as at the start of training), and those
that ship. `chromhub attribute` as it is: what misses 0.001 in float32 is done again in float64. The error is the
largest over the windows: of DeepLIFT over the references, of integrated gradients of their mean. Beside it is the
change of the output that the attributions add up to. Integrated gradients of the presets of full size would take hours
here and are left out; the tiny ones have the same layers. `--quick` takes the tiny presets alone.
"""

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chromhub.hub_models.registry import list_models
from chromhub.inference.attribute import ADDITIVE, AttributionSettings, attribute_window
from chromhub.inference.cpu import prepare_cpu
from chromhub.inference.load import load_sequence_model
from chromhub.modeling import (
    CHROMTRANSFER_PRESETS,
    PRESETS,
    AtacConfig,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
)
from torch import nn

RESULTS = Path(__file__).parent / "results" / "additivity.json"

_PATH = Path(__file__).parents[1] / "tests" / "modeling" / "random_models.py"
_SPEC = importlib.util.spec_from_file_location("random_models", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
random_models = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(random_models)


def models(quick: bool) -> dict[str, str]:
    """Return what is attributed, by name: "track", a preset of ChromTransfer, or the folder of a shipped model."""
    tiny = [name for name in PRESETS if name.endswith("-tiny")]
    full = [name for name in PRESETS if not name.endswith(("-tiny", "-small"))]
    if quick:
        return dict.fromkeys(tiny, "track")
    presets = {f"chromtransfer {name}": name for name in CHROMTRANSFER_PRESETS}
    shipped = {model.name: model.path for model in list_models() if model.path}
    return {**dict.fromkeys([*full, *tiny], "track"), **presets, **shipped}


def load(name: str, source: str) -> Any:
    """Return a model of random weights, or a shipped one."""
    torch.manual_seed(0)
    if source == "track":
        return strengthened(random_models.randomise(AtacForTrackPrediction(AtacConfig.from_preset(name))))
    if name.startswith("chromtransfer "):
        config = ChromTransferConfig.from_preset(source)
        return random_models.randomise(ChromTransferForSequenceClassification(config))
    return load_sequence_model(source)


@torch.no_grad()
def strengthened(model: AtacForTrackPrediction) -> AtacForTrackPrediction:
    """Scale a random head until windows differ in their mean output by about 0.3, around 3: errors show only so."""
    codes = torch.randint(0, 4, (8, model.config.input_length), generator=torch.Generator().manual_seed(0))
    nn.init.normal_(model.head.weight, std=0.05)
    nn.init.zeros_(model.head.bias)
    outputs: list[torch.Tensor] = []
    handle = model.head.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    model(codes)
    handle.remove()
    means = outputs[0].flatten(1).mean(1)  # before softplus, linear in the weights
    scale = 0.3 / means.std()
    model.head.weight *= scale
    nn.init.constant_(model.head.bias, 3 - float(means.mean() * scale))
    return model


def measure(model: Any, methods: tuple[str, ...], *, num_windows: int, shuffles: int) -> dict[str, Any]:
    """Attribute random windows."""
    length = int(model.config.input_length)
    windows = np.random.default_rng(0).integers(0, 4, (num_windows, length)).astype(np.uint8)
    found: dict[str, Any] = {"input_length": length}
    for method in methods:
        start = time.process_time()
        scores = [attribute_window(model, codes, AttributionSettings(method, shuffles=shuffles)) for codes in windows]
        own = [
            float((score.hypothetical * np.eye(4)[codes].T).sum()) for score, codes in zip(scores, windows, strict=True)
        ]
        found[method] = {
            "largest_error": max(score.additivity_error for score in scores),
            "mean_change": float(np.mean(np.abs(own))),
            "seconds": time.process_time() - start,
        }
    return found


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    prepare_cpu(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, source in models(arguments.quick).items():
        if arguments.only and name not in arguments.only:
            continue
        options = {"num_windows": arguments.windows, "shuffles": arguments.shuffles}
        methods = ADDITIVE if source != "track" or name.endswith("-tiny") else ADDITIVE[:1]
        results[name] = {**options, **measure(load(name, source), methods, **options)}
        if not arguments.json:
            errors = ", ".join(f"{method} {results[name][method]['largest_error']:.1e}" for method in methods)
            print(f"{name}: {errors}", flush=True)
        partial = RESULTS.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=1) + "\n")
        partial.replace(RESULTS)
    if arguments.json:
        print(RESULTS.read_text())


if __name__ == "__main__":
    main()
