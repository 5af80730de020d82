"""What servers of one database tell each other: that what each of them keeps in memory is no longer all there is."""

from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ccf_llm.serving.tables import changes

Change = Literal["erased", "items", "reload"]
"""A person was erased, an item was added, the model's folder was read anew."""


def note(connection: sa.Connection, change: Change) -> None:
    """Count a change, as part of the transaction that makes it."""
    insert = sqlite.insert(changes) if connection.dialect.name == "sqlite" else postgresql.insert(changes)
    more = {"number": changes.c.number + 1}
    connection.execute(
        insert.values(change=change, number=1).on_conflict_do_update(index_elements=["change"], set_=more)
    )


def counted(connection: sa.Connection) -> dict[str, int]:
    """How often each has come to pass; only what is committed counts."""
    return {row.change: row.number for row in connection.execute(sa.select(changes.c.change, changes.c.number))}
