"""Items that came after training and were added over HTTP: kept in the database of the events."""

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ccf_llm.serving.changes import note
from ccf_llm.serving.tables import items


@dataclass(frozen=True)
class AddedItem:
    """An item in words."""

    item_id: str
    words: dict[str, str]
    """Column -> text, none of them empty; `title` is one."""


class AddedItems:
    """The items added, oldest first. Every method may be called from any thread.

    Args:
        engine: of the store, which makes the table.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, item: AddedItem, limit: int) -> Literal["recorded", "duplicate", "conflict", "full"]:
        """Keep an item; it is on disk when this returns.

        Returns:
            `recorded`; `duplicate` where it was there with the same words already, `conflict` where with others; `full`
            where `limit` items are there.
        """
        insert = sqlite.insert(items) if self._engine.dialect.name == "sqlite" else postgresql.insert(items)
        statement = insert.on_conflict_do_nothing(index_elements=["item_id"]).returning(items.c.item_id)
        with self._engine.begin() as connection:
            known = connection.scalar(sa.select(items.c.words).where(items.c.item_id == item.item_id))
            if known is None:
                if connection.execute(sa.select(sa.func.count()).select_from(items)).scalar_one() >= limit:
                    return "full"
                if connection.scalar(statement, vars(item)) is not None:
                    note(connection, "items")
                    return "recorded"
                # Another server was quicker.
                known = connection.scalar(sa.select(items.c.words).where(items.c.item_id == item.item_id))
        return "duplicate" if known == item.words else "conflict"

    def all(self) -> list[AddedItem]:
        """Every item, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(items.c.item_id, items.c.words).order_by(items.c.number)).all()
        return [AddedItem(row.item_id, row.words) for row in rows]
