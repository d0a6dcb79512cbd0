"""A law of a few lines, so that a test shows the whole rule it is about."""

import textwrap
from datetime import date

from shared.policy import Request, RuleSet
from shared.policy.loading import build
from shared.policy.reading import Document, read
from shared.policy.request import Party

VOCABULARY = """
domains:
  - {id: sgb_ii, de: SGB II}
  - {id: sgb_v, de: SGB V}
bodies:
  - {id: jobcenter, domain: sgb_ii, section35: true, de: Jobcenter}
  - {id: insurer, domain: sgb_v, section35: true, de: Krankenkasse}
  - {id: employer, domain: sgb_v, section35: false, de: Arbeitgeber}
body_groups:
  - {id: carriers, de: Träger, members: [jobcenter, insurer]}
categories:
  - {id: master_data, de: Stammdaten}
  - {id: report, de: Arztbericht}
category_groups:
  - {id: health_categories, de: Gesundheit, members: [report]}
purposes:
  - {id: task, de: Aufgabe}
  - {id: research, de: Forschung}
facts:
  - {id: necessary, de: erforderlich, question: Nötig?, asserted_by: [case_worker], change: documentation}
  - {id: notice, de: Hinweis erteilt, question: Hinweis?, asserted_by: [register], change: procedural}
  - {id: objection, de: Widerspruch, question: Widerspruch?, asserted_by: [register]}
  - {id: court_order, de: Beschluss, question: Beschluss?, asserted_by: [court], change: another_person}
  - {id: emergency, de: Notfall, question: Notfall?, asserted_by: [case_worker]}
  - {id: minor, de: minderjährig, question: Minderjährig?, asserted_by: [register]}
  - {id: consent_covers, de: Einwilligung, question: Ja?, kind: derived, asserted_by: [register], change: consent}
  - {id: age, de: Alter, question: Wie alt?, kind: integer, asserted_by: [register]}
"""

OBLIGATIONS = """
obligations:
  - {id: log, de: protokollieren, kind: required, performed_by: services.audit}
  - {id: inform, de: informieren, kind: advisory, performed_by: services.consent}
"""

DEFAULT = """
- id: default
  norm: § 67b Abs. 1 Satz 1 SGB X
  source: test
  title: {de: Auffangregel, en: default}
  effect: forbid
  default: true
  valid_from: 2018-05-25
  from: [any]
  to: [any]
  categories: [any]
  purposes: [any]
  obligations: [inform]
  explanation: {de: Ohne Befugnis nichts., en: Nothing without a power.}
"""

DAY = date(2026, 5, 4)


def rule(id_: str, effect: str = "permit", norm: str = "§ 69 Abs. 1 Nr. 1 SGB X", **more: str) -> str:
    """The YAML of one rule; `more` gives or replaces keys by their YAML text."""
    keys = {
        "norm": norm,
        "source": "test",
        "title": "{de: Regel, en: rule}",
        "effect": effect,
        "valid_from": "2018-05-25",
        "from": "[any]",
        "to": "[any]",
        "categories": "[any]",
        "purposes": "[any]",
        "explanation": "{de: So ist es., en: So it is.}",
        **{key.rstrip("_"): value for key, value in more.items()},
    }
    return f"- id: {id_}\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items() if value)


READINGS = """
- id: f-1
  norm: § 76 Abs. 2 Nr. 1 SGB X
  source: test
  de: Darf das?
  en: May it?
  readings:
    - {id: cautious, de: Nein., en: No.}
    - {id: bold, de: Ja., en: Yes.}
  chosen: cautious
"""

VERSIONS = """
- norm: § 15 SGB II
  versions:
    - {valid_until: 2020-01-01, cite: § 15 SGB II (alt), certainty: [secondary], de: Davor., en: Before.}
    - {valid_from: 2020-01-01, certainty: [text]}
"""


def documents(
    *rules: str,
    vocabulary: str = VOCABULARY,
    obligations: str = OBLIGATIONS,
    readings: str = READINGS,
    versions: str = VERSIONS,
) -> list[Document]:
    text = "".join(textwrap.dedent(item).lstrip("\n") for item in rules)
    return [
        read(vocabulary, "vocabulary.yaml"),
        read(obligations, "obligations.yaml"),
        read(versions, "versions.yaml"),
        read(readings, "readings.yaml"),
        read(text, "rules/test.yaml"),
    ]


def law(*rules: str) -> RuleSet:
    """A rule set of the default rule and the given ones."""
    return build(documents(DEFAULT, *rules))


def ask(**changes: object) -> Request:
    """The jobcenter asks to send master data to the insurer for its task; `changes` replace parts."""
    parts: dict[str, object] = {
        "day": DAY,
        "sender": Party("jobcenter", "sgb_ii"),
        "recipient": Party("insurer", "sgb_v"),
        "categories": ("master_data",),
        "purpose": "task",
        **changes,
    }
    return Request(**parts)  # type: ignore[arg-type]
