"""The reference of the HTTP API, from its OpenAPI document."""

from types import SimpleNamespace
from typing import Any, cast

from ccf_llm.serving.app import create_app
from ccf_llm.serving.service import Service
from ccf_llm.serving.settings import ServeSettings

Schema = dict[str, Any]
OPENING = """# HTTP API

Made from the document that a server gives at `/openapi.json`; a server shows it, to try, at `/docs`. How to use it:
[Serving](../serving.md). The header `X-API-Key` (or `Authorization: Bearer`) is asked for where a server has keys.
"""


def http_page() -> str:
    """Every address with what is asked and answered, then the objects inside, as Markdown."""
    document = openapi()
    parts = [OPENING, f"{document['info']['description']}\n"]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts.append(_route(f"{method.upper()} {path}", route))
    parts.append("## Objects\n")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"### {name}\n\n{schema.get('description', '')}\n\n{_fields(schema)}")
    return "\n".join(parts)


def openapi() -> Schema:
    """The document of a server with keys; no model is loaded for it."""
    settings = ServeSettings(api_keys=frozenset({"key"}), admin_key="admin")
    service = SimpleNamespace(settings=settings, metrics=None)
    return create_app(cast(Service, service)).openapi()


def _route(title: str, route: Schema) -> str:
    parts = [f"## `{title}`\n\n{route.get('description', '')}\n"]
    if found := route.get("parameters"):
        rows = [(p["name"], p["schema"] | {"description": p.get("description", "")}, p["required"]) for p in found]
        parts.append(_table(rows))
    if "requestBody" in route:
        parts.append(f"Asks: {_type(_json(route['requestBody']))}\n")
    parts += ["| answer | |", "|---|---|"]
    for status, answer in route["responses"].items():
        body = _json(answer)
        parts.append(f"| {status} | {answer['description']}{': ' + _type(body) if '$ref' in body else ''} |")
    return "\n".join([*parts, ""])


def _json(holder: Schema) -> Schema:
    """The schema of a body, of whichever media type."""
    return next((content.get("schema", {}) for content in holder.get("content", {}).values()), {})


def _fields(schema: Schema) -> str:
    needed = schema.get("required", [])
    return _table([(name, inner, name in needed) for name, inner in schema.get("properties", {}).items()])


def _table(rows: list[tuple[str, Schema, bool]]) -> str:
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, schema, needed in rows:
        default = "needed" if needed else f"`{schema['default']}`" if schema.get("default") is not None else ""
        cells = [f"`{name}`", _type(schema), default, schema.get("description", "")]
        lines.append(f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n" if rows else ""


def _type(schema: Schema) -> str:
    """A schema in words; an object links to its section."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}{_bounds(schema, 'Items')}"
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return f"{_type(inner)} by name"
    return f"{schema.get('const', schema.get('type', 'anything'))}{_bounds(schema, 'Length')}"


def _bounds(schema: Schema, what: str) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    signs |= {f"min{what}": "at least", f"max{what}": "at most"}
    found = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    found += [
        f"{words} {schema[name]}"
        for name, words in ((f"min{what}", "at least"), (f"max{what}", "at most"))
        if name in schema
    ]
    return f", {', '.join(found)}" if found else ""
