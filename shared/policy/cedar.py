"""The rules in Cedar's policy language, for those who use Cedar or want a second opinion from another engine.

A request is one action on one data category; its context holds sender, recipient, category, purpose, the day as a
number (20260701) and every fact as yes or no. Cedar has no third value: what is unknown must be answered first, and
in whose favour is for the caller to say. Cedar denies by default and lets a forbid outweigh every permit, as this law
does, so the default rules, which only name the norm for that, stay out.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date

from shared.policy.model import AllOf, AnyOf, Condition, Exemption, FactIs, Not, Rule, RuleHolds, Vocabulary
from shared.policy.request import Request
from shared.policy.ruleset import RuleSet

SCHEMA = "law.cedarschema"


def export(law: RuleSet) -> dict[str, str]:
    """One file of policies for each file of rules, and the schema that they are valid under, by file name."""
    files: dict[str, list[str]] = {}
    for rule in exported(law):
        name = rule.file.removeprefix("rules/").removesuffix(".yaml") + ".cedar"
        files.setdefault(name, [f"// {rule.file}, {law.hash}\n"]).append(policy(law, rule))
    return {SCHEMA: schema(law.vocabulary), **{name: "\n".join(texts) for name, texts in sorted(files.items())}}


def exported(law: RuleSet) -> list[Rule]:
    """The rules that become policies."""
    return [rule for rule in law.rules if not rule.default]


def policies(law: RuleSet) -> str:
    """All policies in one text, in the order of `exported`: Cedar calls them policy0, policy1 and so on."""
    return "\n".join(policy(law, rule) for rule in exported(law))


def policy(law: RuleSet, rule: Rule) -> str:
    """One rule as one policy. Its annotations name rule, norms and title."""
    notes = {
        "id": rule.id,
        "norm": "; ".join(rule.norms),
        "title": rule.title["de"],
        "valid_from": rule.valid_from.isoformat(),
    }
    head = "".join(f"@{name}({_text(value)})\n" for name, value in notes.items())
    tests = _Writer(law).applies(rule)
    body = "\n  && ".join(tests) or "true"
    return f"{head}{rule.effect} (principal, action, resource)\nwhen {{\n  {body}\n}};\n"


def schema(words: Vocabulary) -> str:
    """What a request looks like, in Cedar's schema language."""
    facts = "".join(f"      {name}: Bool,\n" for name, word in words.facts.items() if word.kind != "integer")
    return (
        "entity Agency;\nentity Data;\n\n"
        'action "disclose" appliesTo {\n'
        "  principal: [Agency],\n  resource: [Data],\n  context: {\n"
        "      sender: String,\n      recipient: String,\n      category: String,\n      purpose: String,\n"
        f"      day: Long,\n{facts}  }}\n}};\n"
    )


def context(request: Request, category: str, facts: Mapping[str, bool]) -> dict[str, str | int | bool]:
    """The context of a request to these policies."""
    return {
        "sender": request.sender.body,
        "recipient": request.recipient.body,
        "category": category,
        "purpose": request.purpose,
        "day": number(request.day),
        **facts,
    }


def number(day: date) -> int:
    """A day as a number that keeps the order of days."""
    return day.year * 10000 + day.month * 100 + day.day


class _Writer:
    def __init__(self, law: RuleSet) -> None:
        self.law = law

    def applies(self, rule: Rule) -> list[str]:
        """What must be true for a rule to hold, scope and dates first so that Cedar stops early at most rules."""
        scope, words = rule.scope, self.law.vocabulary
        tests = [
            self.among("purpose", scope.purposes, words.purposes),
            self.among("category", scope.categories, words.categories),
            self.among("recipient", scope.recipients, words.bodies),
            self.among("sender", scope.senders, words.bodies),
            f"context.day >= {number(rule.valid_from)}",
            f"context.day < {number(rule.valid_until)}" if rule.valid_until else "",
            *self.unless(rule.when, rule.unless),
        ]
        return [test for test in tests if test]

    def among(self, name: str, chosen: frozenset[str], known: Iterable[str]) -> str:
        """Membership in the shorter of two lists: of what belongs, or of what does not."""
        left = [word for word in known if word not in chosen]
        if not left:
            return ""
        return self.is_in(name, chosen) if len(chosen) <= len(left) else f"!({self.is_in(name, left)})"

    def is_in(self, name: str, words: Iterable[str]) -> str:
        texts = [_text(word) for word in sorted(words)]
        return f"context.{name} == {texts[0]}" if len(texts) == 1 else f"[{', '.join(texts)}].contains(context.{name})"

    def unless(self, when: Condition, exemptions: tuple[Exemption, ...]) -> list[str]:
        text = self.condition(when)
        return [*([text] if text != "true" else []), *(f"!({self.exemption(item)})" for item in exemptions)]

    def exemption(self, exemption: Exemption) -> str:
        tests = self.unless(exemption.when, exemption.unless)
        if exemption.valid_from:
            tests.append(f"context.day >= {number(exemption.valid_from)}")
        if exemption.valid_until:
            tests.append(f"context.day < {number(exemption.valid_until)}")
        return " && ".join(tests) or "true"

    def condition(self, condition: Condition) -> str:
        match condition:
            case FactIs(fact=name, wanted=wanted):
                return f"context.{name}" if wanted else f"!context.{name}"
            case RuleHolds(rule=name):
                return self.joined(" || ", (" && ".join(self.applies(rule)) for rule in self.law.versions(name)))
            case Not(part=part):
                return f"!({self.condition(part)})"
            case AllOf(parts=parts):
                return self.joined(" && ", (self.condition(part) for part in parts)) if parts else "true"
            case AnyOf(parts=parts):
                return self.joined(" || ", (self.condition(part) for part in parts))

    @staticmethod
    def joined(word: str, texts: Iterable[str]) -> str:
        return "(" + word.join(f"({text})" for text in texts) + ")"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
