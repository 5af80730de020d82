"""YAML as people mean it: the scalars of YAML 1.2, and no key twice.

PyYAML reads YAML 1.1, where `010` is 8, `12:30` is 750, `no` is false and `1e-3` a text, and of two equal keys the last
wins.
"""

import re
from typing import Any

import yaml

from ccf_llm.errors import CCFError, one_line

Lines = dict[tuple[str | int, ...], int]
"""The line of each setting, by its keys and places in lists from the top."""

_INT, _FLOAT, _BOOL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool"
_SCALARS = (
    (_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    (_INT, re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), list("-+0123456789")),
    (
        _FLOAT,
        re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"),
        list("-+.0123456789"),
    ),
)  # fmt: skip
_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class _Loader(yaml.SafeLoader):
    """Nothing but plain values; of YAML 1.1's ways to write them, null and merge keys are left."""

    yaml_implicit_resolvers = {  # noqa: RUF012, as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Decimal whatever it starts with, unless with 0o or 0x."""
        text = self.construct_scalar(node)
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


class _Dumper(yaml.SafeDumper):
    """Quotes what this or another reader would take for something else than a text."""


for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)
_Loader.add_constructor(_INT, _Loader.construct_int)


def parse_yaml(text: str, where: str) -> tuple[Any, Lines]:
    """The value that a text holds, and the line of each of its settings.

    Raises:
        CCFError: not valid YAML, or a key is there twice; names the line.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: Lines = {}
        if node is None:
            return None, lines
        _note_lines(node, (), lines, set())
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CCFError(f"{where}{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise CCFError(f"{where}: not valid YAML: {one_line(error)}") from None
    except RecursionError:
        raise CCFError(f"{where}: not valid YAML: nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()
    return value, lines


def dump_yaml(value: Any) -> str:
    """Plain values as YAML, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _note_lines(node: yaml.Node, path: tuple[str | int, ...], lines: Lines, seen: set[int]) -> None:
    """Put the lines of all settings below `node` into `lines`; what an alias repeats has those of its first place."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value) if isinstance(key, yaml.ScalarNode) else path
            if here in lines and here != path:
                problem = f"'{key.value}' is there twice, on line {lines[here]} too; keep one"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[here] = key.start_mark.line + 1
            _note_lines(value, here, lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            lines[*path, place] = value.start_mark.line + 1
            _note_lines(value, (*path, place), lines, seen)
