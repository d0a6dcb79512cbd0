"""A small OpenID provider for the demonstration: a button is enough to be somebody.

Authorisation code with PKCE S256 (RFC 7636) for the console, client credentials (RFC 6749 section 4.4) for programs,
discovery and JWKS. It refuses to start outside the demonstration. Codes live for a minute in this process and are
good for one use. Errors of the token endpoint have the form of RFC 6749 section 5.2, which its clients expect.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from services.gateway.accounts import Accounts, Client
from services.gateway.auth import AUDIENCE
from shared.clock import Clock
from shared.config import Settings
from shared.domain import Json
from shared.errors import Invalid
from shared.files import write_once

KEY_FILE = "development-provider.json"
CONSOLE = "console"
TOKEN_LIFE = timedelta(minutes=15)
CODE_LIFE = timedelta(seconds=60)
ALGORITHM = "ES256"


class OAuthError(Exception):
    """An error in the words of RFC 6749, with its HTTP status."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """What the console asks for; only this one client and only its own return address are known."""

    client_id: str
    redirect_uri: str
    response_type: str
    code_challenge: str
    code_challenge_method: str
    state: str = ""
    nonce: str = ""


@dataclass(frozen=True)
class _Code:
    request: AuthorizationRequest
    sub: str
    until: float


class DevelopmentProvider:
    """Signs tokens for the accounts of the demonstration."""

    def __init__(self, settings: Settings, accounts: Accounts, clock: Clock) -> None:
        if settings.mode != "demo":
            remedy = "name the issuer of your sign-in service in HANDSCHLAG_ISSUER"
            raise Invalid("provider.demo_only", "the development provider runs in the demonstration only", remedy)
        self.issuer = settings.issuer.rstrip("/")
        self.accounts = accounts
        self._clock = clock
        self._key = _key(settings.keys / KEY_FILE)
        self._codes: dict[str, _Code] = {}
        self._lock = threading.Lock()

    @property
    def return_address(self) -> str:
        return f"{self.issuer}/anmelden/antwort"

    @property
    def discovery(self) -> Json:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/provider/authorize",
            "token_endpoint": f"{self.issuer}/provider/token",
            "jwks_uri": f"{self.issuer}/provider/jwks",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        }

    @property
    def jwks(self) -> Json:
        return {"keys": [self._key.as_dict(private=False)]}

    @property
    def keys(self) -> Callable[[str], KeySet]:
        """The keys for `Tokens`, without asking ourselves over HTTP."""
        return lambda _kid: KeySet([self._key])

    def check(self, request: AuthorizationRequest) -> None:
        """Raises `OAuthError`; a wrong client or return address must never be redirected to."""
        if request.client_id != CONSOLE or request.redirect_uri != self.return_address:
            raise OAuthError("invalid_request")
        if request.response_type != "code":
            raise OAuthError("unsupported_response_type")
        if request.code_challenge_method != "S256" or not 43 <= len(request.code_challenge) <= 128:
            raise OAuthError("invalid_request")

    def code_for(self, request: AuthorizationRequest, sub: str) -> str:
        """A code for the demo person who was chosen."""
        self.check(request)
        if self.accounts.person(sub) is None:
            raise OAuthError("access_denied")
        now, code = self._clock.now(), secrets.token_urlsafe(32)
        with self._lock:
            self._codes = {key: each for key, each in self._codes.items() if each.until > now.timestamp()}
            self._codes[code] = _Code(request, sub, (now + CODE_LIFE).timestamp())
        return code

    def exchange(self, code: str, verifier: str, redirect_uri: str, client_id: str) -> Json:
        """Tokens for a code, once. `verifier` must hash to the challenge that asked for it."""
        with self._lock:
            known = self._codes.pop(code, None)
        if known is None or known.until <= self._clock.now().timestamp():
            raise OAuthError("invalid_grant")
        asked = known.request
        same = hmac.compare_digest(challenge(verifier).encode(), asked.code_challenge.encode())
        person = self.accounts.person(known.sub)
        if not same or person is None or (redirect_uri, client_id) != (asked.redirect_uri, asked.client_id):
            raise OAuthError("invalid_grant")
        tokens = self._tokens(person.claims)
        id_claims = {"sub": person.sub, "name": person.name, "nonce": asked.nonce}
        return {**tokens, "id_token": self._signed(id_claims, client_id)}

    def client_credentials(self, client_id: str, secret: str) -> Json:
        """A token for a program."""
        client: Client | None = self.accounts.client(client_id, secret)
        if client is None:
            raise OAuthError("invalid_client", 401)
        return self._tokens(client.claims)

    def _tokens(self, claims: Json) -> Json:
        life = int(TOKEN_LIFE.total_seconds())
        return {"access_token": self._signed(claims, AUDIENCE), "token_type": "Bearer", "expires_in": life}

    def _signed(self, claims: Json, audience: str) -> str:
        now = int(self._clock.now().timestamp())
        times = {"iat": now, "exp": now + int(TOKEN_LIFE.total_seconds()), "jti": secrets.token_hex(16)}
        header = {"alg": ALGORITHM, "kid": self._key.kid, "typ": "at+jwt" if audience == AUDIENCE else "JWT"}
        return jwt.encode(header, {"iss": self.issuer, "aud": audience, **claims, **times}, self._key)


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _key(path: Path) -> ECKey:
    def fresh() -> str:
        made = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, private=True)
        made.ensure_kid()
        return json.dumps(made.as_dict(private=True))

    write_once(path, fresh)
    return ECKey.import_key(json.loads(path.read_text(encoding="utf-8")))
