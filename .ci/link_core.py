"""Link the package's core dependencies, as this interpreter has them, into another environment: link_core.py SITE."""

import re
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def needed(requirements: list[str], extras: set[str], found: dict[str, Distribution]) -> None:
    """Gather the distributions that these requirements come to, without extras that nobody asked for."""
    for requirement in map(Requirement, requirements):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        marker = requirement.marker
        if name not in found and (marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})):
            found[name] = distribution(name)
            needed(found[name].requires or [], requirement.extras, found)


found: dict[str, Distribution] = {}
needed(distribution("ccf-llm").requires or [], set(), found)
tops = {file.parts[0]: one.locate_file(file.parts[0]) for one in found.values() for file in one.files or []}
for top, path in tops.items():
    if top not in ("..", "__pycache__"):
        (Path(sys.argv[1]) / top).symlink_to(Path(str(path)).resolve())
