"""A rule in plain words, and two versions of the law compared, for those who read rule files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from math import prod

from shared.policy.model import (
    AllOf,
    AnyOf,
    Condition,
    Exemption,
    FactIs,
    Lang,
    Not,
    Rule,
    RuleHolds,
)
from shared.policy.readings import Question
from shared.policy.ruleset import RuleSet
from shared.policy.versions import NormVersion

_WORDS = {
    "de": {
        "permit": "erlaubt",
        "forbid": "verbietet",
        "default": "verbietet, wenn keine Erlaubnis greift",
        "norm": "Norm",
        "also": "Siehe auch",
        "effect": "Wirkung",
        "valid": "Gilt",
        "from": "ab {day}",
        "until": "bis vor {day}",
        "senders": "Von",
        "recipients": "An",
        "categories": "Datenarten",
        "purposes": "Zwecke",
        "all": "alle",
        "but": "alle außer {names}",
        "when": "Wenn",
        "always": "immer",
        "each": "alles davon:",
        "one": "eines davon:",
        "is_not": "nicht: {text}",
        "rule": "es gilt: {title} ({norm})",
        "unless": "Außer",
        "duties": "Pflichten",
        "source": "Quelle",
        "certainty": "Sicherheit",
        "reading": "Offene Frage {id}",
        "followed": "(so entscheidet diese Installation)",
        "rules": "Davon hängen ab",
        "unreviewed": "Noch nicht juristisch geprüft.",
        "reviewed": "Geprüft von {by} am {on}.",
    },
    "en": {
        "permit": "permits",
        "forbid": "forbids",
        "default": "forbids where no permit holds",
        "norm": "Norm",
        "also": "See also",
        "effect": "Effect",
        "valid": "Valid",
        "from": "from {day}",
        "until": "until before {day}",
        "senders": "From",
        "recipients": "To",
        "categories": "Data categories",
        "purposes": "Purposes",
        "all": "all",
        "but": "all but {names}",
        "when": "When",
        "always": "always",
        "each": "all of these:",
        "one": "one of these:",
        "is_not": "not: {text}",
        "rule": "this applies: {title} ({norm})",
        "unless": "Unless",
        "duties": "Obligations",
        "source": "Source",
        "certainty": "Certainty",
        "reading": "Open question {id}",
        "followed": "(what this installation follows)",
        "rules": "Rules that depend on it",
        "unreviewed": "Not yet reviewed by a lawyer.",
        "reviewed": "Reviewed by {by} on {on}.",
    },
}

CERTAINTY: Mapping[Lang, Mapping[str, str]] = {
    "de": {
        "text": "Gesetzestext",
        "secondary": "Schrifttum oder Rechtsprechung",
        "unverified": "aus Kenntnis, nicht nachgeprüft",
        "conservative": "vorsichtige Lesart",
    },
    "en": {
        "text": "text of the statute",
        "secondary": "literature or case law",
        "unverified": "from knowledge, not verified",
        "conservative": "cautious reading",
    },
}
"""What the marks of certainty say."""


def describe(law: RuleSet, rule: Rule, lang: Lang = "de") -> str:
    """One rule from top to bottom: scope, conditions, each exception with its norm, obligations, review."""
    words, vocabulary = _WORDS[lang], law.vocabulary
    effect = "default" if rule.default else rule.effect
    until = f" {words['until'].format(day=rule.valid_until)}" if rule.valid_until else ""
    lines = [
        f"{rule.id}: {rule.title[lang]}",
        f"{words['norm']}: {rule.norm}",
        *([f"{words['also']}: {'; '.join(rule.also)}"] if rule.also else []),
        f"{words['effect']}: {words[effect]}",
        f"{words['valid']}: {words['from'].format(day=rule.valid_from)}{until}",
        f"{words['senders']}: {listed(rule.scope.senders, vocabulary.names('bodies', lang), lang)}",
        f"{words['recipients']}: {listed(rule.scope.recipients, vocabulary.names('bodies', lang), lang)}",
        f"{words['categories']}: {listed(rule.scope.categories, vocabulary.names('categories', lang), lang)}",
        f"{words['purposes']}: {listed(rule.scope.purposes, vocabulary.names('purposes', lang), lang)}",
        f"{words['when']}:",
        *_lines(clause(law, rule.when, lang), 2),
    ]
    if rule.unless:
        lines.append(f"{words['unless']}:")
        lines.extend(_exemptions(law, rule.unless, lang, 2))
    duties = [law.obligations[name].name(lang) for name in rule.obligations]
    lines.append(f"{words['duties']}: {'; '.join(duties) or '-'}")
    lines += ["", rule.explanation[lang], *([rule.note[lang]] if rule.note[lang] else [])]
    lines += [f"{each.cite}: {each.says[lang]}" for each in dated(law, rule)]
    lines += [
        f"{words['reading'].format(id=name.upper())}: {followed(law, name, lang)}"
        for name in law.asked.get(rule.id, ())
    ]
    lines.append("")
    lines.append(f"{words['source']}: {rule.source}. {words['certainty']}: {certainty(rule.certainty, lang)}.")
    reviewed = words["reviewed"].format(by=rule.reviewed_by, on=rule.reviewed_on)
    lines.append(reviewed if rule.reviewed_by else words["unreviewed"])
    return "\n".join(lines) + "\n"


def describe_question(law: RuleSet, asked: Question, lang: Lang = "de") -> str:
    """An open question with its readings, the one that is followed, and the rules that depend on it."""
    words = _WORDS[lang]
    lines = [f"{asked.id}: {asked.says[lang]}", f"{words['norm']}: {asked.norm}"]
    for name, text in asked.readings.items():
        lines.append(f"  {name}: {text[lang]}{' ' + words['followed'] if name == asked.chosen else ''}")
    lines.append(f"{words['rules']}: {'; '.join(id_ for id_, names in law.asked.items() if asked.id in names) or '-'}")
    lines.append(f"{words['source']}: {asked.source}.")
    return "\n".join(lines) + "\n"


def certainty(marks: Iterable[str], lang: Lang = "de") -> str:
    """Marks of certainty in words."""
    return "; ".join(CERTAINTY[lang][mark] for mark in marks)


def dated(law: RuleSet, rule: Rule) -> list[NormVersion]:
    """The versions of the rule's norms that meet its days and say something, the oldest first."""
    norms, end = law.dated_norms, rule.valid_until or date.max
    names = (*norms.names(rule.norm), *(norm for norm in rule.also if norm in norms.all))
    found = (each for name in dict.fromkeys(names) for each in norms.all[name])
    return [each for each in found if each.says["de"] and each.valid_from < end and rule.valid_from < each.valid_until]


