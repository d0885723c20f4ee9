"""Whatever lies in a run or a store, a command ends: with the numbers it had, or in one sentence and exit code 2.

Files are damaged at random, by a fixed seed: cut, emptied, flipped, replaced by a pipe or a pickle, and values of JSON,
YAML and safetensors replaced by others. Each command may take seconds and no more than a few hundred MB beyond what the
process has.
"""

import json
import os
import pickle
import random
import resource
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chromhub.cli import app
from chromhub.datasets_scripts.digests import write_digests
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from typer.testing import CliRunner

from tests.finetune.small_store import small_store
from tests.hub_models.toy_run import toy_run

SECONDS, BYTES = 10, 2 << 30
VALUES = (None, 0, -1, 1, 10**9, 10**18, 1e308, 0.5, "", "x", "[/b]", "../x", [], [None], {}, {"a": 1}, True, [[[]]])
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
SEALED = (".json", ".yaml", ".safetensors")


def invoke(*arguments: str) -> Any:
    """Run a command within the limits; a crash shows as itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, hard))
    began = time.monotonic()
    try:
        result = CliRunner().invoke(app, list(arguments))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.monotonic() - began < SECONDS, arguments
    return result


def numbers(result: Any, folder: Path) -> str:
    """Return what a command printed and, of one that wrote a table, the table."""
    table = folder / "found.tsv"
    return result.stdout + (table.read_text() if "found.tsv" in result.stdout else "")


def check(result: Any, expected: str | None, what: str, folder: Path) -> None:
    """Hold an outcome against what the whole folder gave; None asks for no numbers."""
    if result.exit_code == 0:
        assert expected is None or numbers(result, folder) == expected, what
        return
    assert result.exit_code == 2, (what, result.output[-2000:], result.exc_info)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, (what, result.stderr[-2000:])
    assert "Traceback" not in result.output, what
    assert "MemoryError" not in result.output, (what, result.output[-500:])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside plain values."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def with_other_value(value: Any, rng: random.Random) -> Any:
    """Return plain values of which one is another, or is gone."""
    value = json.loads(json.dumps(value))
    way = rng.choice(list(places(value)))
    if not way:
        return rng.choice(VALUES)
    inner = value
    for key in way[:-1]:
        inner = inner[key]
    if isinstance(inner, dict) and rng.random() < 0.2:
        del inner[way[-1]]
    else:
        inner[way[-1]] = rng.choice(VALUES)
    return value


def damage_bytes(file: Path, rng: random.Random) -> str:
    """Cut, empty, flip or replace a file."""
    content, kind = file.read_bytes(), rng.choice(("empty", "cut", "flip", "noise", "pickle", "pipe", "text", "deep"))
    if kind == "pipe":
        file.unlink()
        os.mkfifo(file)
        return kind
    flipped = bytearray(content)
    flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    made = {
        "empty": b"",
        "cut": content[: rng.randrange(len(content))],
        "flip": bytes(flipped),
        "noise": rng.randbytes(len(content) % 5000),
        "pickle": pickle.dumps({"weight": [1.0]}),
        "text": b"null",
        "deep": b"[" * 100_000,
    }
    file.write_bytes(made[kind])
    return kind


def damage_json(file: Path, rng: random.Random) -> str:
    """Put another value somewhere in a JSON file."""
    value = with_other_value(json.loads(file.read_text()), rng)
    file.write_text(json.dumps(value))
    return f"json {json.dumps(value)[:200]}"


def damage_yaml(file: Path, rng: random.Random) -> str:
    """Put another value somewhere in a YAML file, or aliases that unfold to billions."""
    if rng.random() < 0.2:
        file.write_text(BOMB)
        return "bomb"
    file.write_text(yaml.safe_dump(with_other_value(yaml.safe_load(file.read_text()), rng)))
    return "yaml"


def damage_safetensors(file: Path, rng: random.Random) -> str:
    """Change the head of a safetensors file: what it says of its tensors, or how long it says it is."""
    content = file.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    head, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    kind = rng.choice(("length", "value", "drop", "rename", "shape"))
    if kind == "length":
        file.write_bytes(struct.pack("<Q", rng.choice((0, 1, size - 1, size + 1, 1 << 40, 2**64 - 1))) + content[8:])
        return kind
    name = rng.choice(sorted(set(head) - {"__metadata__"}))
    if kind == "drop":
        del head[name]
    elif kind == "rename":
        head[f"{name}_"] = head.pop(name)
    elif kind == "shape":
        head[name]["shape"] = [*head[name]["shape"], 1]
    else:
        head = with_other_value(head, rng)
    text = json.dumps(head).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return kind


OF_KIND: dict[str, Callable[[Path, random.Random], str]] = {
    ".json": damage_json,
    ".yaml": damage_yaml,
    ".safetensors": damage_safetensors,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Return a folder with a run, a store and the sequence to predict."""
    folder = tmp_path_factory.mktemp("whole")
    model = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny", input_length=512, target_length=256)).eval()
    run = toy_run(folder / "run", model)
    write_digests(run, [path for path in run.iterdir() if path.suffix in SEALED and path.name != "metrics.json"])
    small_store(folder / "store", sizes={"one": 6000, "two": 3000, "three": 3000})
    (folder / "chr.fa").write_text(">one\n" + "ACGTTGCATA" * 100 + "\n")
    return folder


