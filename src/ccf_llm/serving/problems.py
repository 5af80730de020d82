"""Errors as problem documents (RFC 9457): what is wrong, and what to do about it. Never a stack trace."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ccf_llm.errors import CCFError
from ccf_llm.serving.recorder import OverloadError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"
log = logging.getLogger("ccf_llm.serving")


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What is wrong with this request, and what to do.")


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers

    def response(self) -> JSONResponse:
        """The document."""
        document = ProblemDocument(title=HTTPStatus(self.status).phrase, status=self.status, detail=self.detail)
        return JSONResponse(document.model_dump(), self.status, self.headers, media_type=MEDIA_TYPE)


def overloaded(detail: str) -> ProblemError:
    """503 with Retry-After."""
    return ProblemError(503, detail, {"Retry-After": RETRY_AFTER})


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The statuses as problem documents, for the OpenAPI document."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""

    def answer(problem: ProblemError) -> JSONResponse:
        return problem.response()

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(CCFError)
    async def _bad_input(_: Request, error: CCFError) -> JSONResponse:
        return answer(ProblemError(404, str(error)))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"] if part != "body") or "body"
        return answer(ProblemError(422, f"{where}: {fault['msg']}"))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 405:
            allowed = ", ".join(_methods(app, request))
            return answer(ProblemError(405, f"this address has the methods {allowed}; see /docs", {"Allow": allowed}))
        detail = "no such address; see /docs" if error.status_code == 404 else str(error.detail)
        return answer(ProblemError(error.status_code, detail, dict(error.headers) if error.headers else None))

    @app.exception_handler(OverloadError)
    async def _full(_: Request, error: OverloadError) -> JSONResponse:
        return answer(overloaded("too many requests wait; send it again after the seconds of Retry-After"))

    @app.exception_handler(SQLAlchemyError)
    async def _store(_: Request, error: SQLAlchemyError) -> JSONResponse:
        log.error("the event store failed", exc_info=error)
        return answer(overloaded("the event store does not answer; send it again after the seconds of Retry-After"))

    @app.exception_handler(Exception)
    async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
        return answer(ProblemError(500, "the server failed on this request; its log says why"))


def _methods(app: FastAPI, request: Request) -> list[str]:
    """The methods of this address over all routes; Starlette names those of the first one."""
    scopes = {method: {**request.scope, "method": method} for method in ("DELETE", "GET", "HEAD", "POST", "PUT")}
    return [m for m, scope in scopes.items() if any(route.matches(scope)[0] == Match.FULL for route in app.routes)]
