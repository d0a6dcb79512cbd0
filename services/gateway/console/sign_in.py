"""Signing in with a browser: OpenID Connect, authorisation code with PKCE, into a signed session cookie.

The cookie holds role, agency and id for as long as the token would hold, never the token. Nobody but the browser's
owner sees it; who knows the gateway's secret could forge it.
"""

import hmac
import secrets
from collections.abc import MutableMapping
from typing import Any, Protocol
from urllib.parse import urlencode

import requests

from services.gateway.auth import AUDIENCE, Asker, Tokens
from services.gateway.development_provider import CONSOLE, DevelopmentProvider, OAuthError, challenge
from services.gateway.problems import Fault
from shared.clock import Clock
from shared.config import Settings
from shared.domain import Json
from shared.errors import Forbidden, Unavailable

TIMEOUT = 5.0
Session = MutableMapping[str, Any]


class Provider(Protocol):
    """Whoever knows the people: here or elsewhere."""

    @property
    def authorization_endpoint(self) -> str: ...

    def exchange(self, code: str, verifier: str, redirect_uri: str, client_id: str) -> Json:
        """Access and id token for a code."""
        ...


class Here:
    """The development provider of this process."""

    def __init__(self, provider: DevelopmentProvider) -> None:
        self._provider = provider

    @property
    def authorization_endpoint(self) -> str:
        return str(self._provider.discovery["authorization_endpoint"])

    def exchange(self, code: str, verifier: str, redirect_uri: str, client_id: str) -> Json:
        try:
            return self._provider.exchange(code, verifier, redirect_uri, client_id)
        except OAuthError:
            raise _refused() from None


class Elsewhere:
    """The sign-in service that the settings name."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer.rstrip("/")

    @property
    def authorization_endpoint(self) -> str:
        return str(self._described()["authorization_endpoint"])

    def exchange(self, code: str, verifier: str, redirect_uri: str, client_id: str) -> Json:
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        form |= {"redirect_uri": redirect_uri, "client_id": client_id}
        answer = _asked("POST", str(self._described()["token_endpoint"]), form)
        if "access_token" not in answer or "id_token" not in answer:
            raise _refused()
        return answer

    def _described(self) -> Json:
        return _asked("GET", f"{self._issuer}/.well-known/openid-configuration", None)


class SignIn:
    """The way into a session and out of it."""

    def __init__(self, settings: Settings, tokens: Tokens, provider: Provider, clock: Clock, base: str) -> None:
        self._settings = settings
        self._tokens = tokens
        self._provider = provider
        self._clock = clock
        self.return_address = f"{base}/anmelden/antwort"

    def begin(self, session: Session) -> str:
        """Where to send the browser. State, nonce and verifier stay in its cookie."""
        session.clear()
        pending = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        session["pending"] = pending
        asked = {
            "response_type": "code",
            "client_id": CONSOLE,
            "redirect_uri": self.return_address,
            "scope": "openid",
            "state": pending["state"],
            "nonce": pending["nonce"],
            "code_challenge": challenge(pending["verifier"]),
            "code_challenge_method": "S256",
        }
        return f"{self._provider.authorization_endpoint}?{urlencode(asked)}"

    def finish(self, session: Session, state: str, code: str) -> None:
        """Raises 401 unless this browser began it and the issuer says who it is."""
        pending = session.pop("pending", None)
        if not pending or not hmac.compare_digest(str(pending["state"]).encode(), state.encode()):
            raise _refused()
        given = self._provider.exchange(code, pending["verifier"], self.return_address, CONSOLE)
        claims = self._tokens.claims(given["access_token"], AUDIENCE)
        identity = self._tokens.claims(given["id_token"], CONSOLE)
        if identity.get("nonce") != pending["nonce"] or identity.get("sub") != claims.get("sub"):
            raise _refused()
        Asker.of(claims)
        session.clear()
        kept = {name: claims[name] for name in ("sub", "role", "agency", "partner", "person_id") if name in claims}
        session.update(asker=kept, until=int(claims["exp"]), csrf=secrets.token_urlsafe(32))

    def asker(self, session: Session) -> Asker | None:
        """Who is signed in; nobody once the time is over."""
        if "asker" not in session or self._clock.now().timestamp() > session.get("until", 0):
            return None
        return Asker.of(session["asker"])


def require_same_form(session: Session, given: str) -> None:
    """Raises `Forbidden` unless the form came from a page of this session."""
    if not session.get("csrf") or not hmac.compare_digest(str(session["csrf"]).encode(), given.encode()):
        raise Forbidden("session.form_not_ours", "the form did not come from this session", "open the page again")


def _refused() -> Fault:
    return Fault(401, "session.sign_in_failed", "signing in did not work", "begin again")


def _asked(method: str, url: str, form: Json | None) -> Json:
    try:
        answer = requests.request(method, url, data=form, timeout=TIMEOUT, allow_redirects=False)
        found: Json = answer.json()
    except (requests.RequestException, ValueError):
        raise Unavailable("issuer.unavailable", "the sign-in service does not answer", "try again later") from None
    return found
