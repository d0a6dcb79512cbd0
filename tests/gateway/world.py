"""A gateway for tests: its application, accounts of every role, and services that answer from a table."""

import dataclasses
import json
import types
import typing
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from werkzeug.test import TestResponse

from services.audit.service import AuditService
from services.cases.service import CasesService
from services.consent.service import ConsentService
from services.exchange.service import ExchangeService
from services.gateway.app import Gateway, create_app
from services.health.service import HealthService
from shared.config import Settings
from shared.domain import Erased, Json
from shared.identity import Caller, create_identities
from shared.policy import present_law
from shared.runtime.calling import signature_of
from shared.schema import dump, parse
from tests.support.clock import FixedClock

SERVICES = {
    service.name: service for service in (AuditService, CasesService, ConsentService, ExchangeService, HealthService)
}
ME, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
SOME_ID = "33333333-3333-4333-8333-333333333333"

ACCOUNTS = {
    "clients": [
        {
            "client_id": "jobcenter-app",
            "secret": "jc secret",
            "role": "case_worker",
            "agency": "jobcenter",
            "broker_user": "jobcenter-app",
        },
        {
            "client_id": "drv-system",
            "secret": "drv secret",
            "role": "partner_system",
            "agency": "jobcenter",
            "partner": "drv",
            "broker_user": "drv",
        },
        {
            "client_id": "review",
            "secret": "au secret",
            "role": "auditor",
            "agency": "jobcenter",
            "broker_user": "revision",
        },
        {"client_id": "operations", "secret": "op secret", "role": "operator", "agency": "jobcenter"},
    ],
    "persons": [
        {"sub": "ayse", "name": "Ayşe Demir", "role": "citizen", "agency": "jobcenter", "person_id": ME},
        {"sub": "weber", "name": "Jana Weber", "role": "case_worker", "agency": "jobcenter"},
        {"sub": "vogel", "name": "Imke Vogel", "role": "auditor", "agency": "jobcenter"},
    ],
}
PERSONS = {each["sub"] for each in ACCOUNTS["persons"]}
CLIENT_OF = {each["role"]: each for each in ACCOUNTS["clients"]}


class Answering:
    """Services that answer by table, checked against what the real services take and give.

    A question must be one that the service's method understands; without an entry in the table the answer is a
    made-up instance of what the method really answers.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Json, Caller]] = []
        self.forms: list[tuple[type, type]] = []
        self.answers: dict[str, object] = {}
        self.before: Callable[[str], None] = lambda _name: None

    def ask(
        self, callee: str, method: str, question: object, answer: Any, *, caller: Caller, timeout: float = 5.0
    ) -> Any:
        name = f"{callee}.{method}"
        expected, answered = signature_of(getattr(SERVICES[callee], method))
        parse(expected, dump(question))
        self.forms.append((expected, answered))
        self.asked.append((callee, method, dump(question), caller))
        self.before(name)
        found = self.answers.get(name)
        if isinstance(found, Exception):
            raise found
        made = dump(sample(answered)) | (found if isinstance(found, dict) else {})
        return parse(answer, dump(parse(answered, made)))

    def names(self) -> list[str]:
        return [f"{callee}.{method}" for callee, method, _, _ in self.asked]


class World:
    """One application in one folder, before services that answer by table or, as `calls`, before real ones."""

    def __init__(self, folder: Path, clock: FixedClock, calls: Any = None, **settings: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "demo.json").write_text(json.dumps(ACCOUNTS), encoding="utf-8")
        self.clock = clock
        self.calls = calls or Answering()
        create_identities(folder / "keys", ["gateway"])
        self.settings = Settings(state=folder, keys=folder / "keys", **settings)
        self.app: Gateway = create_app(self.settings, self.calls, clock=clock)
        self.client = self.app.test_client()
        self._tokens: dict[str, str] = {}

    def start_anew(self) -> None:
        """Nothing was asked, nothing is remembered in the browser, all services answer."""
        self.calls.asked.clear()
        self.calls.forms.clear()
        self.calls.answers.clear()
        self.calls.before = lambda _name: None
        self.client = self.app.test_client()
        self._tokens.clear()

    def token(self, role: str) -> str:
        """An access token of a program of this role, of the citizen, or of a person by name."""
        if role not in self._tokens:
            person = {"citizen": "ayse"}.get(role, role)
            if person in PERSONS:
                self._tokens[role] = self.token_of_person(person)
            else:
                known = CLIENT_OF[role]
                form = {"grant_type": "client_credentials"}
                answer = self.client.post("/provider/token", data=form, auth=(known["client_id"], known["secret"]))
                self._tokens[role] = answer.json["access_token"]
        return self._tokens[role]

    def token_of_person(self, sub: str) -> str:
        from services.gateway.development_provider import AuthorizationRequest, challenge

        provider = self.app.extensions["development_provider"]
        verifier = "v" * 43
        asked = AuthorizationRequest(
            client_id="console",
            redirect_uri=provider.return_address,
            response_type="code",
            code_challenge=challenge(verifier),
            code_challenge_method="S256",
        )
        code = provider.code_for(asked, sub)
        return provider.exchange(code, verifier, provider.return_address, "console")["access_token"]

    def ask(self, role: str, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """One request with the token of a role; changes get a fresh idempotency key unless one is given."""
        given = {"Authorization": f"Bearer {self.token(role)}"}
        if method != "GET":
            given["Idempotency-Key"] = str(uuid.uuid4())
        given |= {name.replace("_", "-"): text for name, text in headers.items()}
        content = {} if body is None else {"json": body}
        return self.client.open(f"/v1{path}", method=method, headers=given, **content)


def sample(kind: Any) -> Any:
    """Some instance of a dataclass or of the type of a field."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        members = [each for each in get_args(kind) if each not in (Erased, type(None))]
        return sample(members[0])
    if get_origin(kind) is tuple:
        return (sample(get_args(kind)[0]),)
    if kind == Json:
        return {"some": "content"}
    if get_origin(kind) is dict:
        return {"item_1": sample(get_args(kind)[1])}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{field.name: _field_sample(field.name, hints[field.name]) for field in dataclasses.fields(kind)})
    simple = {str: "text", int: 3, bool: True, date: date(2026, 3, 2), datetime: datetime(2026, 3, 2, tzinfo=UTC)}
    return simple[kind]


