"""Wheels for a machine without a network: the set is whole, small, one version each, and what does not fit is named."""

import importlib.util
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("gpu_wheels", ROOT / "benchmarks" / "gpu_wheels.py")
gpu_wheels = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gpu_wheels)


def wheel(folder, name, version="1.0", *, needs=(), tag="py3-none-any", size=0):
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")
        archive.writestr("filling", b"\0" * size)
    return path


@pytest.fixture
def needs_nothing(tmp_path, monkeypatch):
    """A checkout that needs one package, of 2.0 or newer."""
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["alpha>=2"]\n')
    monkeypatch.setattr(gpu_wheels, "ROOT", tmp_path)
    return tmp_path


def test_a_set_that_is_whole(needs_nothing):
    needs = ["beta>=1", "numpy", "gone; python_version < '3.11'", "more; extra == 'x'"]
    assert gpu_wheels.faults([wheel(needs_nothing, "alpha", "2.1", needs=needs), wheel(needs_nothing, "beta")]) == []


def test_what_is_wrong_with_a_set_is_named(needs_nothing, monkeypatch):
    monkeypatch.setattr(gpu_wheels, "MOST_BYTES", 1_000_000)
    wheels = [
        wheel(needs_nothing, "alpha", "1.9", needs=["nowhere>=3"]),
        wheel(needs_nothing, "beta", needs=["torch>=99"], size=1_100_000),
        wheel(needs_nothing, "beta", "1.1"),
    ]
    found = "\n".join(gpu_wheels.faults(wheels))
    assert "alpha-1.9-py3-none-any.whl needs nowhere>=3, which neither image nor wheels have: add nowhere" in found
    assert "beta-1.0-py3-none-any.whl needs torch>=99, and 2.11.0 is there: carry another version" in found
    assert "beta is there twice, 1.0 and 1.1: rm" in found
    assert "chromhub needs alpha>=2, and 1.9 is there: carry another version" in found
    assert "the wheels take 1.1 MB, over 1: carry fewer" in found


def test_a_wheel_that_does_not_fit_is_named_with_the_line_that_mends_it(tmp_path):
    assert gpu_wheels.unfit(wheel(tmp_path, "alpha")) is None
    why = gpu_wheels.unfit(wheel(tmp_path, "alpha", tag="cp27-cp27m-win32"))
    assert "alpha-1.0-cp27-cp27m-win32.whl does not fit this Python" in why
    assert "-m pip download" in why
    assert why.endswith("alpha==1.0")


def test_versions_are_those_of_the_constraints():
    pinned = gpu_wheels.pinned()
    assert pinned["atac-asap"] == "0.2.2"
    assert f"transformers=={pinned['transformers']}" in (ROOT / "constraints.txt").read_text().splitlines()
    bound = next(need for need in gpu_wheels.applicable(['transformers>=5.18; sys_platform == "linux"']))
    assert bound.specifier.contains(pinned["transformers"])


def test_what_the_machine_lacks_is_named(needs_nothing, monkeypatch):
    monkeypatch.syspath_prepend(str(needs_nothing))
    (said,) = gpu_wheels.missing(needs_nothing)
    assert said.startswith("alpha is not here and chromhub needs alpha>=2: add it to CARRIED")
    assert gpu_wheels.applicable(["alpha>=2"]) == [Requirement("alpha>=2")]


def test_nothing_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_wheels, "WHEELS", tmp_path / "none")
    with pytest.raises(SystemExit, match="holds no wheels: run `make gpu-wheels` where there is a package index"):
        gpu_wheels.install(tmp_path / "site")
