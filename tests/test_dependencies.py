"""Dependencies: their page, their bounds, the audit of them, and the licences of packaged data."""

import json
import re
import stat
import tomllib

import pytest

from tests.helpers.programs import ROOT, load_program

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}


def bounds(requirement: str) -> tuple[str, str]:
    """Name in small letters, and lower bound."""
    name, lowest = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
    return name.lower(), lowest


@pytest.fixture
def audit():
    return load_program("docs/audit")


def test_the_page_lists_every_dependency_of_every_extra_with_licence_and_reason(audit):
    listed = sorted((extra, package.lower()) for extra, package, licence in audit.listed() if licence)
    assert listed == sorted((extra, bounds(each)[0]) for extra, packages in EXTRAS.items() for each in packages)


def test_the_lowest_versions_are_the_lower_bounds():
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    assert pinned == dict(bounds(each) for extra in ("", "contrib", "dev") for each in EXTRAS[extra])


def test_the_newest_versions_are_within_the_bounds():
    lines = (ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    for extra in ("", "browser", "contrib", "dev", "docs", "onnx", "sweep"):
        for name, lowest in map(bounds, EXTRAS[extra]):
            assert _numbers(pinned[name]) >= _numbers(lowest), name


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def test_another_licence_is_found(audit, monkeypatch, capsys):
    rows = [("", "numpy", "MIT"), ("", "pytest", "MIT"), ("nir", "a-package-of-nobody", "MIT")]
    monkeypatch.setattr(audit, "listed", lambda: rows)
    (sentence,) = audit.other_licences()
    assert sentence.startswith("Expected numpy under MIT (docs/dependencies.md), its metadata says BSD")
    assert "2 packages compared; not installed here: a-package-of-nobody" in capsys.readouterr().out


def service(folder, answer: list[dict] | None) -> str:
    """A program in place of pip-audit, whose service gives an answer, or none."""
    program = folder / "pip-audit"
    write = (
        "" if answer is None else f"open(sys.argv[-1], 'w').write({json.dumps(json.dumps({'dependencies': answer}))})"
    )
    program.write_text(f"#!/usr/bin/env python3\nimport sys\n{write}\nsys.exit('no route to host')\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_a_vulnerability_is_a_sentence(audit, tmp_path, capsys):
    found = {"id": "CVE-1", "fix_versions": ["1.1"]}
    packages = [{"name": "a", "version": "1.0", "vulns": [found]}, {"name": "b", "version": "2", "vulns": []}]
    assert audit.vulnerabilities(service(tmp_path, packages)) == ["a 1.0 has CVE-1; mended in: 1.1."]
    assert "2 of 2 packages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, "no route to host"), ([{"name": "a", "skip_reason": "not found\nthere"}], "not found there")],
)
def test_a_service_without_an_answer_is_said_to_be_none(audit, tmp_path, capsys, answer, reason):
    assert audit.vulnerabilities(service(tmp_path, answer)) == []
    assert capsys.readouterr().out == f"vulnerabilities: NOT CHECKED, pip-audit got no answer ({reason})\n"


def test_every_packaged_file_of_data_has_a_licence():
    assert "DATA-LICENSES.md" in PROJECT["license-files"]
    stated = re.findall(r"`([\w/.-]+)`", (ROOT / "DATA-LICENSES.md").read_text())
    packages = ("agents", "backbones", "seenn_env")
    files = [str(file.relative_to(ROOT)) for name in packages for file in (ROOT / name).rglob("*.safetensors")]
    assert files
    assert not [file for file in files if not file.startswith(tuple(stated))]
    assert all((ROOT / name).exists() for name in stated)
