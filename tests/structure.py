"""The structure of the packages, measured: rooms, files, doors, circles, arrows against the order, imports by string.

    python tests/structure.py [FOLDER]        # of a checkout (default: this one); `make structure`

`tests/test_layers.py` fails on a circle, and on an arrow against the order.
"""

import ast
import re
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

_ROOMS = {
    "backbones": "machine contract data networks training conversion onnx_export energy adapters",
    "seenn_env": "observations traces rendering environments evaluation streaming vector sb3 checking registration",
    "agents": "rules calibration learners policies policy_files deployment comparison commands main",
}
ORDER = {package: rooms.split() for package, rooms in _ROOMS.items()}
"""Of each package, its rooms: a file imports from its own room and from earlier ones. Files beside the rooms come first
(the ground), unless they are named here. Another package is imported by its door, a room's door or its ground."""
PACKAGES = tuple(ORDER)


@dataclass
class Module:
    """One file: its dotted name, and its imports of the packages anywhere in it."""

    name: str
    lines: int
    imports: dict[str, int] = field(default_factory=dict)
    """Dotted name to line."""
    by_string: dict[str, int] = field(default_factory=dict)


def read(root: Path) -> dict[str, Module]:
    """Every module of the packages, with its imports resolved to modules."""
    files = {dotted(path, root): path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))}
    modules = {}
    for name, path in files.items():
        text = path.read_text()
        module = Module(name, text.count("\n"))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                target = node.value.partition(":")[0]
                if re.fullmatch(rf"({'|'.join(PACKAGES)})(\.\w+)+", target) and target in files:
                    module.by_string[target] = node.lineno
                continue
            else:
                continue
            for each in found:
                if each.split(".")[0] in PACKAGES:
                    module.imports.setdefault(resolved(each, files), node.lineno)
        module.imports.pop(name, None)
        modules[name] = module
    return modules


def dotted(path: Path, root: Path) -> str:
    """Its name as it is imported."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def resolved(name: str, files: dict[str, Path]) -> str:
    """The module that an imported name is in."""
    while name not in files:
        name = name.rpartition(".")[0]
    return name


def room(name: str) -> tuple[str, float]:
    """The package, and the place of the room in its order: 0 for the ground."""
    package, *rest = name.split(".")
    if not rest:
        rooms = ORDER[package]  # the door comes last, but for the commands, which use it as everybody does
        return package, rooms.index("commands") + 0.5 if "commands" in rooms else len(rooms) + 1
    return package, ORDER[package].index(rest[0]) + 1 if rest[0] in ORDER[package] else 0


def against_the_order(modules: dict[str, Module]) -> list[str]:
    """Imports of a later room or package, and of another package but by its front door."""
    found = []
    for module in modules.values():
        package, place = room(module.name)
        for target, line in (module.imports | module.by_string).items():
            other, there = room(target)
            if other != package:
                if PACKAGES.index(other) > PACKAGES.index(package) or target.count(".") > 1:
                    found.append(f"{module.name}:{line} imports {target}")
            elif module.name != package and there > place:
                found.append(f"{module.name}:{line} imports {target}")
    return found


def circles(modules: dict[str, Module]) -> list[str]:
    """Modules that reach themselves, each circle once."""
    graph = {name: set(module.imports) | set(module.by_string) for name, module in modules.items()}
    found, done = [], set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            circle = path[path.index(name) :]
            if frozenset(circle) not in {frozenset(each) for each in found}:
                found.append(circle)
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                walk(target, [*path, name])
            done.add(name)

    for name in graph:
        walk(name, [])
    return [" -> ".join([*circle, circle[0]]) for circle in found]


def door(root: Path, package: str) -> int:
    """How many names a package's `__all__` has, in its stub where there is one."""
    folder = root / package.replace(".", "/")
    text = next(path.read_text() for path in (folder / "__init__.pyi", folder / "__init__.py") if path.exists())
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return len(ast.literal_eval(node.value))
    return 0


def report(root: Path) -> str:
    """The figures of each package, and its faults."""
    modules = read(root)
    lines = []
    for package in PACKAGES:
        own = [module for name, module in modules.items() if name.split(".")[0] == package]
        folders = {path.parent for path in (root / package).rglob("*.py")}
        files = [module for module in own if not (root / module.name.replace(".", "/")).is_dir()]
        largest = max(files, key=lambda module: module.lines)
        flat = max(sum(path.suffix == ".py" for path in folder.iterdir()) for folder in folders)
        lines.append(
            f"{package}: {len(folders) - 1} sub-packages, {len(files)} files, {sum(m.lines for m in own)} lines, "
            f"median {statistics.median(m.lines for m in files):.0f}, largest {largest.lines} ({largest.name}), "
            f"at most {flat} files in a folder, {door(root, package)} names at the door"
        )
    for title, found in (
        ("circles", circles(modules)),
        ("arrows against the order", against_the_order(modules)),
        ("imports by string", [f"{m.name}:{line} {t}" for m in modules.values() for t, line in m.by_string.items()]),
    ):
        lines += [f"{title}: {len(found)}", *(f"  {each}" for each in found)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]))