def followed(law: RuleSet, question: str, lang: Lang = "de") -> str:
    """An open question with the reading that is followed, in words."""
    asked = law.questions[question]
    return f"{asked.says[lang]} {asked.readings[asked.chosen][lang]}"


def differences(old: RuleSet, new: RuleSet, lang: Lang = "de") -> list[str]:
    """What changed from one version of the law to another, rule by rule, in words: which fields, from which day."""
    words = _CHANGES[lang]
    found = [
        words["reading"].format(id=name.upper(), before=_choice(old, name, lang), after=_choice(new, name, lang))
        for name in sorted({*old.questions, *new.questions})
        if _choice(old, name, lang) != _choice(new, name, lang)
    ]
    found += [words["words"].format(what=what) for what in _words_changed(old, new)]
    for was, now in _pairs(old, new):
        rule = now or was
        if rule is None or (was and now and describe(old, was, lang) == describe(new, now, lang)):
            continue
        head = words["changed" if was and now else "new" if now else "removed"]
        found.append(f"{head} {rule.id} ({rule.norm}): {rule.title[lang]}")
        if was and now:
            before, after = describe(old, was, lang).splitlines(), describe(new, now, lang).splitlines()
            found.extend(f"  - {line.strip()}" for line in before if line not in after and line.strip())
            found.extend(f"  + {line.strip()}" for line in after if line not in before and line.strip())
        found.extend(f"  {line}" for line in _touched(new if now else old, was, now, lang))
    return found


def _choice(law: RuleSet, question: str, lang: Lang) -> str:
    asked = law.questions.get(question)
    return asked.readings[asked.chosen][lang] if asked else "-"


def _words_changed(old: RuleSet, new: RuleSet) -> list[str]:
    """The files beside the rules that are not the same: vocabulary, obligations, versions of norms."""
    names = sorted(name for name in {*old.content, *new.content} if "/" not in name and name != "readings.yaml")
    return [name for name in names if old.content.get(name) != new.content.get(name)]


def _pairs(old: RuleSet, new: RuleSet) -> list[tuple[Rule | None, Rule | None]]:
    """Each version of each rule with what became of it: by its first day, or by its place where only days moved."""
    found: list[tuple[Rule | None, Rule | None]] = []
    for id_ in sorted({rule.id for rule in (*old.rules, *new.rules)}):
        was, now = old.versions(id_), new.versions(id_)
        if len(was) == len(now):
            found.extend(zip(was, now, strict=True))
            continue
        before, after = ({rule.valid_from: rule for rule in versions} for versions in (was, now))
        found.extend((before.get(day), after.get(day)) for day in sorted(before.keys() | after.keys()))
    return found


