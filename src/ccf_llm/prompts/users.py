"""What is told of a user: columns of the data set's users, in words."""

from collections.abc import Callable
from typing import Annotated, Any

import polars as pl
from pydantic import AfterValidator, BeforeValidator

from ccf_llm.data.personal import holds_e_mails, personal_kind
from ccf_llm.errors import CCFError
from ccf_llm.prompts.details import Detail, columns_of, words_of
from ccf_llm.text.spoken import spoken


class UserDetail(Detail):
    """A column of the users, and how it is told. Where nothing is known of a user in it, nothing is said."""

    personal: bool = False
    """That it is told although it looks like personal data that one should not use (`data.personal`)."""


def _of_mapping(value: Any) -> Any:
    if isinstance(value, Detail) and not isinstance(value, UserDetail):
        value = value.model_dump()
    return UserDetail.model_validate(value) if isinstance(value, dict) else value


def _checked(details: tuple[str | UserDetail, ...]) -> tuple[str | UserDetail, ...]:
    for detail in _told(details):
        if (kind := personal_kind(detail.column)) and not detail.personal:
            raise ValueError(
                f"column '{detail.column}' looks like {kind}, which no prompt should hold; leave it out, or insist "
                f"with {{column: {detail.column}, personal: true}}"
            )
    return details


UserDetails = Annotated[tuple[Annotated[str | UserDetail, BeforeValidator(_of_mapping)], ...], AfterValidator(_checked)]
"""In the order in which they are told; a name alone is the column as `text.spoken` puts it."""


def check_users_told(users: pl.DataFrame | None, details: UserDetails) -> None:
    """Raise `CCFError` where a column of `details` is not there, or holds e-mail addresses."""
    there = [name for name in users.columns if name != "user_id"] if users is not None else []
    for detail in _told(details):
        if users is None or detail.column not in there:
            known = f"they have {', '.join(there)}" if there else "the data set has no table of users; add one"
            raise CCFError(f"data.user_details: users have no column '{detail.column}'; {known}")
        if not detail.personal and holds_e_mails(users[detail.column].cast(pl.String)):
            raise CCFError(f"data.user_details: column '{detail.column}' holds e-mail addresses; leave it out")


def words_of_users(users: pl.DataFrame, details: UserDetails, tokens: Callable[[str], int]) -> list[str]:
    """The words of each user, what is told separated by comma and space; empty where nothing is known.

    Args:
        users: with columns of `details`, as texts; one that is not there is not told.
        details: what is told.
        tokens: how many tokens a text has.
    """
    columns = [
        pl.Series(column, [spoken(column, text or "") for text in users[column]], dtype=pl.String)
        if column in users.columns
        else pl.Series(column, [""] * len(users), dtype=pl.String)
        for column in dict.fromkeys(columns_of(details))
    ]
    return words_of(pl.DataFrame(columns), details, tokens)


def _told(details: tuple[str | UserDetail, ...]) -> list[UserDetail]:
    return [UserDetail(column=detail) if isinstance(detail, str) else detail for detail in details]
