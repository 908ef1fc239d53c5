"""Errors as problem responses (RFC 9457), with a status, a stable code and one sentence."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from impasto.api import ProblemBody
from impasto.errors import (
    BacklogError,
    BlobMissingError,
    BusyError,
    ConflictError,
    ImageLimitError,
    ImpastoError,
    QuotaError,
    RateError,
    RejectedError,
    StorageError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

_STATUS: tuple[tuple[type[ImpastoError], int], ...] = (
    (ConflictError, HTTPStatus.CONFLICT),
    (BacklogError, HTTPStatus.SERVICE_UNAVAILABLE),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (BlobMissingError, HTTPStatus.NOT_FOUND),
    (QuotaError, HTTPStatus.INSUFFICIENT_STORAGE),
    (RateError, HTTPStatus.TOO_MANY_REQUESTS),
    (StorageError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RejectedError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
_CODES = {413: "body_too_large", 507: QuotaError.code}
"""Error codes of the HTTP statuses whose standard name is not used as the code."""
_MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "10"}
_LATER = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INSUFFICIENT_STORAGE)


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """An error response."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """Respond with ``status``. The ``code`` is stable, and ``detail`` is a text for people."""
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers

    def response(self) -> JSONResponse:
        """Return the problem as application/problem+json."""
        body = ProblemBody(
            type=f"urn:impasto:problem:{self.code}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            code=self.code,
            detail=self.detail.encode(errors="replace").decode(),  # half of a surrogate pair cannot be sent
        )
        headers = None if self.headers is None else dict(self.headers)
        return JSONResponse(body.model_dump(), self.status, headers, media_type=_MEDIA_TYPE)


def problem_of(error: ImpastoError | HTTPException | Problem) -> Problem:
    """Convert ``error`` to a problem."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code) or HTTPStatus(error.status_code).name.lower()
        return Problem(error.status_code, code, str(error.detail), error.headers)
    if error.code == ImageLimitError.code:
        return Problem(413, error.code, str(error))
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return Problem(status, error.code, str(error), RETRY_AFTER if status in _LATER else None)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, error.code, str(error))


def answer_with_problems(app: FastAPI) -> None:
    """Let ``app`` respond to every error with a problem."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(ImpastoError)
    async def refused(_: Request, error: ImpastoError) -> JSONResponse:
        return problem_of(error).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return Problem(422, "bad_request", f"{where}: {first['msg']}").response()

    @app.exception_handler(Exception)
    async def defect(*_: object) -> JSONResponse:
        return Problem(500, "failed", "something went wrong in the service; try again later").response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return problem_of(error).response()

    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _describe(described())
        return described()

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def _describe(schema: dict[str, Any]) -> None:
    """Document problems as error responses of all operations in ``schema``, instead of FastAPI's own format."""
    schemas = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemBody"] = ProblemBody.model_json_schema()
    content = {_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "What went wrong.", "content": content}