def commands(folder: Path) -> list[list[str]]:
    """Return commands that read the run, and what they print."""
    run, fasta = str(folder / "run"), str(folder / "chr.fa")
    table = str(folder / "found.tsv")
    return [
        ["card", run],
        ["info", run, "--json"],
        ["models", str(folder), "--json"],
        ["score", run, "--fasta", fasta, "--variants", str(folder / "v.tsv"), "-o", table, "--overwrite", "--json"],
    ]


def copied(whole: Path, folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    return shutil.copytree(whole, folder)


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "without digests"])
def test_a_run_with_one_damaged_file(whole, tmp_path, sealed) -> None:
    rng, folder = random.Random(15 + sealed), tmp_path / "fuzz"
    (whole / "v.tsv").write_text("chrom\tpos\tref\talt\none\t500\tG\tA\n")
    copied(whole, folder)
    expected = {}
    for command in commands(folder):
        result = invoke(*command)
        assert result.exit_code == 0, result.output
        expected[command[0]] = numbers(result, folder)
    names = sorted(path.relative_to(whole).as_posix() for path in (whole / "run").rglob("*") if path.suffix in SEALED)
    for i in range(60):
        copied(whole, folder)
        if not sealed:
            (folder / "run" / "digests.json").unlink()
        name = names[i % len(names)]
        file = folder / name
        if not file.exists():
            continue
        how = rng.choice((damage_bytes, OF_KIND[file.suffix], OF_KIND[file.suffix]))(file, rng)
        of_weights = ["score"] if file.suffix == ".safetensors" else []
        for command in commands(folder):
            if command[0] in (*of_weights, rng.choice(("card", "info", "models", "score"))):
                promised = sealed and Path(name).name not in ("metrics.json", "digests.json")
                what = f"{i} {name} {how} {command[0]}"
                check(invoke(*command), expected[command[0]] if promised else None, what, folder)


def test_a_store_with_one_damaged_file(whole, tmp_path) -> None:
    rng, folder = random.Random(15), tmp_path / "fuzz"
    copied(whole, folder)
    command = ["data", "inspect", str(folder / "store"), "--region", "one:1000-1200", "--json"]
    expected = invoke(*command)
    assert expected.exit_code == 0, expected.output
    names = sorted(path.relative_to(whole).as_posix() for path in (whole / "store").rglob("*") if path.suffix in SEALED)
    for i in range(60):
        copied(whole, folder)
        file = folder / names[i % len(names)]
        how = rng.choice((damage_bytes, damage_json, damage_json))(file, rng)
        check(invoke(*command), expected.stdout, f"{i} {file.name} {how}", folder)
