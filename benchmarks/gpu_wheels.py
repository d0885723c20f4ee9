"""Bring to a GPU machine without a network the packages that its image lacks.

    python benchmarks/gpu_wheels.py              # where there is a package index: wheels into .wheels/
    python benchmarks/gpu_wheels.py --install .gpu   # on the GPU machine: they and this checkout into a folder

Wheels are for Python 3.12 on x86-64 Linux, one version each, that of constraints.txt, without what they need: an image
with torch has the large ones. That the set is whole is checked against what such an image holds.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / ".wheels"
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MOST_BYTES = 40_000_000
# Carried whether the image has them or not, at the version of constraints.txt: ours come first there.
CARRIED = (
    *("transformers", "peft", "accelerate", "datasets", "dill", "multiprocess", "xxhash"),
    *("pandas", "python-dateutil", "tzdata", "pyBigWig", "pyfaidx"),
    *("pydantic", "pydantic_core", "annotated-types", "typing-inspection", "typing_extensions"),
    *("tangermeme", "memelite", "figwig"),
    *("pytest-socket", "pytest-timeout", "starlette", "uvicorn"),
)
OTHERS = {"atac-asap": "0.2.2", "xlstm": "2.0.6", "setuptools": "80.9.0", "six": "1.17.0"}
# The reference says what it was made with, a torch of 2023 among it; what it imports is all here.
WITHOUT_NEEDS = {"atac-asap", "xlstm"}
# What an image with torch 2.11 for CUDA 13 was seen to hold; a version where a wheel asks for one.
LARGE = """
    anyio click contourpy cycler filelock fonttools fsspec h11 h5py hf-xet httpx idna jinja2 joblib kiwisolver
    markupsafe matplotlib ninja numba packaging pillow psutil pyarrow pyparsing pytest pyyaml regex rich scikit-learn
    scipy tqdm typer
"""
IMAGE: dict[str, str | None] = {
    **dict.fromkeys(LARGE.split()),
    "huggingface-hub": "1.33.0",
    "numpy": "2.5.2",
    "safetensors": "0.8.0",
    "tokenizers": "0.23.2",
    "torch": "2.11.0",
}
MARKERS = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux", "extra": ""}
MARKERS |= {"platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix"}


def pinned() -> dict[str, str]:
    """Return the version of each wheel to carry."""
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    versions = {canonicalize_name(name): version for name, version in lines}
    return {**{name: versions[canonicalize_name(name)] for name in CARRIED}, **OTHERS}


def download_command(*wheels: str) -> list[str]:
    """Return the line that fetches wheels, each NAME==VERSION."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    options = ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    return ["-m", "pip", "download", "-q", *options, "-d", str(WHEELS), *wheels]


