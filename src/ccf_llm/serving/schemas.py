"""What requests and answers look like; the OpenAPI document is made from these."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from ccf_llm.recommend.recommender import Order
from ccf_llm.serving.store import Kind

# NUL is the one character that PostgreSQL cannot keep.
Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\u0000]+$")]
NewId = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\s\u0000](?:[^\u0000]*[^\s\u0000])?$")]
Words = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\u0000]*$")]
Text = Annotated[str, StringConstraints(max_length=20_000, pattern=r"^[^\u0000]*$")]
# For JSON, 3.0 is an integer.
_whole = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
Milliseconds = Annotated[int, Field(ge=10, le=60_000), _whole]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Timed(BaseModel):
    """What is answered by a deadline."""

    deadline_ms: Milliseconds | None = Field(
        None,
        description="From the arrival of the request; past it the CF answer is given, marked `degraded`. Default: the "
        "server's.",
    )


class Whom(_Request, Timed):
    """For whom."""

    user_id: Id | None = Field(
        None,
        description="What is known of this id, by the data set and by events, is used. An id that nobody "
        "knows is a person without history: what is liked by most comes first.",
    )
    history: list[Id] = Field(
        [], max_length=500, description="Liked items, oldest first; after those of user_id. They are not kept."
    )
    about: dict[str, Words | float] = Field(
        {},
        max_length=20,
        description='What is known of the person, by column: {"age": 34, "occupation": "doctor"}. Of a model that was '
        "trained with such words (data.user_details); it replaces what the data set tells of user_id, and is not kept.",
    )


class RecommendRequest(Whom):
    """For whom, how many, and from what."""

    k: Annotated[int, Field(ge=1, le=100), _whole] = 10
    order: Order | None = Field(
        None,
        description="fused: the model; cf: CF alone; text: closeness of the titles alone; next: what people with these "
        "likes chose next. All but `fused` are answered at once. Left out: `fused` where the model has learned what "
        "people choose next or `about` is given, else `next`.",
    )
    filter_seen: bool = Field(True, description="Leave out what the user has met.")
    candidates: list[Id] | None = Field(
        None, min_length=1, max_length=200, description="Choose from these, instead of CF's best."
    )
    exclude: list[Id] = Field([], max_length=500, description="Never these.")
    category: Id | None = Field(None, description="Only items of this category; GET /v1/categories lists them.")
    one_edition: bool = Field(
        False,
        description="Of the editions of a work only the best: items that share title, but for brackets and subtitle, "
        "and author. Where no author is known, the subtitle counts.",
    )
    diversity: float = Field(
        0, ge=0, le=1, description="How much it counts that the items are unlike each other; 0: the best by score."
    )


class ScoreRequest(Whom):
    """Items to score for a person."""

    item_ids: list[Id] = Field(min_length=1, max_length=200)


class ExplainRequest(Whom):
    """Items to give reasons for."""

    item_ids: list[Id] = Field(min_length=1, max_length=10)


class RerankPerson(_Request):
    """Whom to rank for, without room for doubt."""

    user_id: Id | None = Field(None, description="As in a recommendation.")
    history: list[Id] = Field([], max_length=500, description="Ids of liked items, oldest first.")


class RerankDocument(BaseModel):
    """An item by its id, or by its title; further fields are passed over."""

    model_config = ConfigDict(strict=True, frozen=True)

    id: Id | None = Field(None, description="An item id.")
    text: Words | None = Field(None, description="A title, used where there is no id or no item has it.")


class RerankRequest(Timed):
    """The request of Jina's, Cohere's and gorse's rerankers: for whom, and which items.

    Fields that only their models have, such as `max_tokens_per_doc`, are passed over.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    model: Words | None = Field(None, description="Passed over: the server has one model.")
    query: Text | RerankPerson | Annotated[list[Words], Field(max_length=500)] = Field(
        description="For whom. A text is the id of a user of the data set or of the events; else liked items, by id or "
        "title, between commas or line breaks, oldest first; an empty one a person of whom nothing is known. Liked "
        "items may be a list too. An object leaves no doubt."
    )
    documents: list[Words | RerankDocument] = Field(
        min_length=1, max_length=200, description="The items to rank, each by its id, else by its title."
    )
    top_n: Annotated[int, Field(ge=1), _whole] | None = Field(None, description="How many to answer; default: all.")
    return_documents: bool = Field(False, description="Whether to answer the items' titles too.")


class EventRequest(_Request):
    """What a user did with an item, or the withdrawal of it. Of each item the last event counts, views aside."""

    key: Id = Field(description="Idempotency key, such as a UUID: sent twice, the event counts once.")
    user_id: Id
    item_id: Id
    kind: Kind = Field(
        description="like, cart, play, purchase: counts as a like, and the item is met: not recommended any more. "
        "dislike: met, not liked. view: looked at only; it is kept and changes nothing. withdraw: takes back what was "
        "known of the item, also by the data set; it may be recommended again.",
    )


