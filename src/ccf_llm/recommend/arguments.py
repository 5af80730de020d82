"""What recommendations are asked with: a `CCFError` names a wrong argument, what was given and what it may be."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ccf_llm.errors import CCFError


def check_count(value: Any, name: str, least: int = 1) -> int:
    """A whole number of items, of Python or of numpy."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise CCFError(f"{name} is {value!r}; give a whole number of items")
    if value < least:
        raise CCFError(f"{name} is {value}; ask for at least {least} item{'s' if least != 1 else ''}")
    return int(value)


def check_share(value: Any, name: str) -> float:
    """A number from 0 to 1."""
    number = not isinstance(value, bool) and isinstance(value, int | float | np.number)
    if not (number and 0 <= value <= 1):  # NaN is not between either
        raise CCFError(f"{name} is {value if number else repr(value)}; choose from 0 to 1")
    return float(value)


def check_choice(value: Any, name: str, choices: Sequence[str]) -> None:
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise CCFError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def check_flag(value: Any, name: str) -> bool:
    """Yes or no: a text such as "no" would count as yes."""
    if not isinstance(value, bool | np.bool_):
        raise CCFError(f"{name} is {value!r}; give True or False")
    return bool(value)
