"""The mode of fine-tuning where the user names none: the one that did best on about as many windows.

What did best was measured by `chromhub curve` on the validation windows of blood cell types that the base had not seen:
benchmarks/transfer_blood.py rewrites measured_modes.json. Among modes that are as good, up to `TIE`, the one that
trains fewest parameters is taken: it is the smallest to keep and to share, and leaves most of the base as it is.
"""

import json
import math
from pathlib import Path
from typing import Any

from ..inference.load import load_any
from .data_source import choose_windows, open_data
from .recipe import load_recipe

MEASURED_TASK = "classification"  # its modes tell nothing of models of signal
MEASURED = Path(__file__).parent / "measured_modes.json"
TIE = 0.005  # of AUROC
_NOT_HERE = {"scratch"}  # it starts from no base


def default_mode(**flags: Any) -> tuple[str, str]:
    """Choose the mode for a recipe without one.

    Args:
        **flags: fields of the recipe: `base`, `data` and whatever else the user said.

    Returns:
        The mode, and a sentence that says why.

    Raises:
        FileNotFoundError: no such base or data.
        ValueError: fields that fit no recipe, or no window of the data.
    """
    new_head = bool(flags.get("new_head"))
    recipe = load_recipe(None, **flags, mode="full" if new_head else "lora")
    assert recipe.base is not None  # the recipe holds it
    if recipe.task != MEASURED_TASK:
        kind = "landscapes" if recipe.task == "landscape" else "models of signal"
        return recipe.mode or "lora", f"mode {recipe.mode}: no mode was measured on {kind}; --mode chooses another"
    data = open_data(recipe.data, recipe.tracks)
    config: Any = load_any(recipe.base).config
    train_windows, _, _ = choose_windows(recipe, data, config)
    without = {"lora"} if new_head else set()
    if recipe.max_steps is not None:
        without.add("two-stage")  # its first stage is counted in epochs, and may take all of them
    return mode_for(len(train_windows), without=without)


def mode_for(num_windows: int, *, without: set[str] = frozenset()) -> tuple[str, str]:  # pyright: ignore[reportArgumentType]
    """Choose the mode for so many training windows, and say why.

    Args:
        num_windows: above 0.
        without: modes that cannot be taken.
    """
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    nearest = min(measured["sizes"], key=lambda size: abs(math.log(size["windows"] / num_windows)))
    modes = {name: of for name, of in nearest["modes"].items() if name not in _NOT_HERE | without}
    best = max(of["mean"] for of in modes.values())
    good = {name: of for name, of in modes.items() if of["mean"] >= best - TIE}
    mode = min(good, key=lambda name: good[name]["parameters_trained"])
    others = ", ".join(f"{name} {of['mean']:.3f}" for name, of in modes.items() if name != mode)
    return mode, (
        f"mode {mode}: on {nearest['windows']:,} windows, the measured size nearest to these {num_windows:,}, it "
        f"reached {measured['metric_name']} {modes[mode]['mean']:.3f} ({others}); --mode chooses another"
    )
