"""The gateway as a WSGI application, put together from the interface, the pages and the sign-in.

Runs in green threads and in plain ones alike. Everything under `/v1` needs a token; without one there is health, the
description of the interface, the start page, the law, the pages that explain problems, and signing in.
"""

import re
import uuid
from collections.abc import Callable
from typing import Any, cast

from flask import Flask, Response, request
from flask.wrappers import Response as FlaskResponse
from werkzeug.exceptions import HTTPException

from services.gateway import console, problems, provider_pages
from services.gateway.accounts import DEMO, ELSEWHERE, Accounts
from services.gateway.api import VERSION, add_api
from services.gateway.auth import IssuerKeys, Tokens
from services.gateway.development_provider import DevelopmentProvider
from services.gateway.front_door import FrontDoor
from services.gateway.idempotency import Guard
from services.gateway.resources import OPERATIONS
from services.gateway.sealing import Seal
from services.gateway.secret import Secret
from shared import telemetry
from shared.canonical import canonical
from shared.clock import Clock
from shared.config import Settings
from shared.database import Database
from shared.errors import HandschlagError
from shared.registers import described
from shared.runtime import Asking

LARGEST_BODY = 1024 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Gateway(Flask):
    """Flask in which every request is part of a trace."""

    front: FrontDoor
    accounts: Accounts

    def full_dispatch_request(self) -> FlaskResponse:
        given = request.headers.get("traceparent", "")
        parent = given if _TRACEPARENT.fullmatch(given) else ""
        route = str(request.url_rule) if request.url_rule else ""
        attributes = {"http.method": request.method, "http.route": route}
        with telemetry.continue_trace(parent, f"{request.method} {route}", **attributes):
            response = super().full_dispatch_request()
            response.headers["traceparent"] = telemetry.current_traceparent()
        return response


def create_app(
    settings: Settings,
    calls: Asking,
    *,
    clock: Clock | None = None,
    issuer_keys: Callable[[str], Any] | None = None,
) -> Gateway:
    """The application. Raises `Invalid` when the settings do not allow a safe start."""
    clock, demo = clock or settings.clock(), settings.mode == "demo"
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret, protected = Secret.open(settings.keys), settings.issuer.startswith("https:")
    app = Gateway(__name__, static_folder="console/static", template_folder="console/templates")
    app.config.update(
        SECRET_KEY=secret.key("session"),
        MAX_CONTENT_LENGTH=LARGEST_BODY,
        SESSION_COOKIE_NAME="__Host-handschlag" if protected else "handschlag",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=protected,
        DEMO=demo,
        API_TITLE="Handschlag",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
    )
    app.accounts = Accounts(settings.state / (DEMO if demo else ELSEWHERE))
    provider = DevelopmentProvider(settings, app.accounts, clock) if demo else None
    keys = issuer_keys or (provider.keys if provider else IssuerKeys(settings.issuer))
    tokens = Tokens(settings.issuer.rstrip("/") if provider else settings.issuer, keys, clock)
    guard = Guard(Database(settings.database_url("gateway")), secret, clock)
    app.front = FrontDoor(OPERATIONS, calls, guard, secret, Seal(settings.keys), installation=described(settings))
    _add_errors(app)
    add_api(app, app.front, tokens)
    if provider:
        app.extensions["development_provider"] = provider
        app.register_blueprint(provider_pages.blueprint(provider))
    app.register_blueprint(console.blueprint(settings, app.front, tokens, provider, clock))
    app.after_request(_with_headers)
    return app


def _add_errors(app: Gateway) -> None:
    def ours(error: HandschlagError) -> Response:
        return _told(error)

    def of_http(error: HTTPException) -> Response:
        if error.code and error.code < 400:
            return cast("Response", error.get_response())
        response = _told(problems.from_http(error))
        for name, text in error.get_headers():
            if name == "Allow":
                response.headers[name] = text
        return response

    def unknown(error: Exception) -> Response:
        telemetry.logger("gateway").error("a request failed", **telemetry.describe(error))
        return _told(problems.internal())

    app.register_error_handler(HandschlagError, ours)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, unknown)


def _told(error: HandschlagError) -> Response:
    told = problems.document(error)
    if not request.path.startswith("/v1") and request.accept_mimetypes.best == "text/html":
        response = console.error_page(told)
    else:
        response = Response(canonical(told), told["status"], content_type=problems.CONTENT_TYPE)
    if told["status"] == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="handschlag"'
    if told["status"] == 503:
        response.headers["Retry-After"] = "5"
    response.headers["Cache-Control"] = "no-store"
    return response


def _with_headers(response: Response) -> Response:
    given = request.headers.get("X-Request-Id", "")
    response.headers["X-Request-Id"] = given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
    for name, text in _HEADERS.items():
        response.headers.setdefault(name, text)
    return response
