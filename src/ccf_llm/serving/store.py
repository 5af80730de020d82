"""What people did since the data set was made, such as likes and purchases: SQLite (WAL) by default, PostgreSQL by URL.

An event is acknowledged once its transaction is committed and on disk (SQLite: synchronous=FULL). Its key is unique, so
an event that is sent twice counts once. Several servers may use one database, and may be the first to open it.
"""

import hashlib
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.hashing import sha256_of
from ccf_llm.serving.added import AddedItems
from ccf_llm.serving.changes import counted, note
from ccf_llm.serving.tables import erased, events, metadata, salts

Kind = Literal["like", "dislike", "withdraw", "view", "cart", "play", "purchase"]
LIKES: frozenset[Kind] = frozenset(["like", "cart", "play", "purchase"])
"""What counts as a like. A `view` says that an item was looked at, not what anybody thinks of it: it is only kept."""
Outcome = Literal["recorded", "duplicate", "conflict"]
MAX_EVENTS = 1000
"""Of one user that are read: the newest."""
BUSY_MS = 5000
"""How long SQLite waits for others who use the file."""
TABLES_LOCK = 0x63636C6C
"""PostgreSQL's advisory lock under which tables are made; any number that nobody else uses."""
log = logging.getLogger("ccf_llm.serving")


@dataclass(frozen=True)
class Event:
    """What somebody did with an item, or the withdrawal of it."""

    key: str
    """Chosen by the sender, the same when it sends the event again."""
    user_id: str
    item_id: str
    kind: Kind


@dataclass(frozen=True)
class UserRecord:
    """What the store knows of one user."""

    events: list[tuple[str, Kind]]
    """(item_id, kind), oldest first; the newest `MAX_EVENTS`, without views."""
    erased: bool
    """Whether this person was erased: the data set's interactions of that id must not be used any more."""


class EventStore:
    """Events in a SQL database. Every method may be called from any thread.

    Args:
        url: SQLAlchemy's, such as sqlite:///events.sqlite or postgresql+psycopg://user@host/database.
    """

    def __init__(self, url: str | sa.URL) -> None:
        """Connect and make the tables; a `CCFError` says why that fails."""
        try:
            parsed = sa.make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise CCFError(
                    f"--store: {parsed.get_backend_name()} is not supported; give sqlite:/// or postgresql+psycopg://"
                )
            # Errors are logged, and say no ids there.
            remote = not parsed.drivername.startswith("sqlite")
            self._engine = sa.create_engine(parsed, pool_pre_ping=remote, hide_parameters=True)
        except ArgumentError:
            raise CCFError("--store: not a database URL; give sqlite:///FILE or postgresql+psycopg://...") from None
        except (NoSuchModuleError, ImportError) as error:
            raise CCFError(f"--store: no driver ({one_line(error)}); pip install 'ccf-llm[postgres]'") from None
        self._sqlite = self._engine.dialect.name == "sqlite"
        self.shared = not self._sqlite
        """Whether servers on several machines can have it in common."""
        self.url = parsed.render_as_string(hide_password=False)
        self.items = AddedItems(self._engine)
        if self._sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        self._log_to_empty = self._sqlite
        """Whether SQLite's log may hold what was erased, now or by a server that was killed."""
        try:
            self._salt = self._make_tables()
        except (SQLAlchemyError, sqlite3.Error) as error:
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
        if self._log_to_empty:
            self._empty_log(wait_ms=0)
        outcomes: list[Outcome] = []
        for event in batch:
            if event.key in new and known.get(event.key, event) == event:
                new.discard(event.key)  # once more in this batch, it is a duplicate
                outcomes.append("recorded")
            else:
                outcomes.append("duplicate" if known.get(event.key) == event else "conflict")
        return outcomes

    def of_user(self, user_id: str) -> UserRecord:
        """The events of one user that say something of a taste; many views do not push them out."""
        newest = (
            sa.select(events.c.item_id, events.c.kind)
            .where(events.c.user_id == user_id, events.c.kind != "view")
            .order_by(events.c.number.desc())
            .limit(MAX_EVENTS)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(newest).all()
            marks = sa.select(erased.c.digest).where(erased.c.digest.in_([self._digest(user_id), _unsalted(user_id)]))
            gone = connection.scalar(marks.limit(1))
        return UserRecord([(row.item_id, row.kind) for row in reversed(rows)], gone is not None)

    def erase(self, user_id: str) -> int:
        """Delete a user's events, and note (as a digest) that the data set's rows of that id are not to be used.

        On SQLite the bytes are overwritten too (secure_delete, and the log is emptied). Where somebody else who reads
        the file holds up the log for `BUSY_MS`, a warning is logged, and it is emptied as soon as events are written
        after that, with the next erasure, or on `close`. Returns how many events went.
        """
        mark = sqlite.insert(erased) if self._sqlite else postgresql.insert(erased)
        with self._engine.begin() as connection:
            deleted = connection.execute(sa.delete(events).where(events.c.user_id == user_id)).rowcount
            connection.execute(mark.on_conflict_do_nothing(), {"digest": self._digest(user_id)})
            note(connection, "erased")
        if self._sqlite:
            self._empty_log(wait_ms=BUSY_MS)
        return deleted

    def erased_among(self, user_ids: Iterable[str]) -> list[str]:
        """Those of the ids that were erased, in their order."""
        with self._engine.connect() as connection:
            digests = set(connection.scalars(sa.select(erased.c.digest)))
        return [user for user in user_ids if {self._digest(user), _unsalted(user)} & digests]

    def note_reload(self) -> None:
        """Tell the other servers that the model's folder is to be read anew."""
        with self._engine.begin() as connection:
            note(connection, "reload")

    def changes(self) -> dict[str, int]:
        """How often each `Change` has come to pass, by whichever server."""
        with self._engine.connect() as connection:
            return counted(connection)

    def check(self) -> None:
        """Raise `SQLAlchemyError` where the database does not answer."""
        with self._engine.connect() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Close all connections."""
        if self._log_to_empty:
            self._empty_log(wait_ms=BUSY_MS)
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _make_tables(self) -> bytes:
        """Make what is missing, one server after the other, and return the salt."""
        insert = sqlite.insert(salts) if self._sqlite else postgresql.insert(salts)
        with self._engine.begin() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLES_LOCK)))
            metadata.create_all(connection)
            connection.execute(insert.on_conflict_do_nothing(), {"number": 1, "salt": secrets.token_hex(32)})
            return bytes.fromhex(connection.execute(sa.select(salts.c.salt)).scalar_one())

    def _empty_log(self, wait_ms: int) -> None:
        """Move SQLite's log into the file and truncate it; others who read the file can hold that up."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_ms}")
            try:
                busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            except SQLAlchemyError:  # what was to be written before is on disk all the same
                busy = 1
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")
        if busy and not self._log_to_empty:
            log.warning("another reader holds up the event store: what was erased is in its log until that ends")
        self._log_to_empty = bool(busy)

    def _digest(self, user_id: str) -> str:
        return hashlib.blake2b(user_id.encode(), key=self._salt, digest_size=32).hexdigest()


def _unsalted(user_id: str) -> str:
    """As stores were marked before they had a salt."""
    return sha256_of(user_id)


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _switch_to_wal(cursor)
    for pragma in ("synchronous=FULL", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """For this switch alone SQLite does not wait for others who open the file at the same moment."""
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
