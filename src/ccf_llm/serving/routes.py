"""The addresses of the API."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor

from ccf_llm.serving import schemas
from ccf_llm.serving.problems import ProblemError, documented, overloaded
from ccf_llm.serving.service import Service
from ccf_llm.serving.store import Event


class IdConvertor(Convertor[str]):
    """An id in a path: any characters, slashes and line breaks (percent-encoded) among them."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        """As it stands; Starlette has decoded it."""
        return value

    def to_string(self, value: str) -> str:
        """As it stands."""
        return value


register_url_convertor("id", IdConvertor())

PathId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\u0000]+$")]
COMMON = documented(400, 408, 413, 422, 503)
_header = APIKeyHeader(name="X-API-Key", auto_error=False)
# How clients of rerankers give theirs.
_bearer = HTTPBearer(auto_error=False)


def api(service: Service) -> APIRouter:
    """Everything under /v1 but administration."""
    router = _opened_by_keys(service, "/v1")
    closed = "closed: others can reach this server and it has no keys; start it with CCF_LLM_API_KEYS set"
    erasing = [] if service.settings.may_erase else [Depends(_guard(frozenset(), 403, closed))]

    @router.post("/recommend", responses=documented(404), response_model=schemas.RecommendResponse)
    async def recommend(ask: schemas.RecommendRequest, request: Request) -> dict[str, Any]:
        """The best items for a user, for a person known by liked items, or for both together."""
        return await service.recommend(ask, request.state.arrived)

    @router.post("/score", responses=documented(404), response_model=schemas.ScoreResponse)
    async def score(ask: schemas.ScoreRequest, request: Request) -> dict[str, Any]:
        """Log-odds and probability that a person likes each item."""
        return await service.score(ask, request.state.arrived)

    @router.post("/rerank", responses=documented(404), response_model=schemas.RerankResponse)
    async def rerank(ask: schemas.RerankRequest, request: Request) -> dict[str, Any]:
        """Somebody else's candidates, best first for a person: the form of Jina's and Cohere's rerankers."""
        return await service.rerank(ask, request.state.arrived)

    @router.post("/explain", responses=documented(404), response_model=schemas.ExplainResponse)
    async def explain(ask: schemas.ExplainRequest, request: Request) -> dict[str, Any]:
        """Which likes raise the score of each item, and how much of its embedding is collaborative."""
        return await service.explain(ask, request.state.arrived)

    @router.post(
        "/events",
        status_code=201,
        responses=documented(404, 409)
        | {200: {"model": schemas.EventResponse, "description": "It was there already."}},
    )
    async def events(ask: schemas.EventRequest, response: Response) -> schemas.EventResponse:
        """Keep what a user did with an item. It is on disk when this answers, and counts from now on."""
        duplicate = await service.record(Event(ask.key, ask.user_id, ask.item_id, ask.kind))
        if duplicate:
            response.status_code = 200
        return schemas.EventResponse(key=ask.key, duplicate=duplicate)

    @router.get("/items", response_model=schemas.ItemsResponse)
    async def items(
        query: Annotated[str, Query(min_length=1, max_length=200, description="Words of the item.")],
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> dict[str, Any]:
        """Items that hold all the words, in titles before other columns, the closest first; case and accents do not
        matter. Where none does, those that hold words spelt nearly so."""
        return {"items": await service.search(query, limit)}

    @router.get("/items/{item_id:id}/similar", responses=documented(404), response_model=schemas.SimilarResponse)
    async def similar(item_id: PathId, k: Annotated[int, Query(ge=1, le=100)] = 10) -> dict[str, Any]:
        """Items that are liked by the same people; where nobody likes one of the two, that are called alike."""
        return {"items": await service.similar(item_id, k)}

    @router.get("/categories")
    async def categories() -> schemas.CategoriesResponse:
        """What `category` of a recommendation may be."""
        return schemas.CategoriesResponse(categories=list(service.served.recommender.catalogue.categories))

    @router.get("/users/{user_id:id}", response_model=schemas.LikesResponse)
    async def user(user_id: PathId) -> dict[str, Any]:
        """What is known of a user: likes of the data set and of the events. Empty for an id that nobody knows."""
        return await service.likes(user_id)

    @router.delete("/users/{user_id:id}", responses=documented(403) if erasing else {}, dependencies=erasing)
    async def erase(user_id: PathId) -> schemas.ErasedResponse:
        """Erase a person: events are deleted, and the data set's interactions of that id are not used any more."""
        return schemas.ErasedResponse(events=await service.erase(user_id))

    return router


def cohere(service: Service) -> APIRouter:
    """Where Cohere's clients look for a reranker."""
    router = _opened_by_keys(service, "/v2")

    @router.post("/rerank", responses=documented(404), response_model=schemas.RerankResponse)
    async def rerank(ask: schemas.RerankRequest, request: Request) -> dict[str, Any]:
        """The same as POST /v1/rerank."""
        return await service.rerank(ask, request.state.arrived)

    return router


def admin(service: Service) -> APIRouter:
    """What only the administrator may do."""
    key = service.settings.admin_key
    closed = "give the administrator's key in the header X-API-Key"
    if key is None:
        closed = "closed: start the server with CCF_LLM_ADMIN_KEY set to a key of your choice"
    guard = Depends(_guard(frozenset([key] if key else []), 403, closed))
    router = APIRouter(prefix="/v1", responses=COMMON | documented(403, 409), dependencies=[guard])

    @router.post(
        "/items",
        status_code=201,
        responses=documented(404)
        | {200: {"model": schemas.NewItemResponse, "description": "It was there already, in the same words."}},
    )
    async def add(ask: schemas.NewItem, response: Response) -> schemas.NewItemResponse:
        """Add an item that came after training. When this answers it is on disk, and found, scored and recommended."""
        duplicate = await service.add_item(ask.item_id, {"title": ask.title, **ask.__pydantic_extra__})
        if duplicate:
            response.status_code = 200
        return schemas.NewItemResponse(item_id=ask.item_id, duplicate=duplicate)

    @router.post("/admin/reload")
    async def reload() -> schemas.ReloadResponse:
        """Load the model's folder anew and swap it in; the old one goes on serving if the new one does not load."""
        return schemas.ReloadResponse(**await service.reload())

    return router


def health(service: Service) -> APIRouter:
    """For those who watch the server."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> schemas.Health:
        """The process answers."""
        return schemas.Health(status="alive")

    @router.get("/readyz", responses=documented(503))
    async def readyz() -> schemas.Readiness:
        """The model is loaded and the event store answers."""
        try:
            await run_in_threadpool(service.store.check)
        except Exception:
            raise overloaded("the event store does not answer") from None
        model = service.served.model
        return schemas.Readiness(status="ready", task=model.info.task, language_model=model.network.uses_llm)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _opened_by_keys(service: Service, prefix: str) -> APIRouter:
    keys = service.settings.api_keys
    guarded = [Depends(_guard(keys, 401, "give a valid key in the header X-API-Key"))] if keys else []
    return APIRouter(prefix=prefix, responses=COMMON | (documented(401) if keys else {}), dependencies=guarded)


def _guard(keys: frozenset[str], status: int, detail: str) -> Callable[..., Awaitable[None]]:
    async def guard(
        header: Annotated[str | None, Depends(_header)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> None:
        given = header or (bearer.credentials if bearer else "")
        if not any(hmac.compare_digest(given.encode(), key.encode()) for key in keys):
            raise ProblemError(status, detail)

    return guard
