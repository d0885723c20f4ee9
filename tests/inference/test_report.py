import base64
import re
from html.parser import HTMLParser

import pytest
from chromhub.inference.report import Figure, Section, Table, write_report

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


class Page(HTMLParser):
    """The tags and the text of a page; fails on a tag that is closed out of order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    return path


def test_a_report_holds_everything_and_asks_for_nothing(tmp_path, picture):
    path = tmp_path / "report.html"
    sections = [
        Section("Results", ["Two <b>models</b>."], Table(["model", "Pearson"], [["a < b", "0.50"]], "n = 3")),
        Section("Pictures", figures=[Figure(picture, 'a "quoted" caption')]),
        Section("Again", code="chromhub demo -o 'x'\n"),
    ]
    write_report(path, title="T & t", lead="It works.", sections=sections, footer="made by hand")
    html = path.read_text()
    page = Page()
    page.feed(html)
    assert not page.open
    for text in ("T & t", "It works.", "Two <b>models</b>.", "a < b", "n = 3", "chromhub demo -o 'x'", "made by hand"):
        assert text in page.text
    (image,) = [attrs for tag, attrs in page.tags if tag == "img"]
    assert image["alt"] == 'a "quoted" caption'
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "b"}
    assert not re.search(r"https?://|@import|url\(", html)


def test_bad_parts_are_refused_and_leave_no_file(tmp_path, picture):
    with pytest.raises(ValueError, match=r"must hold 2 cells, got \['x'\]"):
        Table(["a", "b"], [["x"]])
    picture.write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="must be a PNG file"):
        write_report(tmp_path / "r.html", title="", lead="", sections=[Section("s", figures=[Figure(picture, "")])])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_an_existing_report_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "r.html"
    write_report(path, title="one", lead="", sections=[])
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_report(path, title="two", lead="", sections=[])
    assert "one" in path.read_text()
    write_report(path, title="two", lead="", sections=[], overwrite=True)
    assert "two" in path.read_text()
