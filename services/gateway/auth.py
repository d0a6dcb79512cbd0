"""Who asks, and what their role may ask. What the table does not list is forbidden.

An access token names one agency and at most one partner. Its signature is checked against the keys that the
configured issuer publishes (OIDC Discovery, RFC 7517); claims and times per RFC 9068.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.gateway.problems import Fault
from shared.clock import Clock
from shared.domain import Json
from shared.errors import Forbidden, NotFound, Unavailable

AUDIENCE = "handschlag"
ALGORITHMS = ["ES256", "Ed25519", "RS256", "PS256"]
SKEW = 5
KEYS_KEPT = 600.0
KEYS_REFRESHED = 30.0
ISSUER_TIMEOUT = 5.0

CITIZEN, CASE_WORKER, PARTNER_SYSTEM, AUDITOR, OPERATOR = ROLES = (
    "citizen",
    "case_worker",
    "partner_system",
    "auditor",
    "operator",
)

GRANTS: Mapping[str, frozenset[str]] = {
    "exchange.register_agency": frozenset({OPERATOR}),
    "exchange.agency": frozenset({OPERATOR}),
    "exchange.register_partner": frozenset({OPERATOR}),
    "exchange.record_commitment": frozenset({OPERATOR, CASE_WORKER}),
    "exchange.partner": frozenset({OPERATOR, CASE_WORKER}),
    "exchange.partners": frozenset({OPERATOR, CASE_WORKER, CITIZEN}),
    "exchange.directory": frozenset({OPERATOR, CASE_WORKER}),
    "cases.register_person": frozenset({CASE_WORKER}),
    "cases.person": frozenset({CASE_WORKER}),
    "cases.lift_restriction": frozenset({CASE_WORKER}),
    "cases.open_case": frozenset({CASE_WORKER}),
    "cases.case": frozenset({CASE_WORKER}),
    "cases.cases": frozenset({CASE_WORKER}),
    "cases.hand_over_case": frozenset({CASE_WORKER}),
    "cases.close_case": frozenset({CASE_WORKER}),
    "cases.confirm_safety_check": frozenset({CASE_WORKER}),
    "cases.record_entry": frozenset({CASE_WORKER}),
    "consent.give_consent": frozenset({CASE_WORKER, CITIZEN}),
    "consent.refuse_consent": frozenset({CASE_WORKER, CITIZEN}),
    "consent.withdraw_consent": frozenset({CASE_WORKER, CITIZEN}),
    "consent.consent": frozenset({CASE_WORKER, CITIZEN}),
    "consent.consents": frozenset({CASE_WORKER, CITIZEN}),
    "exchange.withdrawal": frozenset({CASE_WORKER, CITIZEN}),
    "consent.withdraw_all": frozenset({CASE_WORKER, CITIZEN}),
    "consent.offer_consent": frozenset({CASE_WORKER}),
    "consent.offer": frozenset({CASE_WORKER, CITIZEN}),
    "consent.accept_offer": frozenset({CASE_WORKER, CITIZEN}),
    "consent.decline_offer": frozenset({CASE_WORKER, CITIZEN}),
    "consent.record_sheet": frozenset({CASE_WORKER, CITIZEN}),
    "consent.pause_consent": frozenset({CASE_WORKER, CITIZEN}),
    "consent.resume_consent": frozenset({CASE_WORKER, CITIZEN}),
    "exchange.withdrawal_report": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "exchange.missing_acknowledgements": frozenset({CASE_WORKER, AUDITOR}),
    "consent.register_representation": frozenset({CASE_WORKER}),
    "consent.representation": frozenset({CASE_WORKER}),
    "consent.representations": frozenset({CASE_WORKER}),
    "consent.end_representation": frozenset({CASE_WORKER}),
    "consent.objection": frozenset({CASE_WORKER, CITIZEN}),
    "consent.object_to_processing": frozenset({CASE_WORKER, CITIZEN}),
    "consent.decide_objection": frozenset({CASE_WORKER}),
    "consent.take_back_processing_objection": frozenset({CASE_WORKER, CITIZEN}),
    "consent.give_release": frozenset({CASE_WORKER}),
    "consent.withdraw_release": frozenset({CASE_WORKER}),
    "consent.release": frozenset({CASE_WORKER}),
    "consent.record_objection_notice": frozenset({CASE_WORKER}),
    "consent.raise_objection": frozenset({CASE_WORKER}),
    "consent.take_back_objection": frozenset({CASE_WORKER}),
    "health.record_assessment": frozenset({CASE_WORKER}),
    "health.assessment": frozenset({CASE_WORKER}),
    "exchange.request_disclosure": frozenset({CASE_WORKER}),
    "exchange.confirm_disclosure": frozenset({CASE_WORKER}),
    "exchange.review_break_glass": frozenset({CASE_WORKER}),
    "exchange.disclosure": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "exchange.disclosures": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "exchange.feed": frozenset({PARTNER_SYSTEM}),
    "exchange.acknowledge": frozenset({PARTNER_SYSTEM}),
    "audit.key": frozenset(ROLES),
    "audit.checkpoint": frozenset({AUDITOR, CASE_WORKER, PARTNER_SYSTEM}),
    "audit.entries": frozenset({AUDITOR}),
    "audit.receipt": frozenset({AUDITOR, CASE_WORKER}),
    "audit.consistency": frozenset({AUDITOR, CASE_WORKER, PARTNER_SYSTEM}),
    "audit.break_glass": frozenset({AUDITOR}),
    "audit.status": frozenset({AUDITOR}),
    "audit.search": frozenset({AUDITOR}),
    "audit.found": frozenset({AUDITOR}),
    "audit.export": frozenset({AUDITOR}),
    "audit.bundle": frozenset({AUDITOR}),
    "audit.uses_of_norm": frozenset({AUDITOR, CASE_WORKER}),
    "cases.request_right": frozenset({CASE_WORKER, CITIZEN}),
    "cases.right": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "cases.rights": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "cases.assign_request": frozenset({CASE_WORKER}),
    "cases.extend_request": frozenset({CASE_WORKER}),
    "cases.answer_right": frozenset({CASE_WORKER}),
    "cases.copy": frozenset({CASE_WORKER, CITIZEN}),
    "cases.order_erasure": frozenset({CASE_WORKER}),
    "cases.erasure": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "exchange.ledger": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "registers.processing": frozenset({AUDITOR, OPERATOR}),
    "registers.impact": frozenset({AUDITOR, OPERATOR}),
    "cases.record_breach": frozenset({AUDITOR}),
    "cases.give_breach_notice": frozenset({AUDITOR}),
    "cases.breach": frozenset({AUDITOR}),
    "cases.breaches": frozenset({AUDITOR}),
    "consent.receipt": frozenset({CASE_WORKER, CITIZEN}),
    "govstack.policies": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "govstack.policy": frozenset({CASE_WORKER, CITIZEN, AUDITOR}),
    "govstack.data_agreement": frozenset({CASE_WORKER, CITIZEN}),
    "govstack.draft_record": frozenset({CASE_WORKER, CITIZEN}),
    "govstack.records": frozenset({CASE_WORKER, CITIZEN}),
    "govstack.record_of_agreement": frozenset({CASE_WORKER, CITIZEN}),
    "govstack.records_of_agreement": frozenset({CASE_WORKER, CITIZEN}),
    "govstack.verified_record": frozenset({CASE_WORKER}),
    "govstack.create_record": frozenset({CITIZEN}),
    "govstack.update_record": frozenset({CITIZEN}),
    "vocabulary": frozenset(ROLES),
    "keys": frozenset(ROLES),
}
"""Operation → the roles that may ask for it."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Somebody with one role in one agency. `machine` is a program that signed in with its own credentials."""

    sub: str
    role: str
    agency: str
    partner: str | None = None
    person_id: str | None = None
    machine: bool = False

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> "Asker":
        """Raises 401 `token.unclear` unless the claims name exactly one role, one agency and at most one partner."""
        required = [claims.get(name) for name in ("sub", "role", "agency")]
        optional = [claims.get(name) for name in ("partner", "person_id")]
        named = all(isinstance(text, str) and text for text in required)
        if not named or any(text is not None and not isinstance(text, str) for text in optional):
            raise Fault(401, "token.unclear", "the token does not name exactly one role and one agency")
        sub, role, agency = map(str, required)
        partner, person_id = optional
        if role not in ROLES or (role == PARTNER_SYSTEM) != (partner is not None):
            raise Fault(401, "token.unclear", "role and partner of the token do not go together")
        if role == CITIZEN and not person_id:
            raise Fault(401, "token.unclear", "the token of a citizen must name the person")
        machine = claims.get("client_id") == sub
        return cls(sub=sub, role=role, agency=agency, partner=partner, person_id=person_id, machine=machine)

    def answering(self, named: str | None) -> str:
        """Who answers for a decision: whom the request names, else the person who asks; a program answers for none."""
        return named or ("" if self.machine else self.sub)

    def require(self, operation: str) -> None:
        """Raises `Forbidden` unless the role may ask for this operation."""
        if self.role not in GRANTS.get(operation, frozenset()):
            raise Forbidden("role.not_allowed", "this role may not do that", "sign in with another role")

    def require_own(self, person_id: str, unknown: str) -> None:
        """To a citizen everything about others is unknown: raises `NotFound` with the code `unknown`."""
        if self.role == CITIZEN and person_id != self.person_id:
            raise NotFound(unknown)

    def own_partner(self) -> str:
        """The partner for which this system speaks."""
        if not self.partner:
            raise Forbidden("role.not_allowed", "this role speaks for no partner")
        return self.partner


