"""A decision in words, for the people who act on it or check it."""

from typing import Literal

from shared.policy.decision import CategoryDecision, Decision
from shared.policy.describe import certainty, followed
from shared.policy.model import Lang, Rule

Audience = Literal["case_worker", "auditor", "recipient"]

_WORDS = {
    "de": {
        "permitted": "Die Übermittlung ist zulässig.",
        "refused": "Die Übermittlung ist nicht zulässig.",
        "partly": "Nicht alle Datenarten dürfen übermittelt werden.",
        "yes": "zulässig",
        "no": "nicht zulässig",
        "basis": "Rechtsgrundlage",
        "reason": "Grund",
        "open": "Noch offen",
        "lifted": "Ausnahme von {rule}: {norm}",
        "missing": "Zulässig würde es, wenn feststeht",
        "or": "oder",
        "and": "und",
        "unanswered": "Zuerst zu beantworten",
        "duties": "Pflichten",
        "others": "Auch trüge",
        "uninstalled": "Keine eingerichtete Stelle erfüllt die Pflicht",
        "incurable": "Auf diesem Weg lässt sich das nicht heilen.",
        "unreviewed": "Die genannten Regeln sind noch nicht juristisch geprüft.",
        "reviewed": "Geprüft von {by} am {on}.",
        "recipient_refused": "Es werden keine Daten übermittelt.",
        "near": "Geprüft, trägt nicht",
        "day": "gilt an diesem Tag nicht",
        "category": "erfasst diese Datenart nicht",
        "purpose": "erfasst diesen Zweck nicht",
        "facts": "Voraussetzungen nicht festgestellt",
        "certainty": "Sicherheit der Regel",
        "on_basis": "Grundlage: {norms}.",
        "against": "Entgegen steht: {norms}.",
        "for_purpose": "Zweck",
        "version": "Fassung",
        "question": "Offene Frage",
        "none_yet": "Für diesen Tag stehen hier keine Regeln; sie beginnen am 25.05.2018.",
        "shortfall": "Erklärung „{record}“ deckt das nicht",
        "not_given": "nicht erteilt",
        "too_late": "erst danach erteilt",
        "withdrawn": "widerrufen",
        "run_out": "abgelaufen",
        "recipient": "nennt diesen Empfänger nicht",
        "category_unnamed": "nennt diese Datenart nicht",
        "purpose_unnamed": "nennt diesen Zweck nicht",
        "not_informed": "ohne den vorgeschriebenen Hinweis",
        "not_voluntary": "nicht freiwillig",
        "form": "nicht in der nötigen Form",
        "no_person": "nennt keine schweigepflichtige Person",
        "giver": "nicht von der Person, die dafür zuständig ist",
        "entrusting_person": "nicht von der Person, die die Daten anvertraut hat",
        "third_person": "nicht von der dritten Person",
        "rule_set": "Rechtsstand",
        "applicable": "Anwendbare Regeln",
        "true": "ja",
        "false": "nein",
        "unknown": "offen",
    },
    "en": {
        "permitted": "The disclosure is lawful.",
        "refused": "The disclosure is not lawful.",
        "partly": "Not all data categories may be disclosed.",
        "yes": "lawful",
        "no": "not lawful",
        "basis": "Legal basis",
        "reason": "Reason",
        "open": "Still open",
        "lifted": "Exception to {rule}: {norm}",
        "missing": "It would be lawful once this is established",
        "or": "or",
        "and": "and",
        "unanswered": "To be answered first",
        "duties": "Obligations",
        "others": "These would carry it too",
        "uninstalled": "No installed code performs the obligation",
        "incurable": "Nothing on this way would make it lawful.",
        "unreviewed": "The rules named have not yet been reviewed by a lawyer.",
        "reviewed": "Reviewed by {by} on {on}.",
        "recipient_refused": "No data are disclosed.",
        "near": "Considered, does not carry it",
        "day": "not in force on this day",
        "category": "does not cover this category",
        "purpose": "does not cover this purpose",
        "facts": "conditions not established",
        "certainty": "Certainty of the rule",
        "on_basis": "Basis: {norms}.",
        "against": "What stands against it: {norms}.",
        "for_purpose": "Purpose",
        "version": "Version",
        "question": "Open question",
        "none_yet": "There are no rules here for this day; they begin on 2018-05-25.",
        "shortfall": "The declaration “{record}” does not cover it",
        "not_given": "not given",
        "too_late": "given only afterwards",
        "withdrawn": "withdrawn",
        "run_out": "run out",
        "recipient": "does not name this recipient",
        "category_unnamed": "does not name this data category",
        "purpose_unnamed": "does not name this purpose",
        "not_informed": "without the prescribed information",
        "not_voluntary": "not voluntary",
        "form": "not in the form needed",
        "no_person": "names no holder of a secret",
        "giver": "not by the person who has to give it",
        "entrusting_person": "not by the person who entrusted the data",
        "third_person": "not by the third person",
        "rule_set": "Version of the law",
        "applicable": "Applicable rules",
        "true": "yes",
        "false": "no",
        "unknown": "open",
    },
}


