"""Imports go one way: agents → seenn_env → backbones, and in each package from later rooms to earlier ones."""

import ast
import importlib
import re

import pytest

from tests.helpers.programs import ROOT
from tests.structure import PACKAGES, against_the_order, circles, read


@pytest.fixture(scope="module")
def modules():
    return read(ROOT)


def test_no_import_goes_against_the_order_of_the_rooms(modules):
    assert against_the_order(modules) == []


def test_no_module_reaches_itself(modules):
    assert circles(modules) == []


def test_the_structure_script_finds_a_wrong_arrow_a_circle_and_an_import_by_string(tmp_path):
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    rooms = {
        "backbones/data": "import seenn_env\n",
        "backbones/energy": "",
        "backbones/machine": "T = 'backbones.energy.one'\n",
    }
    for folder, text in rooms.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
        (tmp_path / folder / "one.py").write_text(text)
    (tmp_path / "agents" / "one.py").write_text("from agents import two\n")
    (tmp_path / "agents" / "two.py").write_text("def late():\n    from agents.one import x\n")
    found = read(tmp_path)
    assert circles(found) == ["agents.one -> agents.two -> agents.one"]
    wrong = against_the_order(found)
    assert [each.split(":")[0] for each in wrong] == ["backbones.data.one", "backbones.machine.one"]


def test_only_one_room_of_the_environments_knows_stable_baselines3():
    knowing = set()
    for file in (ROOT / "seenn_env").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            knowing |= {file.parent.name for name in names if name.startswith("stable_baselines3")}
    assert knowing == {"sb3"}


@pytest.mark.parametrize("room", ["sb3", "checking"])
def test_rooms_for_any_vector_environment_know_nothing_of_spiking_networks(modules, room):
    inside, files = f"seenn_env.{room}", ("argument_checks", "errors", "lazy_exports", "tensors")
    ground = {f"backbones.{name}" for name in files}
    own = [module for name, module in modules.items() if name.startswith(inside)]
    imported = {target for module in own for target in module.imports | module.by_string}
    assert len(own) > 1
    assert {target for target in imported if not target.startswith(f"{inside}.")} <= ground


@pytest.mark.parametrize(("package", "most"), [("backbones", 15), ("seenn_env", 15), ("agents", 19)])
def test_front_doors_are_short_and_lead_somewhere(package, most):
    module = importlib.import_module(package)
    assert 0 < len(module.__all__) <= most
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        getattr(module, name)


def test_every_room_door_leads_somewhere():
    for stub in ROOT.rglob("*/__init__.pyi"):
        package = ".".join(stub.relative_to(ROOT).parent.parts)
        if package.split(".")[0] in PACKAGES:
            module = importlib.import_module(package)
            for name in module.__all__:
                getattr(module, name)


def test_test_files_import_from_no_other_test_file():
    helpers, wrong = re.compile(r"tests\.(helpers\.\w+|structure)$"), []
    for file in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            name = getattr(node, "module", None) or ""
            if name.split(".")[0] == "tests" and not helpers.match(name):
                wrong.append(f"{file.name} imports {name}")
    assert wrong == []
