"""The rule set of this installation, and what a request may state about a disclosure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from shared.errors import Invalid
from shared.policy import present_law, request_from_json
from shared.policy.request import LAW

VOCABULARY_PAGE = "see the words at /v1/vocabulary"
RECORDS = frozenset({"consents", "secrecy_releases", "research_approval_75"})
LOOKED_UP = frozenset(
    {
        "objection_notice_given",
        "objection_76_2",
        "consent_refused_or_withdrawn",
        "automated_retrieval",
        "erasure_due",
        "processing_restricted",
        "undertaking_78_given",
    }
)
"""Facts that the platform answers itself and takes from nobody: what the register of the persons' will says, whether
the partner has committed itself, that every disclosure here is a single one, and that nothing is kept beyond its term
or under restriction."""

OWN_SOURCES = frozenset({"person", "agency", "doctor"})
CLOSED_SOURCES = frozenset({"person", "private", "justice"})
"""Legal domains whose members may be relatives, neighbours or those who prosecute."""


@dataclass(frozen=True)
class Notice:
    """What a recipient is told about a duty of its own."""

    id: str
    norm: str
    text_de: str


@cache
def notices() -> Mapping[str, Notice]:
    """The duties that are the recipient's, by the id of the obligation."""
    return {each["id"]: Notice(each["id"], each["norm"], each["de"]) for each in _obligations()["notices"]}


def confirmed_by_a_person(purpose: str) -> bool:
    """Whether a named person decides before anything leaves: child protection, emergency, police."""
    return purpose in _obligations()["confirmed_by_a_person"]


def needs_break_glass(purpose: str) -> bool:
    """Whether this purpose goes as an emergency only, with end, review and report."""
    return purpose in _obligations()["break_glass"]


def information_may_wait(purpose: str) -> bool:
    """Whether the person may be informed later, from a dated release on."""
    return purpose in _obligations()["information_may_wait"]


def protected_by_section_35(body: str) -> bool:
    """Whether the body keeps the social secret itself (§ 35 Abs. 1 SGB I)."""
    return body in present_law().vocabulary.section35


def _obligations() -> Mapping[str, Any]:
    found: Mapping[str, Any] = present_law().content["obligations.yaml"]
    return found


def health_categories() -> frozenset[str]:
    """The categories of health data (Art. 9 DSGVO): they stand with the health service and nowhere else."""
    return frozenset(present_law().vocabulary.category_groups["health_categories"])


def is_category(category: str) -> bool:
    return category in present_law().vocabulary.categories


def recipient_closed(purpose: str) -> bool:
    """Whether an entry of this purpose stands in the person's ledger without its recipient, who may have reported."""
    return any(each["purpose"] == purpose for each in _ledger()["recipient_closed"])


def category_closed(category: str) -> bool:
    """Whether the person's ledger leaves this category out, because it tells of others that there is any."""
    return any(each["category"] == category for each in _ledger()["category_closed"])


def norms_of_look(what: str) -> tuple[str, ...]:
    """On which basis the agency's own people look at `what`; nothing for what the law of the ledger does not name."""
    return tuple(norm for each in _ledger()["looks"] if each["what"] == what for norm in each["norms"])


@cache
def _ledger() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((LAW / "ledger.yaml").read_text("utf-8"))
    return found


def source_shown(origin: str) -> str:
    """Where a record came from, as the person may learn it: the kind of body (Art. 15 Abs. 1 Buchst. g DSGVO).

    Every other source may be somebody who reported or is related, and reads `protected` (Art. 15 Abs. 4 DSGVO).
    """
    domain = present_law().vocabulary.domain_of.get(origin)
    named = origin in OWN_SOURCES or (domain is not None and domain not in CLOSED_SOURCES)
    return origin if named else "protected"


def check_request(request: Mapping[str, Any]) -> None:
    """Raises `Invalid` naming each word of `request` (vocabulary of the case files) that is not understood, and
    each fact that the requester may not state.
    """
    own = LOOKED_UP | RECORDS
    stated = [("/facts", request.get("facts") or {})]
    by_category = request.get("facts_by_category") or {}
    stated += [(f"/facts_by_category/{name}", facts) for name, facts in by_category.items()]
    faults = [
        (f"{place}/{name}", "this is looked up in the register", "leave it out; record it where it arises")
        for place, facts in stated
        if isinstance(facts, Mapping)
        for name in sorted(own & facts.keys())
    ]
    if faults:
        raise Invalid("disclosure.invalid", faults[0][1], faults[0][2], faults)
    request_from_json(request, unnamed="unknown")


def check_kind(body: str, domain: str) -> None:
    """Raises `Invalid` unless `body` is a known kind of body of the legal domain `domain`."""
    words = present_law().vocabulary
    if body not in words.bodies:
        fault = ("/kind/body", "unknown kind of body", VOCABULARY_PAGE)
    elif words.domain_of[body] != domain:
        fault = ("/kind/domain", "this body belongs to another domain", f"write {words.domain_of[body]}")
    else:
        return
    raise Invalid("agency.kind_unknown", fault[1], fault[2], [fault])