def explain(decision: Decision, audience: Audience = "case_worker", lang: Lang = "de") -> str:
    """The decision in plain words.

    A case worker reads two sentences, what the law says and why; below them, for each category, the rule, what is
    missing and what must be done. An auditor reads besides that
    every applicable rule with its truth value, what came closest, and the version of the law. The recipient of a
    refusal reads one sentence, the same whatever the reason.
    """
    words = _WORDS[lang]
    if audience == "recipient":
        return words["permitted"] if decision.permitted else words["recipient_refused"]
    some = bool(decision.permitted_categories)
    head = words["permitted" if decision.permitted else "partly" if some else "refused"]
    lines = [f"{head} {_why(decision, lang)}", f"{words['for_purpose']}: {_purpose(decision, lang)}"]
    for item in decision.categories:
        lines.append("")
        lines.extend(_category(decision, item, audience, lang))
    cited = [rule for item in decision.categories for rule in _rules(decision, item.rules)]
    if not all(rule.reviewed_by for rule in cited):
        lines += ["", words["unreviewed"]]
    if audience == "auditor":
        lines += ["", f"{words['rule_set']}: {decision.day.isoformat()}, {decision.ruleset_hash}"]
    return "\n".join(lines) + "\n"


def _category(decision: Decision, item: CategoryDecision, audience: Audience, lang: Lang) -> list[str]:
    words, law = _WORDS[lang], decision.law
    name = law.vocabulary.words["categories"][item.category].name(lang, decision.day)
    lines = [f"{name}: {words['yes' if item.permitted else 'no']}"]
    truths = {applicable.rule: applicable.truth for applicable in item.applicable}
    for rule in sorted(_rules(decision, item.rules), key=lambda rule: truths.get(rule.id, True) is None):
        head = "basis" if item.permitted else "open" if truths.get(rule.id, True) is None else "reason"
        lines.append(f"  {words[head]}: {rule.title[lang]} ({law.cited(rule, decision.day)[0]})")
        lines.append(f"    {rule.explanation[lang]}")
        if audience == "auditor":
            sure = certainty(law.certainty(rule, decision.day), lang)
            lines.append(f"    {words['certainty']}: {sure} ({'; '.join(law.cited(rule, decision.day))})")
            if rule.reviewed_by:
                lines.append("    " + words["reviewed"].format(by=rule.reviewed_by, on=rule.reviewed_on))
        lines.extend(f"    {words['question']} {each.upper()}: {followed(law, each, lang)}" for each in rule.questions)
    lines.extend(f"  {words['version']}: {each.cite}. {each.says[lang]}" for each in decision.norm_versions(item))
    for used in item.exceptions:
        rule = _rules(decision, (used.rule,))[0]
        lines.append("  " + words["lifted"].format(rule=rule.norm, norm=used.norm))
    lines.extend(f"  {words['uninstalled']}: {_duty(decision, duty, lang)}" for duty in item.uninstalled)
    for each in item.shortfalls:
        reason = words[_REASONS.get(each.reason, each.reason)]
        lines.append(f"  {words['shortfall'].format(record=each.record)}: {reason} ({each.norm})")
    if not item.permitted and not item.uninstalled:
        lines.extend(_what_is_missing(decision, item, lang))
    if item.obligations:
        lines.append(f"  {words['duties']}:")
        lines.extend(f"    - {_duty(decision, duty, lang)}" for duty in item.obligations)
    if item.other_bases:
        lines.append(f"  {words['others']}: {', '.join(other.norm for other in item.other_bases)}")
    if audience == "auditor":
        lines.extend(_for_auditors(decision, item, lang))
    return lines


