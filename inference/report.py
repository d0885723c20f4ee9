"""A report: one HTML file that holds its pictures and asks nothing of the network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ..datasets_scripts.atomic import finished_file

TEMPLATE = Path(__file__).with_name("report.html.jinja")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        columns: headings; a line break in one is kept.
        rows: cells, one for each column.
        note: a sentence below.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"each row of a table must hold {len(self.columns)} cells, got {list(row)}")


@dataclass(frozen=True)
class Figure:
    """A picture of a report.

    Attributes:
        path: a PNG file.
        caption: what it shows; also what a screen reader says.
    """

    path: Path
    caption: str

    @property
    def base64(self) -> str:
        """The picture's bytes as text.

        Raises:
            ValueError: not a PNG file.
        """
        data = self.path.read_bytes()
        if not data.startswith(_PNG):
            raise ValueError(f"a picture of a report must be a PNG file, got {self.path}")
        return base64.b64encode(data).decode("ascii")


@dataclass(frozen=True)
class Section:
    """A section of a report: paragraphs, a table, pictures and code, in this order, each where given."""

    heading: str
    paragraphs: Sequence[str] = ()
    table: Table | None = None
    figures: Sequence[Figure] = field(default=())
    code: str = ""


def write_report(
    path: str | Path, *, title: str, lead: str, sections: Sequence[Section], footer: str = "", overwrite: bool = False
) -> None:
    """Write a self-contained HTML report; every text is escaped.

    Args:
        path: HTML file to write.
        title: its heading.
        lead: the finding, in a sentence or two.
        sections: in order.
        footer: how it was made.
        overwrite: replace an existing file.

    Raises:
        FileExistsError: `path` exists.
        FileNotFoundError: a picture is missing.
        ValueError: a picture is not a PNG file.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    html = template.render(title=title, lead=lead, sections=sections, footer=footer)
    with finished_file(path, overwrite=overwrite) as partial:
        partial.write_text(html, encoding="utf-8")