class NewItem(BaseModel):
    """An item that came after training: an id, a title, and texts of further columns, such as genres."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, Words]

    item_id: NewId = Field(description="One that no other item has; without spaces around it.")
    title: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\u0000]*[^\s\u0000][^\u0000]*$")]


class NewItemResponse(BaseModel):
    """The item is on disk, and in every answer from now on."""

    item_id: str
    duplicate: bool = Field(description="Whether it was there already, in the same words.")


class Item(BaseModel):
    """An item of the catalogue."""

    item_id: str
    title: str
    details: str = Field(description="Further words, such as genres.")


class Recommendation(Item):
    """A recommended item."""

    rank: int
    score: float = Field(
        description="Log-odds of a like; in the order `text` the cosine of the titles; in `next`, and of models of the "
        "ranking task, without a unit."
    )
    probability: float | None = Field(description="Sigmoid of the log-odds; null where the score is none.")
    cf_rank: int | None = Field(
        description="Rank by CF alone among all items that the filters leave; null where it is not among the first "
        "thousand of a catalogue so large that an index searches it."
    )
    text_rank: int | None = Field(description="Rank by the titles alone among the same.")
    collaborative_share: float = Field(description="Of the item's embedding: 0 text only, 1 CF only.")


class _Answer(BaseModel):
    model: str = Field(description="Version of the model that answered.")
    degraded: bool = Field(description="The deadline passed before the language model was done: this is CF's answer.")
    history: int = Field(description="How many likes were used.")


class RecommendResponse(_Answer):
    """The best items, best first."""

    order: Order = Field(description="What decided in the end; `cf` where degraded.")
    items: list[Recommendation]
    reason: str | None = Field(description="Why there are no items; null where there are.")


class Score(BaseModel):
    """A scored item."""

    item_id: str
    score: float = Field(description="Log-odds of a like; of models of the ranking task without a unit.")
    probability: float | None = Field(description="Sigmoid of the log-odds; null where the score is none.")


class ScoreResponse(_Answer):
    """Scores in the order of the request."""

    scores: list[Score]


class RankedDocument(BaseModel):
    """An item as it is known here."""

    id: str
    text: str = Field(description="Its title.")


class RerankResult(BaseModel):
    """A ranked item."""

    index: int = Field(description="Its place in `documents`, from 0.")
    relevance_score: float = Field(
        description="The sigmoid of `score`: of models of the rating task the probability of a like."
    )
    score: float = Field(description="What the results are ordered by: log-odds of a like in the rating task.")
    document: RankedDocument | None = Field(description="Null unless `return_documents`.")


class RerankUsage(BaseModel):
    """For clients that look for it."""

    total_tokens: int = Field(0, description="Always 0: nothing is counted here.")


class RerankResponse(_Answer):
    """The best items, best first."""

    results: list[RerankResult]
    usage: RerankUsage = RerankUsage(total_tokens=0)


class Reason(BaseModel):
    """A like that raises the score."""

    item_id: str
    title: str
    effect: float = Field(description="Score with all likes minus score without this one, in log-odds; above 0.")


class Explanation(Item):
    """Why an item has its score."""

    collaborative_share: float
    reasons: list[Reason] = Field(
        description="Those of the newest ten likes that raise the score, the strongest first; empty where none does."
    )


class ExplainResponse(_Answer):
    """Explanations in the order of the request."""

    items: list[Explanation]


class EventResponse(BaseModel):
    """The event is on disk."""

    key: str
    duplicate: bool = Field(description="Whether it was there already; it counts once.")


class SimilarItem(Item):
    """An item and how close it is."""

    similarity: float = Field(
        description="From -1 to 1: shrunk cosine of who likes both; where nobody likes one of the two, the mean cosine "
        "of CF vectors and of title embeddings."
    )


class SimilarResponse(BaseModel):
    """The closest items, closest first."""

    items: list[SimilarItem]


class ItemsResponse(BaseModel):
    """Items found."""

    items: list[Item]


class CategoriesResponse(BaseModel):
    """Categories that `category` accepts."""

    categories: list[str]


class LikesResponse(BaseModel):
    """What is known of a user."""

    likes: list[Item] = Field(description="What counts as a like, newest first, at most 500.")
    dislikes: list[Item] = Field(description="Of the events alone, newest first.")


class ErasedResponse(BaseModel):
    """A person is gone."""

    events: int = Field(description="How many events were deleted.")


class ReloadResponse(BaseModel):
    """Which model serves now."""

    model: str
    previous: str


class Health(BaseModel):
    """Alive."""

    status: str


class Readiness(Health):
    """Ready, and with what."""

    task: str = Field(description="What the model has learned: `rating` or `ranking`.")
    language_model: bool = Field(
        description="Whether the language model decides anything; not where validation gave it no weight."
    )
