"""A question to the law: may this body send these data to that body, for this purpose, on this day?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from shared.errors import Invalid, Problem
from shared.policy.citation import places
from shared.policy.consent import ConsentRecord, ResearchApproval, SecrecyRelease
from shared.policy.loading import load
from shared.policy.ruleset import RuleSet

LAW = Path(__file__).resolve().parents[2] / "contracts" / "law"

R = TypeVar("R")

STATUSES = ("given", "refused", "withdrawn")
FORMS = ("written", "electronic", "oral_documented", "oral", "implied")
GIVERS = ("data_subject", "legal_guardian", "entrusting_person", "third_party", "authorised_representative")

_REQUEST_KEYS = {"date", "sender", "recipient", "categories", "purpose", "facts", "facts_by_category", "basis"}
_STRUCTURED = {"consents", "secrecy_releases", "research_approval_75"}
_EVIDENCE_KEYS = {
    *("text_version", "language", "explained_by", "explained_on", "evidence", "document_id", "note"),
    *("special_form_circumstances", "project", "authority", "approved_by"),
}


@dataclass(frozen=True)
class Party:
    """A body and the legal domain in which it acts here."""

    body: str
    domain: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One intended disclosure. A fact that is absent or None is unknown, never silently no.

    `facts_by_category` holds facts that are true of one category only; they prevail there. `basis` is the legal
    basis the caller relies on: a norm or the id of a permit; without it every permit that holds carries.
    """

    day: date
    sender: Party
    recipient: Party
    categories: tuple[str, ...]
    purpose: str
    facts: Mapping[str, bool | int | None] = field(default_factory=dict)
    facts_by_category: Mapping[str, Mapping[str, bool | int | None]] = field(default_factory=dict)
    consents: tuple[ConsentRecord, ...] = ()
    secrecy_releases: tuple[SecrecyRelease, ...] = ()
    research_approval: ResearchApproval | None = None
    basis: str | None = None


@lru_cache(maxsize=1)
def present_law() -> RuleSet:
    """The law that is delivered with this code, loaded once per process."""
    return load(LAW)


def request_from_json(
    json: Mapping[str, Any], *, unnamed: Literal["no", "unknown"], ruleset: RuleSet | None = None
) -> Request:
    """The request in a JSON object, every word checked against the vocabulary of the law.

    `unnamed` says what a fact means that is not mentioned: "no" in case files (asked, answer no), "unknown" in
    requests from outside. Raises Invalid, which names each unknown word with its JSON pointer.
    """
    reader = _Reader(ruleset or present_law())
    request = reader.request(json, unnamed)
    if reader.problems:
        first = reader.problems[0]
        raise Invalid("policy.request_not_understood", first.detail, first.remedy, reader.problems)
    return request


def check_words(request: Request, ruleset: RuleSet) -> None:
    """Refuses a request that uses a word the vocabulary does not know; the law says nothing about it."""
    words, categories = ruleset.vocabulary, request.categories
    if (
        request.sender.body in words.bodies
        and request.recipient.body in words.bodies
        and request.purpose in words.purposes
        and categories
        and all(category in words.categories for category in categories)
    ):
        return
    problems = [
        Problem(pointer, f"unknown {kind} '{word}'", "See the vocabulary of the law.")
        for pointer, kind, word, known in (
            ("/sender/body", "body", request.sender.body, words.bodies),
            ("/recipient/body", "body", request.recipient.body, words.bodies),
            ("/purpose", "purpose", request.purpose, words.purposes),
            *((f"/categories/{i}", "category", c, words.categories) for i, c in enumerate(categories)),
        )
        if word not in known
    ]
    if not categories:
        problems.append(Problem("/categories", "no category is named", "Name at least one."))
    raise Invalid("policy.request_not_understood", problems[0].detail, problems[0].remedy, problems)


