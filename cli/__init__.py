"""The command line: one typer app, one file a verb group."""

from . import data as _data  # noqa: F401 - importing a file registers its commands
from . import demo as _demo  # noqa: F401 - importing a file registers its commands
from . import evaluate as _evaluate  # noqa: F401 - importing a file registers its commands
from . import predict as _predict  # noqa: F401 - importing a file registers its commands
from . import push as _push  # noqa: F401 - importing a file registers its commands
from . import train as _train  # noqa: F401 - importing a file registers its commands
from .console import app


def main() -> None:
    """Run the command line."""
    app()


__all__ = ["app", "main"]
