"""What `law` says about cases, in words."""

from typing import Any

from shared.errors import Invalid
from shared.policy import RuleSet, decide, request_from_json
from shared.policy.cases import Mismatch, request_part
from shared.policy.model import Lang


def in_german(miss: Mismatch) -> str:
    """A mismatch between a case and the law, as a line."""
    what, _, which = miss.what.partition(" ")
    expected, decided = (_RESULTS.get(value, value) for value in (miss.expected, miss.decided))
    return f"Fall {miss.case}: {_PARTS.get(what, what)} {which}".rstrip() + f": erwartet {expected}; jetzt {decided}"


_RESULTS = {"permit": "zulässig", "forbid": "nicht zulässig"}
_PARTS = {
    "decision": "Entscheidung",
    "category": "Datenart",
    "basis": "Rechtsgrundlage",
    "rule": "Regel",
    "exception": "Ausnahme",
    "obligation": "Pflicht",
    "missing": "Fehlendes",
    "form": "Form",
}


def flip(before: RuleSet, after: RuleSet, case: Any, lang: Lang) -> str:
    """How a case goes under two laws, as a line; empty when it goes the same way or is no case."""
    try:
        was, now = (
            decide(rules, request_from_json(request_part(case), unnamed="no", ruleset=rules)).permitted
            for rules in (before, after)
        )
    except Invalid:
        return ""
    if was == now:
        return ""
    words = {"de": ("Fall {id}: bisher {a}, jetzt {b}", "zulässig", "nicht zulässig"),
             "en": ("Case {id}: so far {a}, now {b}", "lawful", "not lawful")}[lang]  # fmt: skip
    return words[0].format(id=case.get("id", "?"), a=words[1 if was else 2], b=words[1 if now else 2])
