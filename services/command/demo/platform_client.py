"""The platform as its users see it: HTTP, tokens, and patience while a part of it is started again.

Every change carries an idempotency key, so a request whose answer was lost is simply sent again.
"""

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

Json = dict[str, Any]
AGAIN = frozenset({409, 502, 503, 504})
PAUSE = 0.3
CONSOLE = "console"


class Unexpected(Exception):
    """The platform answered something else than the story needs."""


@dataclass
class PlatformClient:
    """`patience` is how many seconds a request is repeated while the platform cannot be reached."""

    url: str
    patience: float = 60.0
    _http: httpx.Client = field(init=False)
    _tokens: dict[str, tuple[float, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.url, timeout=30.0, follow_redirects=False)

    def close(self) -> None:
        self._http.close()

    def machine(self, client_id: str, secret: str) -> "As":
        """A program that signs in with client credentials."""
        return As(self, lambda: self._cached(client_id, lambda: self._client_credentials(client_id, secret)))

    def person(self, sub: str) -> "As":
        """A demonstration person who signs in by authorisation code with PKCE."""
        return As(self, lambda: self._cached(sub, lambda: self._signed_in(sub)))

    def send(self, method: str, path: str, *, expect: tuple[int, ...] = (200, 201), **request: Any) -> httpx.Response:
        """The answer once it has one of the expected statuses; repeats while the platform is away or says `again`."""
        ends = time.monotonic() + self.patience
        while True:
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if time.monotonic() > ends:
                    message = f"{method} {path}: the platform does not answer ({type(error).__name__})"
                    raise Unexpected(message) from None
            else:
                if answer.status_code in expect:
                    return answer
                if answer.status_code not in AGAIN or time.monotonic() > ends:
                    message = f"{method} {path}: {answer.status_code} {_problem(answer)}"
                    raise Unexpected(message)
            time.sleep(PAUSE)

    def _cached(self, who: str, fetch: Any) -> str:
        until, token = self._tokens.get(who, (0.0, ""))
        if time.monotonic() > until:
            answer = fetch()
            token = str(answer["access_token"])
            self._tokens[who] = (time.monotonic() + int(answer["expires_in"]) * 0.8, token)
        return token

    def forget_tokens(self) -> None:
        self._tokens.clear()

    def _client_credentials(self, client_id: str, secret: str) -> Json:
        grant = {"grant_type": "client_credentials"}
        answer: Json = self.send("POST", self._endpoint("token_endpoint"), data=grant, auth=(client_id, secret)).json()
        return answer

    def _signed_in(self, sub: str) -> Json:
        """A code lives in the provider's process only: when that was started again, a new one is asked for."""
        ends = time.monotonic() + self.patience
        while "access_token" not in (answer := self._authorization_code(sub)):
            if time.monotonic() > ends:
                message = f"the sign-in failed: {answer.get('error')}"
                raise Unexpected(message)
        return answer

    def _authorization_code(self, sub: str) -> Json:
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        redirect = f"{self._discovered()['issuer']}/anmelden/antwort"
        asked = {
            "response_type": "code",
            "client_id": CONSOLE,
            "redirect_uri": redirect,
            "scope": "openid",
            "state": secrets.token_urlsafe(16),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        chosen = self.send(
            "POST", self._endpoint("authorization_endpoint"), data={**asked, "sub": sub}, expect=(302, 303)
        )
        code = parse_qs(urlsplit(chosen.headers["location"]).query)["code"][0]
        grant = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "client_id": CONSOLE,
            "code_verifier": verifier,
        }
        answer: Json = self.send("POST", self._endpoint("token_endpoint"), data=grant, expect=(200, 400)).json()
        return answer

    def _endpoint(self, name: str) -> str:
        return urlsplit(str(self._discovered()[name])).path

    def _discovered(self) -> Json:
        described: Json = self.send("GET", "/.well-known/openid-configuration").json()
        return described


@dataclass(frozen=True)
class As:
    """The platform in the eyes of somebody who is signed in."""

    client: PlatformClient
    token: Any

    def get(self, path: str, **query: Any) -> Json:
        return self._send("GET", path, params=query)

    def post(self, path: str, body: Json, key: str, *, expect: tuple[int, ...] = (200, 201)) -> Json:
        """Send a command; `key` makes it one command however often it is sent."""
        return self._send("POST", path, json=body, headers={"Idempotency-Key": key}, expect=expect)

    def _send(self, method: str, path: str, **request: Any) -> Json:
        headers = {**request.pop("headers", {}), "Authorization": f"Bearer {self.token()}"}
        answer: Json = self.client.send(method, f"/v1{path}", headers=headers, **request).json()
        return answer


def _problem(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return ""
    faults = "; ".join(f"{e.get('pointer')}: {e.get('detail')}" for e in problem.get("errors", []))
    return f"{problem.get('type', '')} {problem.get('detail', '')} {faults}".strip()