def needs(wheel: Path) -> list[Requirement]:
    """Return what a wheel needs on the GPU machine."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist") or []
    return applicable(lines)


def applicable(lines: list[str]) -> list[Requirement]:
    """Return the requirements whose marker holds on the GPU machine."""
    found = [Requirement(line) for line in lines]
    return [need for need in found if need.marker is None or need.marker.evaluate(MARKERS)]


def faults(wheels: list[Path]) -> list[str]:
    """Return what is wrong with a set of wheels, a sentence each."""
    versions: dict[str, str] = {}
    found = []
    for wheel in wheels:
        name, version, _, _ = parse_wheel_filename(wheel.name)
        if name in versions:
            found.append(f"{name} is there twice, {versions[name]} and {version}: rm {wheel}")
        versions[name] = str(version)
    at_hand = {**IMAGE, **versions}
    asked = {wheel.name: needs(wheel) for wheel in wheels if parse_wheel_filename(wheel.name)[0] not in WITHOUT_NEEDS}
    asked["chromhub"] = applicable(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    for who, requirements in asked.items():
        for need in requirements:
            name = canonicalize_name(need.name)
            if name not in at_hand:
                found.append(f"{who} needs {need}, which neither image nor wheels have: add {name} to CARRIED")
            elif (version := at_hand[name]) is not None and not need.specifier.contains(version, prereleases=True):
                found.append(f"{who} needs {need}, and {version} is there: carry another version")
    if (size := sum(wheel.stat().st_size for wheel in wheels)) > MOST_BYTES:
        found.append(f"the wheels take {size / 1e6:.1f} MB, over {MOST_BYTES / 1e6:.0f}: carry fewer")
    return found


def download() -> None:
    """Fetch the wheels that are missing, drop those that are not wanted, and check the set."""
    WHEELS.mkdir(exist_ok=True)
    wanted = {canonicalize_name(name): (name, version) for name, version in pinned().items()}
    there = {}
    for wheel in sorted(WHEELS.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(wheel.name)
        if name in wanted and str(version) == wanted[name][1]:
            there[name] = wheel
        else:
            wheel.unlink()
    lacking = [f"{name}=={version}" for key, (name, version) in wanted.items() if key not in there]
    if lacking and _pip(download_command(*lacking)):  # one call for all; which one fails is found one by one
        for wheel in lacking:
            command = download_command(wheel)
            if _pip(command):
                sys.exit(f"error: no wheel of {wheel} was found; the line was: python {' '.join(command)}")
    wheels = sorted(WHEELS.glob("*.whl"))
    if found := faults(wheels):
        sys.exit("error: " + "\n".join(found))
    print(f"{len(wheels)} wheels, {sum(wheel.stat().st_size for wheel in wheels) / 1e6:.1f} MB, in {WHEELS}")


def _pip(words: list[str]) -> int:
    return subprocess.run([sys.executable, *words], check=False).returncode


def unfit(wheel: Path) -> str | None:
    """Return why a wheel cannot be installed here, with the line that fetches one that can."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    if tags & set(sys_tags()):
        return None
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    line = " ".join(["python", *download_command(f"{name}=={version}")]).replace(PYTHON, here)
    return f"{wheel.name} does not fit this Python {here}: rm {wheel}, and where there is an index: {line}"


def missing(folder: Path) -> list[str]:
    """Return what chromhub needs that neither `folder` nor the image has, each with what mends it."""
    sys.path.insert(0, str(folder))
    found = []
    for need in applicable(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]):
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            version = None
        if version is None or not need.specifier.contains(version, prereleases=True):
            there = "is not here" if version is None else f"is {version} here"
            found.append(
                f"{need.name} {there} and chromhub needs {need}: add it to CARRIED in benchmarks/gpu_wheels.py and run "
                "make gpu-wheels, or take an image that has it"
            )
    return found


def install(folder: Path) -> None:
    """Install the wheels and then this checkout into a folder of their own."""
    wheels = sorted(WHEELS.glob("*.whl"))
    if not wheels:
        sys.exit(f"error: {WHEELS} holds no wheels: run `make gpu-wheels` where there is a package index, and bring it")
    if reasons := [why for why in map(unfit, wheels) if why]:
        sys.exit("error: " + "\n".join(reasons))
    shutil.rmtree(folder, ignore_errors=True)
    options = ["install", "-q", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", str(folder)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    path = os.pathsep.join(filter(None, [str(folder.resolve()), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    for words in ([str(wheel) for wheel in wheels], ["--no-build-isolation", "--upgrade", str(ROOT)]):
        done = subprocess.run([*pip, *options, *words], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"error: pip could not install into {folder}:\n{done.stderr}")
    if reasons := missing(folder):
        sys.exit("error: " + "\n".join(reasons))
    print(f"installed {len(wheels)} wheels and this checkout into {folder}")


def main() -> None:
    """Download, or install."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if importlib.util.find_spec("pip") is None:
        sys.exit(f"error: {sys.executable} has no pip: use a Python that has it")
    download() if options.install is None else install(options.install)


if __name__ == "__main__":
    main()
