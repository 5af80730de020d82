"""Self-contained pages: templates, one style sheet, no script, no outside resource, every text escaped."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

DASH = "\N{EN DASH}"
"""Stands where a figure is not defined."""


def render(template: str, **values: Any) -> str:
    """The page that a template of this package makes of `values`."""
    package = files(__package__)
    loader = FunctionLoader(lambda name: package.joinpath(name).read_text(encoding="utf-8"))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": figure, "signed": signed, "span": span}
    style = Markup(package.joinpath("page.css").read_text(encoding="utf-8"))  # our own file
    return environment.get_template(template).render(style=style, **values)


def figure(value: float | None) -> str:
    """Three decimals, or a dash where the figure is not defined."""
    return DASH if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Three decimals with the sign always written."""
    return DASH if value is None else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def span(ends: list[float | None], with_sign: bool = False) -> str:
    """`low to high`, or a dash."""
    write = signed if with_sign else figure
    return DASH if None in ends else f"{write(ends[0])} to {write(ends[1])}"