class _Reader:
    def __init__(self, ruleset: RuleSet) -> None:
        self.ruleset = ruleset
        self.words = ruleset.vocabulary
        self.problems: list[Problem] = []
        self.no = {name: False for name, word in self.words.facts.items() if word.kind == "boolean"}

    def problem(self, pointer: str, detail: str, remedy: str) -> None:
        self.problems.append(Problem(pointer, detail, remedy))

    def request(self, json: Any, unnamed: str) -> Request:
        if not isinstance(json, Mapping):
            self.problem("", "the request is not an object", "Send a JSON object.")
            json = {}
        self.keys(json, "", _REQUEST_KEYS)
        facts_json = self.mapping(json.get("facts", {}), "/facts")
        stated = self.facts({k: v for k, v in facts_json.items() if k not in _STRUCTURED}, "/facts")
        facts: Mapping[str, bool | int | None] = {**self.no, **stated} if unnamed == "no" else stated
        by_category: dict[str, Mapping[str, bool | int | None]] = {}
        for category, own in self.mapping(json.get("facts_by_category", {}), "/facts_by_category").items():
            pointer = f"/facts_by_category/{category}"
            self.known(category, pointer, "category", self.words.categories)
            by_category[str(category)] = self.facts(self.mapping(own, pointer), pointer)
        basis = json.get("basis")
        if basis is not None:
            self.basis(basis)
        return Request(
            day=self.day(json.get("date"), "/date", needed=True) or date.min,
            sender=self.party(json.get("sender"), "/sender"),
            recipient=self.party(json.get("recipient"), "/recipient"),
            categories=self.categories(json.get("categories")),
            purpose=self.known(json.get("purpose"), "/purpose", "purpose", self.words.purposes),
            facts=facts,
            facts_by_category=by_category,
            consents=self.records(facts_json.get("consents"), "/facts/consents", self.consent),
            secrecy_releases=self.records(facts_json.get("secrecy_releases"), "/facts/secrecy_releases", self.release),
            research_approval=self.approval(facts_json.get("research_approval_75"), "/facts/research_approval_75"),
            basis=basis,
        )

    def keys(self, json: Mapping[str, Any], pointer: str, known: set[str]) -> None:
        for key in json:
            if key not in known:
                self.problem(f"{pointer}/{key}", f"unknown field '{key}'", f"Known: {', '.join(sorted(known))}.")

    def mapping(self, json: Any, pointer: str) -> Mapping[str, Any]:
        if json is None:
            return {}
        if not isinstance(json, Mapping):
            self.problem(pointer, "an object is expected", "Send names with values.")
            return {}
        return json

    def known(self, word: Any, pointer: str, kind: str, known: Mapping[str, Any]) -> str:
        if not isinstance(word, str) or word not in known:
            what = f"no {kind} is named" if word is None else f"unknown {kind} '{word}'"
            self.problem(pointer, what, "See the vocabulary of the law.")
            return ""
        return word

    def party(self, json: Any, pointer: str) -> Party:
        party = self.mapping(json, pointer)
        self.keys(party, pointer, {"body", "domain"})
        body = self.known(party.get("body"), f"{pointer}/body", "body", self.words.bodies)
        domain = party.get("domain")
        if domain is None:
            return Party(body, self.words.domain_of.get(body, ""))
        return Party(body, self.known(domain, f"{pointer}/domain", "legal domain", self.words.domains))

    def categories(self, json: Any) -> tuple[str, ...]:
        if not isinstance(json, (list, tuple)) or not json:
            self.problem("/categories", "no category is named", "Name at least one data category.")
            return ()
        found = [self.known(word, f"/categories/{i}", "category", self.words.categories) for i, word in enumerate(json)]
        return tuple(dict.fromkeys(found))

    def facts(self, json: Mapping[str, Any], pointer: str) -> dict[str, bool | int | None]:
        found: dict[str, bool | int | None] = {}
        for name, value in json.items():
            here = f"{pointer}/{name}"
            word = self.words.facts.get(name)
            if word is None:
                self.problem(here, f"unknown fact '{name}'", "See the vocabulary of the law.")
            elif word.kind == "derived":
                self.problem(here, f"'{name}' is computed, never stated", "Send the records it follows from.")
            elif value is None:
                found[name] = None
            elif word.kind == "integer" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                self.problem(here, f"'{name}' is a whole number", "Send a number such as 17.")
            elif word.kind == "boolean" and not isinstance(value, bool):
                self.problem(here, f"'{name}' is yes or no", "Send true, false or null for unknown.")
            else:
                found[name] = value
        return found

    def basis(self, basis: Any) -> None:
        if not isinstance(basis, str) or not self.ruleset.permits_on(basis):
            known = isinstance(basis, str) and places(basis)
            detail = f"no permit rests on '{basis}'" if known else f"unknown norm '{basis}'"
            self.problem("/basis", detail, "Name a norm such as § 69 Abs. 1 Nr. 1 SGB X, or the id of a permit.")

    def day(self, value: Any, pointer: str, *, needed: bool = False) -> date | None:
        if isinstance(value, date):
            return value
        if isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        if value is not None or needed:
            what = "the date is missing" if value is None else f"'{value}' is not a day"
            self.problem(pointer, what, "Send a day such as 2026-07-01.")
        return None

    def records(self, json: Any, pointer: str, one: Callable[[Mapping[str, Any], str], R]) -> tuple[R, ...]:
        if json is None:
            return ()
        if not isinstance(json, (list, tuple)):
            self.problem(pointer, "a list is expected", "Send a list of records.")
            return ()
        return tuple(
            one(self.mapping(item, f"{pointer}/{index}"), f"{pointer}/{index}") for index, item in enumerate(json)
        )

    def consent(self, json: Mapping[str, Any], pointer: str) -> ConsentRecord:
        common = self.declaration(json, pointer, {"purposes", "informed_67b_2", "voluntary"})
        return ConsentRecord(
            **common,
            purposes=self.texts(json, "purposes", pointer, self.words.purposes),
            informed_67b_2=self.flag(json, "informed_67b_2", pointer),
            voluntary=self.flag(json, "voluntary", pointer),
        )

    def release(self, json: Mapping[str, Any], pointer: str) -> SecrecyRelease:
        common = self.declaration(json, pointer, {"professionals"})
        return SecrecyRelease(**common, professionals=self.texts(json, "professionals", pointer, None))

    def declaration(self, json: Mapping[str, Any], pointer: str, own: set[str]) -> dict[str, Any]:
        base = {"id", "status", "given_on", "valid_until", "withdrawn_on", "form", "given_by"}
        self.keys(json, pointer, base | {"recipients", "categories"} | own | _EVIDENCE_KEYS)
        for key, known, optional in (("status", STATUSES, False), ("form", FORMS, True)):
            value = json.get(key)
            if value not in known and not (optional and value is None):
                self.problem(f"{pointer}/{key}", f"unknown {key} '{value}'", f"One of {', '.join(known)}.")
        return {
            "id": str(json.get("id") or ""),
            "status": str(json.get("status")),
            "given_on": self.day(json.get("given_on"), f"{pointer}/given_on"),
            "valid_until": self.day(json.get("valid_until"), f"{pointer}/valid_until"),
            "withdrawn_on": self.day(json.get("withdrawn_on"), f"{pointer}/withdrawn_on"),
            "form": str(json.get("form") or ""),
            "given_by": self.texts(json, "given_by", pointer, dict.fromkeys(GIVERS)),
            "recipients": self.texts(json, "recipients", pointer, self.words.bodies),
            "categories": self.texts(json, "categories", pointer, self.words.categories),
        }

    def approval(self, json: Any, pointer: str) -> ResearchApproval | None:
        if json is None:
            return None
        approval = self.mapping(json, pointer)
        self.keys(approval, pointer, {"recipients", "categories", "valid_until", "approved_on", "id", *_EVIDENCE_KEYS})
        return ResearchApproval(
            recipients=self.texts(approval, "recipients", pointer, self.words.bodies),
            categories=self.texts(approval, "categories", pointer, self.words.categories),
            valid_until=self.day(approval.get("valid_until"), f"{pointer}/valid_until"),
            approved_on=self.day(approval.get("approved_on"), f"{pointer}/approved_on"),
        )

    def texts(
        self, json: Mapping[str, Any], key: str, pointer: str, known: Mapping[str, Any] | None
    ) -> tuple[str, ...]:
        """The words of a record; a blanket `any` or `@group` may stand there and covers nothing."""
        value = json.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)):
            self.problem(f"{pointer}/{key}", "a list of texts is expected", "Send a list.")
            return ()
        for index, word in enumerate(value):
            blanket = word == "any" or str(word).startswith("@")
            if not isinstance(word, str) or (known is not None and word not in known and not blanket):
                self.problem(f"{pointer}/{key}/{index}", f"unknown word '{word}'", "See the vocabulary of the law.")
        return tuple(str(word) for word in value)

    def flag(self, json: Mapping[str, Any], key: str, pointer: str) -> bool:
        value = json.get(key, False)
        if value not in (True, False, None):
            self.problem(f"{pointer}/{key}", f"'{key}' is yes or no", "Send true or false.")
        return value is True
