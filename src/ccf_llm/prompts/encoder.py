"""Segments -> token ids. Each piece of a prompt is tokenized once, alone, so that every path sees the same seams."""

from collections.abc import Sequence as SequenceOf
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from ccf_llm.cf.base import CFModel
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.prompts.codes import BinaryCodes
from ccf_llm.prompts.shots import Shot
from ccf_llm.prompts.template import HybridTemplate, Segment, Text, told
from ccf_llm.text.titles import reading_order

Ids = NDArray[np.int64]

# Slots are marked by negative ids: no tokenizer produces them, so no title can name a slot.
USER_SLOT = -1
ITEM_SLOT = -2
LEARNED_SLOT = -3
"""The first learned vector; the k-th after it is LEARNED_SLOT - k."""


class PromptEncoder:
    """Token ids of the pieces of every prompt over one catalogue.

    Args:
        tokenizer: a fast tokenizer of the base model.
        template: the wording.
        titles: titles by item code; `titles[0]` stands for items that are not in the vocabulary.
        details: further words by item code (`prompts.details`), or None.
        users: words by user code (`prompts.users`), those of code 0 empty; none where nothing is told of users.
        shots: answered examples, for a template that has them.
        binary_codes: CF vectors as text, for a template that writes them out.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: HybridTemplate,
        titles: SequenceOf[str],
        details: SequenceOf[str] | None = None,
        *,
        users: SequenceOf[str] = (),
        shots: SequenceOf[Shot] = (),
        binary_codes: BinaryCodes | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.titles = list(titles)
        self.details = list(details) if details is not None else [""] * len(self.titles)
        self.users = list(users)
        self.shots, self.binary_codes = tuple(shots), binary_codes
        self._written_items = binary_codes.items() if binary_codes is not None else [""] * len(self.titles)
        self._history_items: dict[int, Ids] = {}
        self._suffixes: dict[tuple[int, str], Ids] = {}

    def with_template(self, template: HybridTemplate) -> Self:
        """An encoder of the same catalogue in other words."""
        return type(self)(
            self.tokenizer,
            template,
            self.titles,
            self.details,
            users=self.users,
            shots=self.shots,
            binary_codes=self.binary_codes,
        )

    def with_items(self, titles: SequenceOf[str], details: SequenceOf[str] | None, cf: CFModel) -> Self:
        """An encoder of a catalogue that goes on with further items, whose CF vectors are those of `cf`."""
        more = details if details is not None else [""] * len(titles)
        binary_codes = None if self.binary_codes is None else BinaryCodes(cf)
        catalogue = [*self.titles, *titles], [*self.details, *more]
        return type(self)(
            self.tokenizer, self.template, *catalogue, users=self.users, shots=self.shots, binary_codes=binary_codes
        )

    @cached_property
    def instruction(self) -> Ids:
        """Ids that open every prompt; with the tokenizer's own beginning-of-text token where it uses one."""
        return self._opening("")

    def opening(self, user_words: str) -> Ids:
        """Ids that open the prompts of a user of whom this is told."""
        return self._opening(user_words) if user_words else self.instruction

    def user_words(self, rows: Rows) -> list[str]:
        """What is told of the user of each row: what the row itself says, else what is known of the user's code."""
        known = [self.users[user] for user in rows.users] if self.users else [""] * len(rows)
        if rows.user_words is None:
            return known
        return [by_code if own is None else own for own, by_code in zip(rows.user_words, known, strict=True)]

    def history_item(self, item: int) -> Ids:
        """Ids of one liked item in the history, slot included."""
        if item not in self._history_items:
            self._history_items[item] = self.encode(self.template.history_item(self.titles[item]))
        return self._history_items[item]

    def readers(self, rows: Rows) -> list[str]:
        """What the candidate's part says of the user of each row; nothing, but where codes are written out."""
        return self.binary_codes.users(rows) if self.binary_codes is not None else [""] * len(rows)

    def suffix(self, item: int, reader: str = "") -> Ids:
        """Ids of the candidate's part: user slot or words, title, item slot, request and answer cue."""
        if (item, reader) not in self._suffixes:
            details = ", ".join(filter(None, (self._written_items[item], self.details[item])))
            self._suffixes[item, reader] = self.encode(self.template.candidate(self.titles[item], details, reader))
        return self._suffixes[item, reader]

    def _opening(self, user_words: str) -> Ids:
        start = [i for i in self.tokenizer.encode("") if i == self.tokenizer.bos_token_id]
        learned = LEARNED_SLOT - np.arange(self.template.learned)
        words = self.encode(self.template.instruction(self._examples(), user_words))
        return np.concatenate([np.asarray(start, dtype=np.int64), learned, words])

    def _examples(self) -> str:
        """The template's examples in words."""
        return "".join(
            self.template.example(
                [self.titles[i] for i in s.history], self.titles[s.item], self.details[s.item], s.liked
            )
            for s in self.shots
        )

    def text(self, item: int, *, details: bool | None = None) -> str:
        """The words whose meaning is the item's semantic embedding: its title and its further words.

        `details` says whether these are read too. None: where the target item is its slot alone, so that nothing else
        would read them.
        """
        title, further = told(reading_order(self.titles[item])), told(self.details[item], limit=None)
        read = not self.template.candidate_titles if details is None else details
        return f"{title}, {further}" if further and read else title

    def words(self, text: str) -> Ids:
        """Ids of a text that stands for itself: that of an item, or what is told of a user."""
        return self.encode([Text(f" {text}")])

    def encode(self, segments: SequenceOf[Segment]) -> Ids:
        """Ids of segments, each text tokenized alone, special tokens inside it read as plain characters."""
        ids: list[int] = []
        for segment in segments:
            if isinstance(segment, Text):
                ids.extend(self.tokenizer.encode(segment.text, add_special_tokens=False, split_special_tokens=True))
            else:
                ids.append(USER_SLOT if segment.kind == "user" else ITEM_SLOT)
        return np.asarray(ids, dtype=np.int64)

    def answer_ids(self) -> tuple[int, int]:
        """The ids of Yes and No as they occur right after the answer cue.

        Raises:
            CCFError: the tokenizer merges the answer into the cue, or starts both answers with the same token.
        """
        cue = self.tokenizer.encode(self.template.cue, add_special_tokens=False)
        answers = []
        for word in (" Yes", " No"):
            ids = self.tokenizer.encode(self.template.cue + word, add_special_tokens=False)
            if ids[: len(cue)] != cue or len(ids) == len(cue):
                raise CCFError(
                    f"the tokenizer of this model merges '{word.strip()}' into the answer cue; use another model"
                )
            answers.append(ids[len(cue)])
        if answers[0] == answers[1]:
            raise CCFError("the tokenizer of this model starts Yes and No with the same token; use another model")
        return answers[0], answers[1]
