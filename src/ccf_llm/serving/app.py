"""The FastAPI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from ccf_llm.serving import problems, routes
from ccf_llm.serving.limits import Limits
from ccf_llm.serving.service import Service

END_SECONDS = 10
"""How long the end waits for what is under way at the store."""
PAGE = Path(__file__).parent / "page"
ABOUT = """Recommendations of a language model that reads both the words and the collaborative signal.

Errors are problem documents (RFC 9457) whose `detail` says what to do. Answers that had to do without the language
model, because the deadline came first, are marked `degraded`. Under overload: 503 with `Retry-After`."""


def create_app(service: Service) -> FastAPI:
    """The application over a service, which it closes in the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ended = asyncio.Event()
        following = asyncio.create_task(service.follow(ended)) if service.store.shared else None
        yield
        if following is not None:  # a thread of it may be at the store, whose connection it then gives back
            ended.set()
            await asyncio.wait([following], timeout=END_SECONDS)
        service.close()

    app = FastAPIOffline(
        redoc_url=None,
        title="ccf-llm",
        description=ABOUT,
        version=version("ccf-llm"),
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    problems.install(app)
    for router in (routes.health(service), routes.api(service), routes.cohere(service), routes.admin(service)):
        app.include_router(router)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))
    app.add_middleware(Limits, settings=service.settings, metrics=service.metrics)
    return app
