"""The development provider over HTTP: discovery, keys, the page with the buttons, and the token endpoint."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import unquote_plus, urlencode

from flask import Blueprint, Response, redirect, render_template, request

from services.gateway.development_provider import AuthorizationRequest, DevelopmentProvider, OAuthError
from shared.canonical import canonical
from shared.domain import Json


def blueprint(provider: DevelopmentProvider) -> Blueprint:
    """Its pages; they exist in the demonstration only."""
    pages = Blueprint("provider", __name__)

    @pages.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return _json(provider.discovery)

    @pages.get("/provider/jwks")
    def jwks() -> Response:
        return _json(provider.jwks)

    @pages.get("/provider/authorize")
    def choose() -> str:
        asked = _asked(request.args)
        provider.check(asked)
        hidden = {field.name: getattr(asked, field.name) for field in fields(asked)}
        return render_template("choose_person.html", persons=provider.accounts.persons, hidden=hidden)

    @pages.post("/provider/authorize")
    def chosen() -> Response:
        asked = _asked(request.form)
        code = provider.code_for(asked, request.form.get("sub", ""))
        query = urlencode({"code": code, "state": asked.state})
        return redirect(f"{asked.redirect_uri}?{query}", code=303)  # type: ignore[return-value]

    @pages.post("/provider/token")
    def token() -> Response:
        return _json(_granted(provider), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    @pages.errorhandler(OAuthError)
    def refused(error: OAuthError) -> Response:
        headers = {"WWW-Authenticate": 'Basic realm="handschlag"'} if error.status == 401 else {}
        return _json({"error": error.error}, error.status, {**headers, "Cache-Control": "no-store"})

    return pages


def _granted(provider: DevelopmentProvider) -> Json:
    form = request.form
    match form.get("grant_type"):
        case "client_credentials":
            return provider.client_credentials(*_credentials(form))
        case "authorization_code":
            return provider.exchange(*(form.get(n, "") for n in ("code", "code_verifier", "redirect_uri", "client_id")))
    raise OAuthError("unsupported_grant_type")


def _credentials(form: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise OAuthError("invalid_client", 401) from None
    return unquote_plus(client_id), unquote_plus(secret)


def _asked(given: Mapping[str, str]) -> AuthorizationRequest:
    return AuthorizationRequest(**{field.name: given.get(field.name, "") for field in fields(AuthorizationRequest)})


def _json(content: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(canonical(content), status, dict(headers or {}), content_type="application/json")
