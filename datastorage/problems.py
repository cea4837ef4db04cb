"""Errors as RFC 9457 problem documents: one exception that a route raises, one shape that leaves the service."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from datastorage.database_errors import describe, is_unavailable

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://kubernaut.ai/problems/"
RETRY_AFTER_SECONDS = 5
TITLES = {
    "validation-error": "The request breaks the contract",
    "invalid-json": "The body is not JSON",
    "batch-size-exceeded": "The batch is too large",
    "request-too-large": "The body is too large",
    "event-conflict": "The event_id is taken",
    "no-signing-key": "The service has no key to sign with",
    "nothing-to-sign": "There is nothing to sign yet",
    "hold-exists": "There is a legal hold already",
    "no-hold": "There is no such legal hold",
    "database-unavailable": "The database cannot be reached",
    "database-error": "The database refused",
    "internal-error": "The service failed",
    "authentication-unavailable": "Who asks cannot be found out now",
    "unauthorized": "Who asks is not known",
    "forbidden": "Who asks may not do this",
    "not-found": "There is nothing here",
    "method-not-allowed": "The method is not allowed",
    "http-error": "The request cannot be served",
}

log = logging.getLogger("datastorage")


class Problem(Exception):
    """An answer that is not what was asked for. `members` are added to the document."""

    def __init__(
        self, slug: str, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(slug)
        self.slug = slug
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def respond(problem: Problem, request: Request) -> Response:
    """Write the problem as the answer to this request."""
    document = {
        "type": TYPE_BASE + problem.slug,
        "title": TITLES[problem.slug],
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        **problem.members,
    }
    return Response(orjson.dumps(document), problem.status, problem.headers, MEDIA_TYPE)


def database_problem(error: SQLAlchemyError) -> Problem:
    """Say whether trying again helps (503) or not (500)."""
    if is_unavailable(error):
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Problem("database-unavailable", 503, "the database did not answer; try again later", headers=headers)
    return Problem("database-error", 500, "the database refused the request; the log has the reason")


def install(app: FastAPI) -> None:
    """Make every error of the application leave as a problem document."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return respond(error, request)

    @app.exception_handler(SQLAlchemyError)
    async def _database(request: Request, error: SQLAlchemyError) -> Response:
        problem = database_problem(error)
        log.error("database", extra={"fields": {"error": describe(error), "problem": problem.slug}})
        return respond(problem, request)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        # The router names the methods of the first route of a path alone.
        headers = {"Allow": _allowed(app, request)} if error.status_code == 405 else error.headers
        return respond(Problem(slug, error.status_code, str(error.detail), headers=headers), request)

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, _error: ClientDisconnect) -> Response:
        return respond(Problem("http-error", 400, "the client left before its body was complete"), request)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _error: Exception) -> Response:
        return respond(Problem("internal-error", 500, "the log has the reason"), request)


def _allowed(app: FastAPI, request: Request) -> str:
    methods = [route.methods for route in app.routes if isinstance(route, Route) and route.path == request.url.path]
    return ", ".join(sorted(set().union(*(found or () for found in methods))))
