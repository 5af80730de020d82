"""The rooms of the house: imports only point backwards along the way of the data, and never in a circle."""

import ast
from functools import cache
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"

ROOMS = [
    ["errors", "randomness", "settings"],
    ["io"],
    ["data"],
    ["text"],
    ["evaluation"],
    ["cf"],
    ["prompts"],
    ["llm"],
    ["fusion"],
    ["model"],
    ["scoring"],
    ["training"],
    ["reports"],
    ["experiments"],
    ["recommend"],
    ["serving"],
    ["distributed"],
    ["bench"],
    ["cli"],
    ["__main__"],
]
"""In order: a module imports from its own room and from those above it here. The package's root is free: it only names
the homes of the public API."""

FORWARD = {
    ("model.ccfllm", "scoring"): "a model scores by the scorer, which is over the network",
}
"""Imports that point forwards all the same, and why. One that is gone must go from here too."""


@cache
def imports() -> set[tuple[str, str]]:
    """(importer, imported) for every import between modules of the package, wherever in the file it stands."""
    paths = {".".join(path.relative_to(SRC).with_suffix("").parts): path for path in SRC.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    found = set()
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                assert not node.level, f"{name}: import {node.module} by its full name"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {(name, full if full in modules else node.module) for full in names}
            elif isinstance(node, ast.Import):
                found |= {(name, alias.name) for alias in node.names}
    return {(importer, other) for importer, other in found if other.split(".")[0] == "ccf_llm"}


def place(module: str) -> int | None:
    """Which room of `ROOMS` a module lies in; None for the root."""
    if module == "ccf_llm":
        return None
    room = module.split(".")[1]
    (found,) = [number for number, rooms in enumerate(ROOMS) if room in rooms]
    return found


def test_every_room_has_its_place() -> None:
    there = {
        path.stem for path in (SRC / "ccf_llm").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(there - {"__init__"}) == sorted(room for rooms in ROOMS for room in rooms)


def test_imports_point_backwards() -> None:
    forward = set()
    for importer, imported in imports():
        here, there = place(importer), place(imported)
        if here is not None and there is not None and there > here:
            forward.add((importer.removeprefix("ccf_llm."), imported.removeprefix("ccf_llm.")))
    assert forward == set(FORWARD)


def test_no_modules_import_each_other() -> None:
    after: dict[str, set[str]] = {}
    for importer, imported in imports():
        if "ccf_llm" not in (importer, imported):
            after.setdefault(importer, set()).add(imported)
    reach = {module: closure(module, after) for module in after}
    circles = {module.removeprefix("ccf_llm.") for module, others in reach.items() if module in others}
    assert not circles


def closure(module: str, after: dict[str, set[str]]) -> set[str]:
    """All modules that come with it."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for other in after.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
