"""The law for everybody: its rules by statute, a page for each rule, and a form to try a case. German and English.

Public reference text: no sign-in, no personal data. A tried case is answered and forgotten. Staff who are signed in
also see how often decisions of their agency cite a rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template, request

from services.gateway.auth import GRANTS, Asker
from services.gateway.console.law_words import WORDS
from services.gateway.front_door import FrontDoor
from shared.clock import Clock
from shared.errors import Forbidden, Invalid, Unavailable
from shared.policy import ConsentRecord, Decision, RuleSet, SecrecyRelease, decide, present_law, request_from_json
from shared.policy.cases import read_cases, request_part
from shared.policy.citation import covered, places
from shared.policy.consent import ResearchApproval
from shared.policy.describe import Clause, clause, dated, followed, listed
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
    versions: tuple[tuple[str, str], ...]


def blueprint(clock: Clock, asker: Callable[[], Asker | None], front: FrontDoor) -> Blueprint:
    """The pages under `/law`. `asker` is whoever is signed in: staff also see where their agency used a rule."""
    pages = Blueprint("law", __name__)

    @pages.get("/law")
    def rules() -> Response:
        sought = request.args.get("norm", "").strip()[:200]
        found = [rule for rule in present_law().rules if _meets(rule, sought)]
        return _page(
            "law.html", statutes=_by_statute(found), sought=sought, count=len(found), private=asker() is not None
        )

    @pages.get("/law/<rule_id>")
    def rule(rule_id: str) -> Response:
        law, lang = present_law(), _lang()
        versions = law.versions(rule_id)
        if not versions:
            abort(404)
        shown = [_shown(law, version, lang) for version in versions]
        decisive, not_met = _examples(rule_id, lang)
        asked = [(name.upper(), followed(law, name, lang)) for name in law.asked.get(rule_id, ())]
        uses = _uses(front, asker(), versions[-1].norm)
        return _page(
            "law_rule.html",
            shown=shown,
            rule=versions[-1],
            decisive=decisive,
            not_met=not_met,
            asked=asked,
            uses=uses,
            private=asker() is not None,
        )

    @pages.get("/law/try")
    def empty_form() -> Response:
        return _page("law_try.html", **_form({"date": clock.today().isoformat()}), private=asker() is not None)

    @pages.post("/law/try")
    def tried() -> Response:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise Forbidden("session.form_not_ours", "the form did not come from this site", "open the page again")
        given = {name: value[:100] for name, value in request.form.items()}
        return _page("law_try.html", **_form(given))

    return pages


def _page(template: str, *, private: bool = True, status: int = 200, **shown: Any) -> Response:
    """A page; one that is `private`, because somebody is signed in or something was sent, is kept nowhere."""
    lang = _lang()
    text = render_template(template, **shown, lang=lang, say=WORDS[lang], name=_name, law=present_law())
    response = make_response(text, status)
    response.headers["Cache-Control"] = "no-store" if private else "public, max-age=300"
    return response


def _uses(front: FrontDoor, asker: Asker | None, norm: str) -> Any:
    """How often decisions of the signed-in agency cite the norm; None for others, or while that cannot be asked."""
    operation = front.operations["audit.uses_of_norm"]
    if asker is None or asker.role not in GRANTS[operation.name]:
        return None
    try:
        return front.handle(operation, asker, {"norm": norm}).view
    except Unavailable:
        return None


def _lang() -> Lang:
    return "en" if request.args.get("lang") == "en" else "de"


def _name(kind: str, word: str, day: date | None = None) -> str:
    """A word of the vocabulary in the language of the page; with a day, as it was called then."""
    return present_law().vocabulary.words[kind][word].name(_lang(), day)


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
    scope = rule.scope

    def those(chosen: frozenset[str], kind: str) -> str:
        return listed(chosen, law.vocabulary.names(kind, lang), lang)

    return Shown(
        rule=rule,
        effect=WORDS[lang]["default" if rule.default else rule.effect],
        senders=those(scope.senders, "bodies"),
        recipients=those(scope.recipients, "bodies"),
        categories=those(scope.categories, "categories"),
        purposes=those(scope.purposes, "purposes"),
        when=clause(law, rule.when, lang),
        unless=_exceptions(law, rule.unless, lang),
        obligations=tuple(law.obligations[name].name(lang) for name in rule.obligations),
        versions=tuple((each.cite, each.says[lang]) for each in dated(law, rule)),
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
    asked = decision.request
    told = lang if f"description_{lang}" in case else "de"
    return Example(
        text=str(case[f"description_{told}"]),
        lang=told,
        day=asked.day,
        sender=_name("bodies", asked.sender.body),
        recipient=_name("bodies", asked.recipient.body),
        categories="; ".join(_name("categories", category, asked.day) for category in asked.categories),
        purpose=_name("purposes", asked.purpose, asked.day),
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
        "versions": [(each.cite, each.says[_lang()]) for each in decision.norm_versions(item)],
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
