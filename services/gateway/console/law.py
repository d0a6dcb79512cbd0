"""The law for everybody: its rules by statute, a page for each rule, and a form to try a case. German and English.

Public reference text: no sign-in, no personal data. A tried case is answered and forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template, request

from services.gateway.console.law_words import WORDS
from shared.clock import Clock
from shared.errors import Forbidden, Invalid
from shared.policy import ConsentRecord, Decision, RuleSet, SecrecyRelease, decide, present_law, request_from_json
from shared.policy.cases import read_cases, request_part
from shared.policy.citation import covered, places
from shared.policy.consent import ResearchApproval
from shared.policy.describe import Clause, clause, listed
from shared.policy.model import Exemption, FactIs, Lang, Rule, RuleHolds, leaves
from shared.policy.request import LAW, Request

EXAMPLES = 3
_ANSWERS = {"yes": True, "no": False}


@dataclass(frozen=True)
class Example:
    """A worked case in which a rule has a say."""

    text: str
    lang: str
    day: date
    sender: str
    recipient: str
    categories: str
    purpose: str
    permitted: bool


@dataclass(frozen=True)
class Lifting:
    """An exception with its norm, its condition, and exceptions of its own."""

    norm: str
    when: Clause
    unless: tuple["Lifting", ...]


@dataclass(frozen=True)
class Shown:
    """One version of a rule, in words."""

    rule: Rule
    effect: str
    senders: str
    recipients: str
    categories: str
    purposes: str
    when: Clause
    unless: tuple[Lifting, ...]
    obligations: tuple[str, ...]


def blueprint(clock: Clock) -> Blueprint:
    """The pages under `/law`."""
    pages = Blueprint("law", __name__)

    @pages.get("/law")
    def rules() -> Response:
        sought = request.args.get("norm", "").strip()[:200]
        found = [rule for rule in present_law().rules if _meets(rule, sought)]
        return _page("law.html", statutes=_by_statute(found), sought=sought, count=len(found))

    @pages.get("/law/<rule_id>")
    def rule(rule_id: str) -> Response:
        law, lang = present_law(), _lang()
        versions = law.versions(rule_id)
        if not versions:
            abort(404)
        shown = [_shown(law, version, lang) for version in versions]
        decisive, not_met = _examples(rule_id, lang)
        return _page("law_rule.html", shown=shown, rule=versions[-1], decisive=decisive, not_met=not_met)

    @pages.get("/law/try")
    def empty_form() -> Response:
        return _page("law_try.html", **_form({"date": clock.today().isoformat()}))

    @pages.post("/law/try")
    def tried() -> Response:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise Forbidden("session.form_not_ours", "the form did not come from this site", "open the page again")
        given = {name: value[:100] for name, value in request.form.items()}
        return _page("law_try.html", **_form(given))

    return pages


def _page(template: str, **shown: Any) -> Response:
    lang = _lang()
    status = shown.pop("status", 200)
    text = render_template(template, **shown, lang=lang, say=WORDS[lang], name=_name, law=present_law())
    response = make_response(text, status)
    response.headers["Cache-Control"] = "no-store" if request.method == "POST" else "public, max-age=300"
    return response


def _lang() -> Lang:
    return "en" if request.args.get("lang") == "en" else "de"


def _name(names: Mapping[str, str], word: str) -> str:
    """A word of the vocabulary: its German name, or its English identifier made readable."""
    return names[word] if _lang() == "de" else word.replace("_", " ")


def _meets(rule: Rule, sought: str) -> bool:
    if not sought or covered(sought, rule.norms):
        return True
    text = " ".join((rule.id, *rule.norms, *rule.title.values())).casefold()
    return not places(sought) and all(part in text for part in sought.casefold().split())


def _by_statute(rules: list[Rule]) -> list[tuple[str, list[Rule]]]:
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        named = places(rule.norm)
        found.setdefault(named[0].law if named else rule.file, []).append(rule)
    return sorted(found.items())


def _shown(law: RuleSet, rule: Rule, lang: Lang) -> Shown:
    words, scope = law.vocabulary, rule.scope

    def those(chosen: frozenset[str], names: Mapping[str, str]) -> str:
        text = listed(chosen, names, lang)
        return text if lang == "de" else text.replace("_", " ")

    return Shown(
        rule=rule,
        effect=WORDS[lang]["default" if rule.default else rule.effect],
        senders=those(scope.senders, words.bodies),
        recipients=those(scope.recipients, words.bodies),
        categories=those(scope.categories, words.categories),
        purposes=those(scope.purposes, words.purposes),
        when=clause(law, rule.when, lang),
        unless=_exceptions(law, rule.unless, lang),
        obligations=tuple(_name({id_: duty.de for id_, duty in law.obligations.items()}, n) for n in rule.obligations),
    )


def _exceptions(law: RuleSet, exemptions: tuple[Exemption, ...], lang: Lang) -> tuple[Lifting, ...]:
    return tuple(
        Lifting(item.norm, clause(law, item.when, lang), _exceptions(law, item.unless, lang)) for item in exemptions
    )


@lru_cache(maxsize=1)
def _decided() -> list[tuple[Mapping[str, Any], Decision]]:
    """The worked cases that are delivered with the law, each with what the law says."""
    law = present_law()
    files = sorted((LAW / "cases").glob("*.yaml"))
    cases = [case for file in files for case in read_cases(file.read_text(encoding="utf-8"), file.name)]
    return [(case, decide(law, request_from_json(request_part(case), unnamed="no", ruleset=law))) for case in cases]


def _examples(rule_id: str, lang: Lang) -> tuple[list[Example], list[Example]]:
    """Cases that the rule decides, and cases in which it had a say and did not hold; those told in `lang` first."""
    decisive: list[Example] = []
    not_met: list[Example] = []
    for case, decision in sorted(_decided(), key=lambda told: f"description_{lang}" not in told[0]):
        if any(rule_id in item.rules for item in decision.categories):
            decisive.append(_example(case, decision, lang))
        elif any(a.rule == rule_id and a.truth is not True for item in decision.categories for a in item.applicable):
            not_met.append(_example(case, decision, lang))
    return decisive[:EXAMPLES], not_met[:EXAMPLES]


def _example(case: Mapping[str, Any], decision: Decision, lang: Lang) -> Example:
    asked, words = decision.request, present_law().vocabulary
    told = lang if f"description_{lang}" in case else "de"
    return Example(
        text=str(case[f"description_{told}"]),
        lang=told,
        day=asked.day,
        sender=_name(words.bodies, asked.sender.body),
        recipient=_name(words.bodies, asked.recipient.body),
        categories="; ".join(_name(words.categories, category) for category in asked.categories),
        purpose=_name(words.purposes, asked.purpose),
        permitted=decision.permitted,
    )


def _form(given: Mapping[str, str]) -> dict[str, Any]:
    """The form with what was chosen; with the decision once everything needed is chosen."""
    shown: dict[str, Any] = {"given": given, "decision": None, "faults": [], "questions": []}
    if request.method == "GET":
        return shown
    law = present_law()
    chosen = {key: given.get(key) for key in ("date", "purpose")} | {
        "sender": {"body": given.get("sender")},
        "recipient": {"body": given.get("recipient")},
        "categories": [given.get("category")],
    }
    try:
        asked = request_from_json(chosen, unnamed="unknown", ruleset=law)
    except Invalid as error:
        names = {"sender": "from", "recipient": "to", "categories": "category", "purpose": "purpose", "date": "day"}
        parts = {problem.pointer.split("/")[1] for problem in error.problems}
        return {**shown, "faults": [names[part] for part in names if part in parts], "status": 422}
    questions = _questions(law, asked)
    decision = decide(law, _answered(law, asked, {name: given.get(f"fact-{name}", "") for name in questions}))
    rules = {rule.id: rule for rule in law.rules if rule.in_force(asked.day)}
    item = decision.categories[0]
    unsure = {applicable.rule for applicable in item.applicable if applicable.truth is None}
    decisive = [name for name in item.rules if name not in unsure]
    return {
        **shown,
        "decision": decision,
        "questions": questions,
        "rules": rules,
        "decisive": decisive,
        "not_excluded": [name for name in item.rules if name in unsure],
    }


def _questions(law: RuleSet, asked: Request) -> list[str]:
    """The facts that rules about this disclosure ask for, in the order of the vocabulary."""
    where = (asked.sender.body, asked.recipient.body, asked.categories[0], asked.purpose)
    todo = [item.rule for item in law.speaking(*where) if item.rule.in_force(asked.day)]
    read: set[str] = set()
    for rule in todo:
        for leaf in leaves(rule):
            if isinstance(leaf, FactIs):
                read.add(leaf.fact)
            elif isinstance(leaf, RuleHolds):
                todo.extend(other for other in law.versions(leaf.rule) if other not in todo and _joins(other, asked))
    words = law.vocabulary.facts
    return [name for name in words if name in read or any(words[each].excludes == name for each in read)]


def _joins(rule: Rule, asked: Request) -> bool:
    scope = rule.scope
    return (
        asked.sender.body in scope.senders
        and asked.recipient.body in scope.recipients
        and asked.categories[0] in scope.categories
        and asked.purpose in scope.purposes
        and rule.in_force(asked.day)
    )


def _answered(law: RuleSet, asked: Request, answers: Mapping[str, str]) -> Request:
    """The request with the answers. Whoever says that a declaration covers it gets one that does, of an adult."""
    words = law.vocabulary.facts
    facts: dict[str, bool | int | None] = {
        name: _ANSWERS[answer]
        for name, answer in answers.items()
        if answer in _ANSWERS and words[name].kind == "boolean"
    }
    common: dict[str, Any] = {
        "status": "given",
        "given_on": asked.day,
        "form": "written",
        "recipients": (asked.recipient.body,),
        "categories": asked.categories,
    }
    told: dict[str, Any] = {"purposes": (asked.purpose,), "informed_67b_2": True, "voluntary": True}
    everybody = ("data_subject", "legal_guardian", "third_party")
    said = {name for name, answer in answers.items() if answer == "yes"}
    if "minor" not in answers:
        facts["minor"] = False
    consents = [ConsentRecord(**common, **told, given_by=everybody, id="consent")] if "consent_covers" in said else []
    if "entrusting_consent_covers" in said:
        consents.append(ConsentRecord(**common, **told, given_by=("entrusting_person",), id="entrusting"))
    release = SecrecyRelease(**common, given_by=everybody, professionals=("Dr. A.",), id="release")
    approval = ResearchApproval(recipients=(asked.recipient.body,), categories=asked.categories, valid_until=asked.day)
    return replace(
        asked,
        facts=facts,
        consents=tuple(consents),
        secrecy_releases=(release,) if "secrecy_release_covers" in said else (),
        research_approval=approval if "research_approval_covers" in said else None,
    )