_REASONS = {"category": "category_unnamed", "purpose": "purpose_unnamed"}


def _why(decision: Decision, lang: Lang) -> str:
    """The second sentence: the leading norms of what decides."""
    words, law, day = _WORDS[lang], decision.law, decision.day
    items = [item for item in decision.categories if item.permitted == decision.permitted]
    rules = [rule for item in items for rule in _rules(decision, item.rules)]
    if not rules:
        return words["none_yet"]
    norms = dict.fromkeys(law.cited(rule, day)[0] for rule in rules)
    norms.update(dict.fromkeys(n for i in items for n in law.norms_of_words(i.category, decision.request.purpose, day)))
    if decision.permitted:
        return words["on_basis"].format(norms="; ".join(norms))
    return words["against"].format(norms="; ".join(dict.fromkeys(law.cited(rule, day)[0] for rule in rules)))


def _purpose(decision: Decision, lang: Lang) -> str:
    return decision.law.vocabulary.words["purposes"][decision.request.purpose].name(lang, decision.day)


def _what_is_missing(decision: Decision, item: CategoryDecision, lang: Lang) -> list[str]:
    words = _WORDS[lang]
    lines = [f"  {words['unanswered']}: {_fact(decision, name, lang)}" for name in item.unanswered]
    if item.missing:
        lines.append(f"  {words['missing']}:")
        joined = f" {words['and']} "
        options = [joined.join(_fact(decision, name, lang) for name in names) for names in item.missing]
        lines.extend(f"    {words['or'] + ' ' if index else ''}{option}" for index, option in enumerate(options))
    elif not item.unanswered:
        lines.append(f"  {words['incurable']}")
    return lines


def _for_auditors(decision: Decision, item: CategoryDecision, lang: Lang) -> list[str]:
    words, law = _WORDS[lang], decision.law
    lines = [f"  {words['applicable']}:"]
    for applicable in item.applicable:
        truth = {True: "true", False: "false", None: "unknown"}[applicable.truth]
        rule = _rules(decision, (applicable.rule,))[0]
        lines.append(f"    {applicable.rule} ({rule.norm}, {applicable.effect}): {words[truth]}")
    near = decision.near_misses.get(item.category, ())
    lines.extend(f"  {words['near']}: {miss.norms[0]} ({words[miss.fails]})" for miss in near)
    asked = dict.fromkeys(name for miss in near for name in law.asked.get(miss.rule, ()))
    lines.extend(f"  {words['question']} {name.upper()}: {followed(law, name, lang)}" for name in asked)
    return lines


def _rules(decision: Decision, ids: tuple[str, ...]) -> list[Rule]:
    return [rule for id_ in ids for rule in decision.law.versions(id_) if rule.in_force(decision.day)]


def _fact(decision: Decision, name: str, lang: Lang) -> str:
    return decision.law.vocabulary.facts[name].name(lang)


def _duty(decision: Decision, name: str, lang: Lang) -> str:
    return decision.law.obligations[name].name(lang)
