"""The folders are the data's way through: agents → seenn_env → backbones, and never back."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {"backbones": set(), "seenn_env": {"backbones"}, "agents": {"backbones", "seenn_env"}}


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_arrows_go_one_way(package):
    for file in (ROOT / package).rglob("*.py"):
        for module in imports(file):
            top = module.split(".")[0]
            assert top == package or top not in ALLOWED or top in ALLOWED[package], f"{file} imports {module}"


def test_the_environments_use_the_front_door_of_backbones_and_its_ground():
    ground = {"backbones.hashing", "backbones.tensor_files"}
    for file in (ROOT / "seenn_env").rglob("*.py"):
        assert not [module for module in imports(file) if module.startswith("backbones.") and module not in ground], (
            file
        )


def test_only_one_file_of_the_environments_knows_stable_baselines3():
    knowing = {
        file.name
        for file in (ROOT / "seenn_env").rglob("*.py")
        if any(module.startswith("stable_baselines3") for module in imports(file))
    }
    assert knowing == {"sb3.py"}


@pytest.mark.parametrize("package", ALLOWED)
def test_front_doors_are_short_sorted_and_lead_somewhere(package):
    module = importlib.import_module(package)
    assert len(module.__all__) <= 40
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
