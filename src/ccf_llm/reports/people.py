"""Figures of groups of users as lines of a table, for the pages and the command."""

from collections.abc import Sequence
from typing import Any


def people_lines(models: dict[str, Any], methods: Sequence[str], figure: str) -> list[dict[str, Any]]:
    """A line for each group of the first method: `by`, `group`, `users`, and for each method a cell.

    A cell has `value`, `value_ci`, `rest`, `rest_ci` and `popular`, None where the method has no such figure.
    """
    if not methods:
        return []
    return [
        {
            "by": by,
            "group": group,
            "users": of["users"],
            "cells": [_cell(models[method].get("people", {}).get(by, {}).get(group, {}), figure) for method in methods],
        }
        for by, groups in models[methods[0]].get("people", {}).items()
        for group, of in groups.items()
    ]


def _cell(found: dict[str, Any], figure: str) -> dict[str, Any]:
    none = [None, None]
    return {
        "value": found.get(figure),
        "value_ci": found.get(f"{figure}_ci", none),
        "rest": found.get("rest"),
        "rest_ci": found.get("rest_ci", none),
        "popular": found.get("popular"),
    }
