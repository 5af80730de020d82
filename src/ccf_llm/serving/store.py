"""What people liked and disliked since the data set was made: SQLite (WAL) by default, PostgreSQL by URL.

An event is acknowledged once its transaction is committed and on disk (SQLite: synchronous=FULL). Its key is unique, so
an event that is sent twice counts once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from ccf_llm.errors import CCFError, one_line

Kind = Literal["like", "dislike", "withdraw"]
Outcome = Literal["recorded", "duplicate", "conflict"]
MAX_EVENTS = 1000
"""Of one user that are read: the newest."""

metadata = sa.MetaData()
events = sa.Table(
    "ccf_llm_events",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("received", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index("ccf_llm_events_of_user", "user_id", "number"),
)
erased = sa.Table("ccf_llm_erased", metadata, sa.Column("digest", sa.Text, primary_key=True))


@dataclass(frozen=True)
class Event:
    """A like, a dislike, or the withdrawal of either."""

    key: str
    """Chosen by the sender, the same when it sends the event again."""
    user_id: str
    item_id: str
    kind: Kind


@dataclass(frozen=True)
class UserRecord:
    """What the store knows of one user."""

    events: list[tuple[str, Kind]]
    """(item_id, kind), oldest first; the newest `MAX_EVENTS`."""
    erased: bool
    """Whether this person was erased: the data set's interactions of that id must not be used any more."""


class EventStore:
    """Events in a SQL database. Every method may be called from any thread.

    Args:
        url: SQLAlchemy's, such as sqlite:///events.sqlite or postgresql+psycopg://user@host/database.
    """

    def __init__(self, url: str) -> None:
        """Connect and make the tables; a `CCFError` says why that fails."""
        try:
            parsed = sa.make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise CCFError(
                    f"--store: {parsed.get_backend_name()} is not supported; give sqlite:/// or postgresql+psycopg://"
                )
            self._engine = sa.create_engine(parsed, pool_pre_ping=not parsed.drivername.startswith("sqlite"))
        except ArgumentError:
            raise CCFError("--store: not a database URL; give sqlite:///FILE or postgresql+psycopg://...") from None
        except (NoSuchModuleError, ImportError) as error:
            raise CCFError(f"--store: no driver ({one_line(error)}); pip install 'ccf-llm[postgres]'") from None
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        try:
            metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            raise CCFError(f"--store: cannot open {parsed.render_as_string()}: {one_line(error)}") from None

    def record(self, batch: Sequence[Event]) -> list[Outcome]:
        """Write events in one transaction; they are on disk when this returns.

        Returns:
            For each event `recorded`; `duplicate` where the same event was there under its key already; `conflict`
            where another one was.
        """
        if not batch:
            return []
        insert = sqlite.insert(events) if self._sqlite else postgresql.insert(events)
        statement = insert.on_conflict_do_nothing(index_elements=["key"]).returning(events.c.key)
        with self._engine.begin() as connection:
            new = set(connection.scalars(statement, [vars(event) for event in batch]))
            known = {}
            if len(new) < len(batch):
                found = connection.execute(
                    sa.select(events.c.key, events.c.user_id, events.c.item_id, events.c.kind).where(
                        events.c.key.in_([event.key for event in batch])
                    )
                )
                known = {row.key: Event(row.key, row.user_id, row.item_id, row.kind) for row in found}
        outcomes: list[Outcome] = []
        for event in batch:
            if event.key in new and known.get(event.key, event) == event:
                new.discard(event.key)  # once more in this batch, it is a duplicate
                outcomes.append("recorded")
            else:
                outcomes.append("duplicate" if known.get(event.key) == event else "conflict")
        return outcomes

    def of_user(self, user_id: str) -> UserRecord:
        """The events of one user."""
        newest = (
            sa.select(events.c.item_id, events.c.kind)
            .where(events.c.user_id == user_id)
            .order_by(events.c.number.desc())
            .limit(MAX_EVENTS)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(newest).all()
            gone = connection.scalar(sa.select(erased.c.digest).where(erased.c.digest == _digest(user_id)))
        return UserRecord([(row.item_id, row.kind) for row in reversed(rows)], gone is not None)

    def erase(self, user_id: str) -> int:
        """Delete a user's events, and note (as a digest) that the data set's rows of that id are not to be used.

        On SQLite the bytes are overwritten too (secure_delete, and the log is emptied). Returns how many events went.
        """
        mark = sqlite.insert(erased) if self._sqlite else postgresql.insert(erased)
        with self._engine.begin() as connection:
            deleted = connection.execute(sa.delete(events).where(events.c.user_id == user_id)).rowcount
            connection.execute(mark.on_conflict_do_nothing(), {"digest": _digest(user_id)})
        if self._sqlite:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    def check(self) -> None:
        """Raise `SQLAlchemyError` where the database does not answer."""
        with self._engine.connect() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()


def _digest(user_id: str) -> str:
    return hashlib.sha256(user_id.encode()).hexdigest()


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
