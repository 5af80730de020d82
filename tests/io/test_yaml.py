from typing import Any

import pytest

from ccf_llm.errors import CCFError
from ccf_llm.io.yaml import dump_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("+3", 3),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", float("-inf")),
        ("yes", "yes"),
        ("off", "off"),
        ("True", True),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("~", None),
        ("", None),
        ("~/x", "~/x"),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read, _ = parse_yaml(text, "here")
    assert read == value
    assert type(read) is type(value)


def test_every_setting_has_its_line() -> None:
    _, lines = parse_yaml("a: 1\nb:\n  - x\n  - c: 2\n", "here")
    assert lines == {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "here, line 3: not valid YAML: 'a' is there twice, on line 1 too; keep one"),
        ("a:\n  - {b: 1,\n     b: 2}\n", "here, line 3: not valid YAML: 'b' is there twice, on line 2 too; keep one"),
        ("a: *b", "here, line 1: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "here, line 2: not valid YAML: but found another document"),
        ("!!int x", "here: not valid YAML: invalid literal for int() with base 10: 'x'"),
        ("a\x01", "here: not valid YAML: unacceptable character #x0001: special characters are not allowed"),
        ("[" * 3000, "here: not valid YAML: nested too deeply"),
    ],
    ids=lambda text: text[:12],
)
def test_a_fault_is_one_line_that_names_its_line(text: str, message: str) -> None:
    with pytest.raises(CCFError) as fault:
        parse_yaml(text, "here")
    assert str(fault.value) == message


def test_what_is_dumped_is_read_back() -> None:
    words = ["010", "yes", "1e3", "0o17", "08", "12:30", "~", ".5", "true", "1_0", "", "null", ".nan", "=", "a: b"]
    value = {"words": words, "numbers": [1e-5, 1.0, 3, True, None, float("inf")], "deep": {"b": {}, "a": []}}
    read, _ = parse_yaml(dump_yaml(value), "here")
    assert read == value
    assert list(read["deep"]) == ["b", "a"]
