"""The command line: one typer app, one file a verb group."""

import warnings
from logging import INFO, StreamHandler, getLogger

from transformers.utils import logging

# Importing a file registers its commands.
from . import attribute as _attribute  # noqa: F401
from . import attribute_landscape as _attribute_landscape  # noqa: F401
from . import compare as _compare  # noqa: F401
from . import convert as _convert  # noqa: F401
from . import curve as _curve  # noqa: F401
from . import data as _data  # noqa: F401
from . import data_export as _data_export  # noqa: F401
from . import data_landscape as _data_landscape  # noqa: F401
from . import data_tracks as _data_tracks  # noqa: F401
from . import demo as _demo  # noqa: F401
from . import evaluate as _evaluate  # noqa: F401
from . import evaluate_variants as _evaluate_variants  # noqa: F401
from . import info as _info  # noqa: F401
from . import marginalize as _marginalize  # noqa: F401
from . import merge as _merge  # noqa: F401
from . import motifs as _motifs  # noqa: F401
from . import perturb as _perturb  # noqa: F401
from . import predict as _predict  # noqa: F401
from . import push as _push  # noqa: F401
from . import robustness as _robustness  # noqa: F401
from . import score as _score  # noqa: F401
from . import sequence_baseline as _sequence_baseline  # noqa: F401
from . import train as _train  # noqa: F401
from .console import app


def main() -> None:
    """Run the command line."""
    # peft reads a name that transformers deprecates: nothing a user could mend
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    logging.disable_progress_bar()  # bars of "Loading weights": each command shows its own
    log = getLogger("chromhub")  # says aloud what is taken from the Hub
    log.setLevel(INFO)
    log.addHandler(StreamHandler())
    app()


__all__ = ["app", "main"]
