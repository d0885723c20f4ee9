from dataclasses import replace

import numpy as np
import pytest
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.sheet import read_sheet
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.datasets_scripts.track_details import TrackDetails


@pytest.fixture
def folder(tmp_path):
    for name in ("a.bw", "b.tsv.gz", "m.bed"):
        (tmp_path / name).touch()
    return tmp_path


TABLE = [
    ["name", "sample", "cell_type", "path", "tn5_shift", "licence", "mask", "tolerance"],
    ["a", "donor 1, day 0", "B cell", "a.bw", "", "CC0", "m.bed", "0.0005"],
    ["", "b", "T cell", "b.tsv.gz", "4/-5", "", "", ""],
]
YAML = """
- name: a
  sample: donor 1, day 0
  cell_type: B cell
  path: a.bw
  licence: CC0
  mask: m.bed
  tolerance: 0.0005
- sample: b
  cell_type: T cell
  path: b.tsv.gz
  tn5_shift: [4, -5]
  mask:
"""


def text(suffix: str) -> str:
    if suffix == ".yaml":
        return YAML
    quote = (lambda cell: f'"{cell}"') if suffix == ".csv" else str
    separator = "," if suffix == ".csv" else "\t"
    return "# samples\r\n\r\n" + "".join(separator.join(map(quote, row)) + "\r\n" for row in TABLE)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".yaml"])
def test_all_forms_say_the_same(folder, suffix) -> None:
    sheet = folder / f"s{suffix}"
    sheet.write_bytes(text(suffix).encode())
    tracks, details = read_sheet(sheet)
    assert tracks == [
        TrackSource("a", folder / "a.bw"),
        TrackSource("b", folder / "b.tsv.gz", "fragments", (4, -5)),
    ]
    assert details == {
        "a": TrackDetails(
            {"sample": "donor 1, day 0", "cell_type": "B cell", "licence": "CC0"}, folder / "m.bed", 0, 0.0005
        ),
        "b": TrackDetails({"sample": "b", "cell_type": "T cell"}),
    }


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["name,path"], "holds no sample"),
        (["name,file", "a,a.bw"], r"s\.csv, line 1, column 'file': must be one of name, path"),
        (["name,name,path", "a,a,a.bw"], "line 1, column 'name': comes twice"),
        (["name,kind", "a,bigwig"], r"line 1: must have a column path and one of name, sample, got \['name', 'kind'\]"),
        (["name,path", "a,a.bw,x"], "line 2: must have 2 cells as its header has, got 3"),
        (["name,path", "a,"], "line 2, column path: must name a file, got ''"),
        (["name,path", "a b,a.bw"], "line 2, column name: must be letters, digits .* got 'a b'"),
        (["sample,path", "a b,a.bw"], "line 2, column sample: .*give a `name` beside"),
        (["name,path", "a,a.bw", "", "a,a.bw"], "line 4, column name: names must differ, line 2 has this one too"),
        (["name,path,kind", "a,a.bw,cram"], "line 2, column kind: must be one of bigwig, bedgraph, .*'cram'"),
        (["name,path,tn5_shift", "a,a.bw,4"], "line 2, column tn5_shift: must be two integers such as 4/-5, got '4'"),
        (["name,path,mask_gaps", "a,a.bw,1k"], "line 2, column mask_gaps: must be a number of bp, got '1k'"),
        (["name,path,tolerance", "a,a.bw,x"], "line 2, column tolerance: must be a number"),
        (["name,path,assembly", "a,a.bw,hg19"], "line 2, column assembly: must be the store's, hg38.*got 'hg19'"),
    ],
)
def test_errors_name_file_line_and_column(folder, lines, sentence) -> None:
    sheet = folder / "s.csv"
    sheet.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=sentence):
        read_sheet(sheet, genome="hg38")


def test_a_missing_file_is_named_with_its_place(folder) -> None:
    sheet = folder / "s.yaml"
    sheet.write_text("- {name: a, path: a.bw}\n- name: c\n  path: none.bw\n")
    with pytest.raises(FileNotFoundError, match=r"s\.yaml, line 2, column path: .*none\.bw does not exist"):
        read_sheet(sheet)
    with pytest.raises(FileNotFoundError, match=r"sample sheet .* does not exist"):
        read_sheet(folder / "none.csv")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("s.xlsx", b"", "must be one of .csv, .tsv"),
        ("s.yaml", b"name: a", "must be a list of mappings"),
        ("s.yaml", b"- {name: a, path: [", "is not YAML"),
        ("s.yaml", b"- {name: a, path: {b: c}}", "line 1, column path: must be plain text"),
        ("s.csv", b"name,path\n\xff,a.bw", "is not a text table"),
    ],
)
def test_other_files(folder, name, content, sentence) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_sheet(folder / name)


def test_hundreds_of_tracks_in_one_store(toy) -> None:
    lines = ["name,path,cell_type"]
    for i in range(200):
        toy.file(f"t{i}.bedGraph", f"chr1\t{4 * i}\t{4 * i + 1}\t{i + 1}\n")
        lines.append(f"t{i},t{i}.bedGraph,type {i % 7}")
    tracks, details = read_sheet(toy.file("s.csv", "\n".join(lines)))
    inputs = replace(toy.inputs, tracks=tuple(tracks))
    store = build_store(inputs, toy.folder / "store", details=details)
    signal = store.gather(np.array([store.offset("chr1")]), 2048)[1][0]  # (200, 512)
    assert np.array_equal(signal[:, :200], np.diag(np.arange(1.0, 201)))  # bin i of track i, and no other
    assert not signal[:, 200:].any()
    assert store.track_metadata("t8") == {"cell_type": "type 1"}
