"""The reference of the settings: every group that a configuration is made of, from its classes."""

import json
import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import griffe
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from ccf_llm.experiments.config import RunConfig
from ccf_llm.serving.settings import ServeSettings
from ccf_llm.settings import Settings

OPENING = """# Settings

A run's YAML or TOML file holds these; `--set key=value` replaces one, such as `--set cf.ease.l2=500`. What is left out
has its default. The groups stand in the order in which they are met, each with the keys under which it is found; NAME
is a name of your choice.
"""
SERVER = """
## The server

Options of `ccf-llm serve`, and limits for who makes the application in Python. Keys come from the environment.
"""
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def settings_page() -> str:
    """Every setting with its type, default and meaning, as Markdown."""
    groups: dict[type[Settings], list[str]] = {}
    _find(RunConfig, "", groups)
    parts = [OPENING]
    for group, keys in groups.items():
        where = ", ".join(f"`{key}`" for key in keys if key) or "The file itself."
        parts.append(f"## {group.__name__}\n\n{where}\n\n{_about(group)}\n\n{_table(group)}")
    return "\n".join([*parts, SERVER, _table(ServeSettings)])


def meaning(group: type[Settings], name: str) -> str:
    """The docstring under a field, on one line; `LookupError` where it has none."""
    for base in group.__mro__:
        if base.__module__.startswith("ccf_llm") and name in _parsed(base).members:
            docstring = _parsed(base).members[name].docstring
            if docstring is None:
                raise LookupError(f"{base.__name__}.{name}: has no docstring to say what it means")
            return " ".join(docstring.value.split())
    raise LookupError(f"{group.__name__}.{name}: stands in no class of this package")


def _find(group: type[Settings], key: str, groups: dict[type[Settings], list[str]]) -> None:
    """Note the key under which a group is found, then those of the groups inside."""
    groups.setdefault(group, []).append(key)
    for name, field in group.model_fields.items():
        for inner, step in _groups_in(field.annotation):
            _find(inner, f"{key}.{name}{step}".lstrip("."), groups)


def _groups_in(annotation: Any, step: str = "") -> Iterator[tuple[type[Settings], str]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation, step
    elif get_origin(annotation) is dict:
        yield from _groups_in(get_args(annotation)[1], f"{step}.NAME")
    elif get_origin(annotation) is tuple:
        yield from _groups_in(get_args(annotation)[0], f"{step}[]")
    elif get_origin(annotation) is Annotated:
        yield from _groups_in(get_args(annotation)[0], step)
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _groups_in(part, step)


def _table(group: type[Settings]) -> str:
    lines = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for name, field in group.model_fields.items():
        cells = [f"`{name}`", type_in_words(field.annotation) + _bounds(field), _default(field), meaning(group, name)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def type_in_words(annotation: Any) -> str:
    """A type as somebody writes it in a file; a group links to its section."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is Annotated:
        return type_in_words(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(type_in_words(part) for part in inner)
    if origin is dict:
        return f"{type_in_words(inner[1])} by name"
    if origin in (tuple, frozenset):
        return f"list of {type_in_words(inner[0])}"
    if issubclass(annotation, Settings):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path"}[
        annotation.__name__
    ]


def _bounds(field: FieldInfo) -> str:
    found = [(sign, rule, name) for rule in field.metadata for name, sign in BOUNDS.items() if hasattr(rule, name)]
    return "".join(f", {sign} {getattr(rule, name)}" for sign, rule, name in found)


def _default(field: FieldInfo) -> str:
    """As JSON, which is YAML too; of a group only what differs from its section."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    text = json.dumps(_plain(value), ensure_ascii=False)
    return "" if text == "{}" else f"`{text}`"


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return to_jsonable_python(value)


def _about(group: type[Settings]) -> str:
    return " ".join((group.__doc__ or "").split())


@cache
def _package() -> griffe.Module:
    package = griffe.load("ccf_llm", resolve_aliases=False)
    assert isinstance(package, griffe.Module)
    return package


def _parsed(group: type) -> griffe.Class:
    found = _package()[f"{group.__module__}.{group.__name__}".removeprefix("ccf_llm.")]
    assert isinstance(found, griffe.Class)
    return found
