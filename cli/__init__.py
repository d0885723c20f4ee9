"""The command line: one typer app, one file a verb group."""

from .console import app


def main() -> None:
    """Run the command line."""
    app()


__all__ = ["app", "main"]
