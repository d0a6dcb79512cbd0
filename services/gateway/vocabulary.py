"""The words of the law at the front door: which categories, purposes, bodies, norms and facts may be written.

Unknown words are refused here with a type of their own, before anything is asked of a service.
"""

from collections.abc import Collection, Mapping
from typing import Any

from shared.errors import Invalid
from shared.policy import present_law

SEE = "see the words at /v1/vocabulary"


def require_categories(categories: tuple[str, ...], pointer: str) -> None:
    """Raises `Invalid` for each category that the law does not know."""
    words = present_law().vocabulary.categories
    _require("category", [(f"{pointer}/{i}", name) for i, name in enumerate(categories)], words)


def require_category(category: str, pointer: str) -> None:
    _require("category", [(pointer, category)], present_law().vocabulary.categories)


def require_purpose(purpose: str, pointer: str) -> None:
    _require("purpose", [(pointer, purpose)], present_law().vocabulary.purposes)


def require_kind(body: str, domain: str) -> None:
    """The body and its legal domain, at `/kind`."""
    words = present_law().vocabulary
    _require("body", [("/kind/body", body)], words.bodies)
    _require("domain", [("/kind/domain", domain)], words.domains)


def require_norm(basis: str | None, pointer: str) -> None:
    """A norm on which some permission of the law rests, or the id of such a rule."""
    if basis is not None and not present_law().permits_on(basis):
        detail = "no permission of the law rests on this norm"
        remedy = "name a norm such as § 69 Abs. 1 Nr. 1 SGB X"
        raise Invalid("vocabulary.unknown_norm", detail, remedy, [(pointer, detail, remedy)])


def require_facts(facts: Mapping[str, Any], pointer: str) -> None:
    """Facts that the law knows; who may state them, and how, the services check."""
    _require("fact", [(f"{pointer}/{name}", name) for name in facts], present_law().vocabulary.facts)


def require_facts_by_category(facts: Mapping[str, Any], pointer: str) -> None:
    words = present_law().vocabulary.categories
    _require("category", [(f"{pointer}/{name}", name) for name in facts], words)
    for name, own in facts.items():
        if not isinstance(own, Mapping):
            fault = (f"{pointer}/{name}", "not an object", "send facts with their answers")
            raise Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
        require_facts(own, f"{pointer}/{name}")


def _require(kind: str, given: list[tuple[str, str]], known: Collection[str]) -> None:
    faults = [(pointer, f"unknown {kind}", SEE) for pointer, word in given if word not in known]
    if faults:
        raise Invalid(f"vocabulary.unknown_{kind}", f"an unknown {kind} is named", SEE, faults)