def _field_sample(name: str, hint: Any) -> Any:
    return ME if name == "person_id" else sample(hint)


TERMS = {
    "person_id": ME,
    "recipient": "drv",
    "purpose": "own_statutory_task",
    "categories": ["contact_data"],
    "form": "electronic",
    "given_by": ["data_subject"],
    "information": {
        "text_version": "1",
        "language": "de",
        "purpose": True,
        "consequences_of_refusal": True,
        "right_to_withdraw": True,
    },
    "voluntary": True,
    "valid_from": "2026-03-02",
}
OFFER = {
    **{name: TERMS[name] for name in ("person_id", "recipient", "purpose", "categories", "information")},
    "answer_by": "2026-03-16",
}
ANSWER = {"form": "electronic", "given_by": ["data_subject"], "voluntary": True}
SHEET = {
    **{name: TERMS[name] for name in ("person_id", "purpose", "form", "given_by", "information", "voluntary")},
    "cells": [{"recipient": "drv", "category": "contact_data", "yes": True}],
}
KEY = {"kty": "OKP", "crv": "X25519", "x": "AAAA"}
KIND = {"body": "pension_insurer", "domain": "sgb_vi"}

REQUESTS: dict[str, tuple[str, Any]] = {
    "exchange.register_agency": ("/agencies", {"agency_id": "jobcenter", "name": "Jobcenter", "kind": KIND}),
    "exchange.agency": ("/agencies/jobcenter", None),
    "exchange.register_partner": (
        "/partners",
        {
            "partner_id": "drv",
            "name": "DRV",
            "kind": KIND,
            "channel": "feed",
            "encryption_key": KEY,
            "signing_key": KEY,
        },
    ),
    "exchange.record_commitment": ("/partners/drv/commitment", {"on": "2026-03-01", "text_version": "1"}),
    "exchange.partner": ("/partners/drv", None),
    "exchange.partners": ("/partners?limit=10", None),
    "exchange.directory": ("/directory?name=biberach&limit=10", None),
    "cases.register_person": ("/persons", {"name": "Ayşe Demir", "birth_date": "1990-05-04"}),
    "cases.person": (f"/persons/{ME}", None),
    "cases.lift_restriction": (
        f"/persons/{ME}/restriction/lifting",
        {"informed_on": "2026-03-01", "decided_by": "weber"},
    ),
    "cases.open_case": ("/cases", {"person_id": ME, "main_companion": "weber"}),
    "cases.case": (f"/cases/{SOME_ID}", None),
    "cases.cases": (f"/cases?person_id={ME}", None),
    "cases.hand_over_case": (f"/cases/{SOME_ID}/main-companion", {"main_companion": "meyer", "reason": "Elternzeit"}),
    "cases.close_case": (f"/cases/{SOME_ID}/closing", None),
    "cases.confirm_safety_check": (f"/cases/{SOME_ID}/safety-check", None),
    "cases.record_entry": ("/entries", {"person_id": ME, "category": "contact_data", "content": "ruft zurück"}),
    "consent.give_consent": ("/consents", {"terms": TERMS}),
    "consent.refuse_consent": ("/consents/refusals", {"terms": TERMS}),
    "consent.withdraw_consent": (f"/consents/{SOME_ID}/withdrawal", None),
    "consent.consent": (f"/consents/{SOME_ID}", None),
    "consent.consents": (f"/consents?person_id={ME}", None),
    "exchange.withdrawal": (f"/consents/{SOME_ID}/withdrawal", None),
    "consent.withdraw_all": ("/consents/withdrawals", {"person_id": ME, "recipient": "drv"}),
    "consent.offer_consent": ("/consents/offers", {"offer": OFFER}),
    "consent.offer": (f"/consents/offers/{SOME_ID}", None),
    "consent.accept_offer": (f"/consents/offers/{SOME_ID}/acceptance", {"answer": ANSWER}),
    "consent.decline_offer": (f"/consents/offers/{SOME_ID}/refusal", {"answer": ANSWER}),
    "consent.record_sheet": ("/consents/sheets", SHEET),
    "consent.pause_consent": (f"/consents/{SOME_ID}/pause", None),
    "consent.resume_consent": (f"/consents/{SOME_ID}/resumption", None),
    "exchange.withdrawal_report": (f"/withdrawals/{SOME_ID}", None),
    "exchange.missing_acknowledgements": ("/withdrawals", None),
    "consent.register_representation": (
        "/representations",
        {
            "person_id": ME,
            "kind": "legal_guardian",
            "name": "Erika Beispiel",
            "acts": ["consent"],
            "evidence": "bescheinigung-1",
        },
    ),
    "consent.representation": (f"/representations/{SOME_ID}", None),
    "consent.representations": (f"/representations?person_id={ME}", None),
    "consent.end_representation": (f"/representations/{SOME_ID}/end", None),
    "consent.objection": (f"/objections/{ME}", None),
    "consent.object_to_processing": ("/processing-objections", {"person_id": ME, "reasons": "Schutz vor Gewalt"}),
    "consent.decide_objection": (
        f"/processing-objections/{SOME_ID}/decision",
        {"person_id": ME, "uphold": True, "reasons": "überwiegt"},
    ),
    "consent.take_back_processing_objection": (f"/processing-objections/{SOME_ID}/withdrawal", {"person_id": ME}),
    "consent.give_release": (
        "/releases",
        {
            "person_id": ME,
            "professional": "Dr. Kaya",
            "recipient": "drv",
            "categories": ["medical_report_76"],
            "form": "written",
        },
    ),
    "consent.release": (f"/releases/{SOME_ID}", None),
    "consent.withdraw_release": (f"/releases/{SOME_ID}/withdrawal", None),
    "consent.record_objection_notice": ("/objection-notices", {"person_id": ME}),
    "consent.raise_objection": ("/objections", {"person_id": ME}),
    "consent.take_back_objection": (f"/objections/{ME}/withdrawal", None),
    "health.record_assessment": (
        "/assessments",
        {
            "person_id": ME,
            "instrument": "phq-9",
            "instrument_version": "1",
            "answers": {"item_1": "2"},
            "taken_on": "2026-03-02",
        },
    ),
    "health.assessment": (f"/assessments/{SOME_ID}", None),
    "exchange.request_disclosure": (
        "/disclosures",
        {"person_id": ME, "partner_id": "drv", "categories": ["contact_data"], "purpose": "own_statutory_task"},
    ),
    "exchange.confirm_disclosure": (
        f"/disclosures/{SOME_ID}/confirmation",
        {"confirm": True, "reason": "mit der Leitung besprochen"},
    ),
    "exchange.review_break_glass": (f"/disclosures/{SOME_ID}/review", {"finding": "war geboten"}),
    "exchange.disclosure": (f"/disclosures/{SOME_ID}", None),
    "exchange.disclosures": (f"/disclosures?person_id={ME}", None),
    "exchange.feed": ("/feed?after=4&limit=5", None),
    "exchange.acknowledge": ("/acknowledgements", {"signed": "a.b.c"}),
    "audit.key": ("/log/key", None),
    "audit.checkpoint": ("/log/checkpoint?year=2026", None),
    "audit.entries": ("/log/entries?after=-1&limit=3", None),
    "audit.status": ("/log/status", None),
    "audit.search": (
        "/log/searches",
        {"wanted": {"person_id": ME, "decision": "permit", "first_day": "2026-03-01"}, "reason": "Beschwerde 7/26"},
    ),
    "audit.found": (f"/log/searches/{SOME_ID}?limit=5", None),
    "audit.export": ("/log/exports", {"what": "subject", "person_id": ME, "reason": "Beschwerde 7/26"}),
    "audit.bundle": (f"/log/exports/{SOME_ID}?limit=5", None),
    "audit.receipt": (f"/log/receipts/{SOME_ID}", None),
    "audit.consistency": ("/log/consistency?old=1&new=3", None),
    "audit.break_glass": ("/log/break-glass?days=30", None),
    "audit.uses_of_norm": ("/log/uses?norm=Art.+15+DSGVO", None),
    "cases.request_right": ("/rights", {"person_id": ME, "right": "access", "wish": "alles"}),
    "cases.right": (f"/rights/{SOME_ID}", None),
    "cases.rights": (f"/rights?person_id={ME}&open=true", None),
    "cases.assign_request": (f"/rights/{SOME_ID}/owner", {"owner": "weber"}),
    "cases.extend_request": (f"/rights/{SOME_ID}/extension", {"reasons": "drei Akten"}),
    "cases.answer_right": (f"/rights/{SOME_ID}/answer", {"outcome": "granted", "identity_verified": True}),
    "cases.copy": (f"/rights/{SOME_ID}/copy?limit=10", None),
    "cases.order_erasure": ("/erasures", {"person_id": ME, "reason": "retention_ended"}),
    "cases.erasure": (f"/erasures/{SOME_ID}", None),
    "exchange.ledger": (f"/ledger?person_id={ME}&limit=10", None),
    "registers.processing": ("/registers/processing?day=2026-03-02", None),
    "registers.impact": ("/registers/impact?day=2026-03-02", None),
    "cases.record_breach": (
        "/registers/breaches",
        {
            "aware_at": "2026-03-02T08:00:00Z",
            "began_at": "2026-03-01T08:00:00Z",
            "ended_at": "2026-03-01T10:00:00Z",
            "risk": "likely",
            "nature": "falsch zugestellt",
            "consequences": "gering",
            "measures": "zurückgerufen",
        },
    ),
    "cases.give_breach_notice": (
        f"/registers/breaches/{SOME_ID}/notices",
        {"to": "data_protection_authority", "at": "2026-03-02T10:00:00Z"},
    ),
    "cases.breach": (f"/registers/breaches/{SOME_ID}", None),
    "cases.breaches": ("/registers/breaches?limit=10", None),
    "consent.receipt": (f"/consents/{SOME_ID}/receipt", None),
    "govstack.policies": ("/govstack/config/policies/", None),
    "govstack.policy": (f"/govstack/service/policy/{present_law().hash}/", None),
    "govstack.data_agreement": (f"/govstack/service/data-agreement/{SOME_ID}/", None),
    "govstack.draft_record": (f"/govstack/service/individual/record/consent-record/draft/{SOME_ID}/", None),
    "govstack.records": (f"/govstack/service/individual/record/consent-record/?individualId={ME}", None),
    "govstack.record_of_agreement": (f"/govstack/service/individual/record/data-agreement/{SOME_ID}/", None),
    "govstack.records_of_agreement": (f"/govstack/service/individual/record/data-agreement/{SOME_ID}/all/", None),
    "govstack.verified_record": (f"/govstack/service/verification/consent-record/{SOME_ID}/", None),
    "govstack.create_record": (f"/govstack/service/individual/record/data-agreement/{SOME_ID}/", None),
    "govstack.update_record": (
        f"/govstack/service/individual/record/consent-record/{SOME_ID}/",
        {"optIn": False},
    ),
    "vocabulary": ("/vocabulary", None),
    "keys": ("/keys", None),
}
"""For each operation a path and a body that are right."""
