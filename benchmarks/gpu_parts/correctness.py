"""The tests marked `gpu`, on the card."""

import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from gpu_parts.part import Part, main

ROOT = Path(__file__).resolve().parents[2]
QUICK = "predicts_from_codes and tiny"  # of the dry run, which tries that they run at all


def measure(part: Part) -> None:
    """Run pytest and keep what failed."""
    report = part.scratch / "report.xml"
    marks = "gpu and not slow" if part.dry_run else "gpu"
    words = ["-q", "-m", marks, "--gpu-device", part.device.type, "-W", "default", "-p", "no:cacheprovider"]
    words += ["--junitxml", str(report), "--timeout", f"{max(20, part.left / 2):.0f}", "--tb", "short"]
    if part.dry_run:
        words += ["-k", QUICK]
    elif importlib.util.find_spec("xdist"):
        words += ["-n", "6"]
    # Those files alone: others import what a GPU machine need not have.
    files = [str(file) for file in sorted((ROOT / "tests").rglob("test_*.py")) if "pytest.mark.gpu" in file.read_text()]
    try:
        subprocess.run([sys.executable, "-m", "pytest", *words, *files], cwd=ROOT, timeout=part.left - 3, check=False)
    except subprocess.TimeoutExpired:
        part.save(wrong=True, line="the tests did not end in time")
        raise
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [
        {"test": f"{case.get('classname')}.{case.get('name')}", "message": (found.get("message") or "")[:1000]}
        for case in cases
        for found in (*case.findall("failure"), *case.findall("error"))
    ]
    skipped = {str(found.get("message")) for case in cases for found in case.findall("skipped")}
    passed = len(cases) - len(failed) - sum(case.find("skipped") is not None for case in cases)
    told = f"{passed} tests passed, {len(failed)} failed, {len(cases) - passed - len(failed)} skipped"
    part.save(passed=passed, failures=failed, skipped=sorted(skipped), wrong=bool(failed) or not passed, line=told)


if __name__ == "__main__":
    main(measure)