class IssuerKeys:
    """The public keys of an issuer elsewhere, kept for ten minutes.

    A key that is not known is looked for, but not on every request: nobody can make us knock all the time.
    """

    def __init__(self, issuer: str, fetch: Callable[[str], Json] | None = None) -> None:
        self._issuer = issuer.rstrip("/")
        self._fetch = fetch or _fetch
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._at = -KEYS_KEPT

    def __call__(self, kid: str) -> KeySet:
        """Raises `Unavailable` when the issuer cannot be asked and no keys are known."""
        with self._lock:
            age = time.monotonic() - self._at
            known = self._keys is not None and any(key.kid == kid for key in self._keys.keys)
            patience = KEYS_KEPT if known else KEYS_REFRESHED if self._keys else ISSUER_TIMEOUT
            if age > patience:
                self._keys = self._asked() or self._keys
                self._at = time.monotonic()
            if self._keys is None:
                raise Unavailable("issuer.unavailable", "the sign-in service does not answer", "try again later")
            return self._keys

    def _asked(self) -> KeySet | None:
        try:
            described = self._fetch(f"{self._issuer}/.well-known/openid-configuration")
            return KeySet.import_key_set(self._fetch(str(described["jwks_uri"])))  # type: ignore[arg-type]
        except (requests.RequestException, JoseError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Tokens:
    """Reads bearer tokens (RFC 6750) of one issuer."""

    issuer: str
    keys: Callable[[str], KeySet]
    clock: Clock

    def asker(self, authorization: str | None) -> Asker:
        """Who sent this `Authorization` header. Raises 401 with a code of its own for each way to fail."""
        scheme, _, token = (authorization or "").partition(" ")
        if not authorization:
            raise Fault(401, "token.missing", "this needs an access token", "send Authorization: Bearer …")
        if scheme.lower() != "bearer" or not token.strip():
            raise Fault(401, "token.malformed", "not a bearer token", "send Authorization: Bearer …")
        return Asker.of(self.claims(token.strip(), AUDIENCE))

    def claims(self, token: str, audience: str) -> Json:
        """The claims of a token that this issuer made for `audience` and that has not expired."""
        kid = _kid(token)
        try:
            claims: Json = dict(jwt.decode(token, self.keys(kid), algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError, TypeError, KeyError):
            claims = {}
        if not claims:
            raise Fault(401, "token.bad_signature", "the issuer did not sign this token", "ask for a new one")
        self._check(claims, audience)
        return claims

    def _check(self, claims: Json, audience: str) -> None:
        heard = claims.get("aud")
        audiences = heard if isinstance(heard, list) else [heard]
        if claims.get("iss") != self.issuer or audience not in audiences:
            raise Fault(401, "token.misdirected", "the token was made by or for somebody else")
        now, until, start = self.clock.now().timestamp(), claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(until, int | float) or not isinstance(start, int | float):
            raise Fault(401, "token.malformed", "the token does not say until when it holds")
        if now > until:
            raise Fault(401, "token.expired", "the token has expired", "ask for a new one and send the same again")
        if now < start - SKEW:
            raise Fault(401, "token.misdirected", "the token does not hold yet")


def _kid(token: str) -> str:
    head = token.split(".", maxsplit=1)[0]
    try:
        return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).get("kid", ""))
    except (ValueError, AttributeError):
        raise Fault(401, "token.malformed", "not a signed token", "ask for a new one") from None


def _fetch(url: str) -> Json:
    answer = requests.get(url, timeout=ISSUER_TIMEOUT, allow_redirects=False)
    answer.raise_for_status()
    found: Json = answer.json()
    return found