def _touched(law: RuleSet, was: Rule | None, now: Rule | None, lang: Lang) -> list[str]:
    """The fields that the change is about (who, to whom, what, what for), and the days that come or go."""
    words, vocabulary = _CHANGES[lang], law.vocabulary
    kinds = {"senders": "bodies", "recipients": "bodies", "categories": "categories", "purposes": "purposes"}
    names = {name: vocabulary.names(kind, lang) for name, kind in kinds.items()}
    some = [rule.scope for rule in (was, now) if rule]
    scope = {name: frozenset().union(*(getattr(each, name) for each in some)) for name in names}
    number = prod(len(chosen) for chosen in scope.values())
    where = [listed(scope[name], names[name], lang) for name in names]
    lines = [words["fields"].format(number=number, where=" | ".join(where))]
    if was and now:
        for name, known in names.items():
            before, after = getattr(was.scope, name), getattr(now.scope, name)
            for key, moved in (("more", after - before), ("less", before - after)):
                if moved:
                    lines.append(words[key].format(what=listed(moved, known, lang)))
    for key, days in (("more", _days_only_in(now, was)), ("less", _days_only_in(was, now))):
        lines.extend(words[key].format(what=_span(first, end, lang)) for first, end in days)
    return lines


def _days_only_in(rule: Rule | None, other: Rule | None) -> list[tuple[date, date]]:
    """The days of a rule that another does not have; the first counts, the last does not."""
    if rule is None:
        return []
    first, end = rule.valid_from, rule.valid_until or date.max
    if other is None:
        return [(first, end)]
    start, stop = other.valid_from, other.valid_until or date.max
    spans = ((first, min(end, start)), (max(first, stop), end))
    return [(begin, finish) for begin, finish in spans if begin < finish]


def _span(first: date, end: date, lang: Lang) -> str:
    words = _WORDS[lang]
    since = words["from"].format(day=first)
    return since if end == date.max else f"{since} {words['until'].format(day=end)}"


_CHANGES = {
    "de": {
        "reading": "Offene Frage {id}: bisher „{before}“, jetzt „{after}“",
        "words": "Geändert: {what}",
        "new": "Neue Regel",
        "removed": "Entfallene Regel",
        "changed": "Geänderte Regel",
        "fields": "Betrifft {number} Felder (Absender | Empfänger | Datenart | Zweck): {where}",
        "more": "Hinzu kommt: {what}",
        "less": "Es entfällt: {what}",
    },
    "en": {
        "reading": "Open question {id}: so far “{before}”, now “{after}”",
        "words": "Changed: {what}",
        "new": "New rule",
        "removed": "Removed rule",
        "changed": "Changed rule",
        "fields": "Concerns {number} cells (sender | recipient | category | purpose): {where}",
        "more": "Added: {what}",
        "less": "Removed: {what}",
    },
}


@dataclass(frozen=True)
class Clause:
    """A condition in words: a line, and the parts it consists of. `rule` is the rule that the line refers to."""

    text: str
    parts: tuple["Clause", ...] = ()
    rule: str = ""


def clause(law: RuleSet, condition: Condition, lang: Lang = "de") -> Clause:
    """A condition as a tree of lines."""
    words = _WORDS[lang]
    match condition:
        case FactIs(fact=name, wanted=wanted):
            text = law.vocabulary.facts[name].name(lang)
            return Clause(text if wanted else words["is_not"].format(text=text))
        case RuleHolds(rule=name):
            rule = law.versions(name)[-1]
            return Clause(words["rule"].format(title=rule.title[lang], norm=rule.norm), rule=name)
        case Not(part=part):
            inner = clause(law, part, lang)
            return Clause(words["is_not"].format(text=inner.text), inner.parts, inner.rule)
        case AllOf(parts=()):
            return Clause(words["always"])
        case AllOf(parts=parts):
            return Clause(words["each"], tuple(clause(law, part, lang) for part in parts))
        case AnyOf(parts=parts):
            return Clause(words["one"], tuple(clause(law, part, lang) for part in parts))


def listed(chosen: Iterable[str], names: Mapping[str, str], lang: Lang = "de") -> str:
    """Chosen words of a list (id → name) in one line: all, all but a few, or their names."""
    words, picked = _WORDS[lang], set(chosen)
    left = [name for name in names if name not in picked]
    if not left:
        return words["all"]

    def text(ids: list[str]) -> str:
        return "; ".join(names[name] for name in ids)

    if len(left) < len(picked):
        return words["but"].format(names=text(left))
    return text([name for name in names if name in picked])


def _lines(given: Clause, indent: int) -> list[str]:
    return [" " * indent + given.text, *(line for part in given.parts for line in _lines(part, indent + 2))]


def _exemptions(law: RuleSet, exemptions: tuple[Exemption, ...], lang: Lang, indent: int) -> list[str]:
    lines: list[str] = []
    for exemption in exemptions:
        lines.append(f"{' ' * indent}{exemption.norm}:")
        lines.extend(_lines(clause(law, exemption.when, lang), indent + 2))
        if exemption.unless:
            lines.append(f"{' ' * (indent + 2)}{_WORDS[lang]['unless']}:")
            lines.extend(_exemptions(law, exemption.unless, lang, indent + 4))
    return lines
