import os

import pytest
from chromhub.datasets_scripts.plain_files import parse_yaml, read_json, read_text, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", "must hold an object, got null; restore the file"),
        ("[1]", "must hold an object, got a list"),
        ('{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ('{"a": NaN}', "NaN is no finite number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ("[" * 100_000, "nested too deeply"),
        ("", "is damaged: it is not JSON"),
    ],
)
def test_json_that_is_refused(tmp_path, text, message) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "a.json")


def test_json_that_is_read(tmp_path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, None]}
    (tmp_path / "a.json").write_text("[NaN]")
    assert str(read_json(tmp_path / "a.json", list, finite=False)) == "[nan]"


def test_only_regular_files_are_read(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="must be a regular file, got a pipe"):
        read_text(tmp_path / "pipe")
    with pytest.raises(ValueError, match="must be a regular file, got a folder"):
        read_text(tmp_path)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(ValueError, match="must be at most 10 bytes, got 11"):
        read_text(tmp_path / "large", max_bytes=10)
    (tmp_path / "large").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is damaged: it is no text"):
        read_text(tmp_path / "large")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "unfolds to more than 100,000 values"),
        ("a: &a [*a]", "an alias inside what it stands for"),
        ("a: 1\nb: {c: 1, c: 2}\n", "line 2: the key 'c' comes twice"),
        ("a: {", "recipe is not YAML"),
        ("[" * 5000, "nested too deeply"),
        ("- " * 5000, "nested too deeply"),
        ("a: 2020-99-99", "recipe is not YAML: month must be in 1..12"),
        ("{[]: 1}", "recipe is not YAML"),
    ],
)
def test_yaml_that_is_refused(text, message) -> None:
    with pytest.raises(ValueError, match=message):
        parse_yaml(text, "recipe")


def test_yaml_that_is_read(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {b: 1}\nc: *a\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": 1}, "c": {"b": 1}}
    assert parse_yaml("", "recipe") is None
