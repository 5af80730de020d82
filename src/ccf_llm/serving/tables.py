"""The tables of the store, alike in SQLite and PostgreSQL; a store of before gets those that it lacks."""

import sqlalchemy as sa

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
salts = sa.Table(
    "ccf_llm_salt",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("salt", sa.Text, nullable=False),
)
"""One row: what the ids of erased users are hashed with, so that no table of digests made elsewhere finds them."""
changes = sa.Table(
    "ccf_llm_changes",
    metadata,
    sa.Column("change", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)
"""How often each kind of change has come to pass: servers of one database look whether it grows."""
items = sa.Table(
    "ccf_llm_items",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
    sa.Column("item_id", sa.Text, nullable=False, unique=True),
    sa.Column("words", sa.JSON, nullable=False),
    sa.Column("received", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)
"""Items that came after training; `words` are its texts by column."""
