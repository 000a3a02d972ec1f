"""Licences of the installed dependencies against `docs/dependencies.md`, then known vulnerabilities by pip-audit.

    python docs/audit.py .venv-audit/bin/pip-audit        # `make audit`

Exits with 1 for another licence or a vulnerability. Where pip-audit gets no answer, that is said, and is no failure.
"""

import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_NAMES = {
    "apache": "Apache-2.0",
    "bsd": "BSD",
    "gnu lesser general public": "LGPL",
    "mit": "MIT",
    "python software foundation": "PSF",
}
"""Beginnings of the licences' names in classifiers, old fields and files, to those of `docs/dependencies.md`."""


def listed() -> list[tuple[str, str, str]]:
    """Extra (or ""), package and licence of each row of `docs/dependencies.md`."""
    rows = [line.strip("| ").split(" | ") for line in (ROOT / "docs" / "dependencies.md").read_text().splitlines()]
    rows = [["", *row] if len(row) == 3 else row for row in rows]
    return [(row[0].strip("`"), row[1], row[2]) for row in rows if len(row) == 4 and row[2] not in ("licence", "---")]


def licence(package: str) -> str:
    """The licence of an installed package: by its expression, else classifier, else the old field, else its file."""
    facts: Any = metadata.metadata(package)
    if expression := facts.get("License-Expression"):
        return expression
    stated = [name.split(" :: ")[-1] for name in facts.get_all("Classifier", []) if name.startswith("License")]
    stated.append((facts.get("License") or "").strip())
    stated += [file.read_text().strip() for file in metadata.files(package) or () if file.name == "LICENSE"]
    for text in stated:
        for beginning, name in _NAMES.items():
            if text.lower().startswith(beginning):
                return name
    return stated[0] or "none stated"


def other_licences() -> list[str]:
    """A sentence for each installed package with another licence than the one listed."""
    sentences, missing = [], []
    for _, package, expected in listed():
        try:
            stated = licence(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
            continue
        if expected not in (stated, "as above"):
            sentences.append(f"Expected {package} under {expected} (docs/dependencies.md), its metadata says {stated}.")
    print(f"licences: {len(listed()) - len(missing)} packages compared; not installed here: {', '.join(missing)}")
    return sentences


def vulnerabilities(pip_audit: str) -> list[str]:
    """A sentence for each known vulnerability of the versions in `constraints.txt`."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "audit.json"
        asked = ["--requirement", str(ROOT / "constraints.txt"), "--no-deps", "--disable-pip"]
        run = subprocess.run(
            [pip_audit, *asked, "--progress-spinner", "off", "--format", "json", "--output", str(result)],
            capture_output=True,
            text=True,
        )
        packages = json.loads(result.read_text())["dependencies"] if result.exists() else []
    answered = [package for package in packages if "skip_reason" not in package]
    if not answered:
        reason = packages[0]["skip_reason"] if packages else (run.stderr.splitlines() or [""])[-1]
        print(f"vulnerabilities: NOT CHECKED, pip-audit got no answer ({' '.join(reason.split())})")
        return []
    print(f"vulnerabilities: pip-audit got an answer for {len(answered)} of {len(packages)} packages")
    return [
        f"{package['name']} {package['version']} has {found['id']}; mended in: {', '.join(found['fix_versions'])}."
        for package in answered
        for found in package["vulns"]
    ]


if __name__ == "__main__":
    found = other_licences() + vulnerabilities(sys.argv[1])
    print("\n".join(found) or "nothing found")
    sys.exit(bool(found))
