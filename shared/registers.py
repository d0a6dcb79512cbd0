"""The registers that an installation can write about itself: processing (Art. 30 DSGVO), impact assessment (Art. 35).

Drawn from the rules in force, the events that hold personal fields, the partners that are registered, and the terms of
retention. What only people can say is left open and named as open.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from shared.config import Settings
from shared.domain import Json
from shared.law import health_categories
from shared.policy import RuleSet, present_law

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
TO_FILL = ""
"""What people have to fill in."""


@dataclass(frozen=True)
class Controller:
    """The agency whose register it is, and the kind of body it is (Art. 4 Nr. 7 DSGVO, § 67 Abs. 4 SGB X)."""

    agency: str
    name: str
    body: str


@dataclass(frozen=True)
class Recipient:
    """A partner of the agency and the kind of body it is."""

    partner_id: str
    name: str
    body: str


def processing(controller: Controller, recipients: Sequence[Recipient], today: date) -> Json:
    """The register of processing as of that day: one activity for each purpose that the law opens to the agency."""
    law = present_law()
    return {
        "norm": "Art. 30 Abs. 1 DSGVO",
        "as_of": today.isoformat(),
        "rule_set": law.hash,
        "controller": {
            "agency": controller.agency,
            "name": controller.name,
            "body": law.vocabulary.bodies.get(controller.body, controller.body),
            "data_protection_officer": TO_FILL,
        },
        "data_subjects": list(_template()["data_subjects"]),
        "activities": [
            activity
            for purpose in law.vocabulary.purposes
            if (activity := _activity(law, controller.body, purpose, recipients, today))
        ],
        "categories": [
            {"id": name, "de": de, "special_category": name in health_categories(), "retention": _kept(name)}
            for name, de in law.vocabulary.categories.items()
        ],
        "stored": [{"event": name, "personal_fields": fields} for name, fields in personal_fields().items()],
        "log_retention": [_line(each) for each in _retention()["retention"]],
        "file_retention": [_line(each) for each in _retention()["files"]],
        "third_countries": [],
        "measures": [
            {"de": each["de"], "norm": each["norm"], "code": each["code"]} for each in _template()["measures"]
        ],
    }


def impact(
    controller: Controller, recipients: Sequence[Recipient], today: date, installation: Mapping[str, Any]
) -> Json:
    """The impact assessment as far as the installation can write it; `open` lists what people have to add.

    `installation` says how it is run (`described`).
    """
    law, register = present_law(), processing(controller, recipients, today)
    in_force = [rule for rule in law.rules if rule.in_force(today)]
    unreviewed = [rule.id for rule in in_force if not rule.reviewed_by]
    activities = register["activities"]
    sections = {
        "description": {
            "controller": register["controller"],
            "purposes": [each["de"] for each in activities],
            "special_categories": [each["de"] for each in register["categories"] if each["special_category"]],
            "recipients": [
                {"name": each.name, "body": law.vocabulary.bodies.get(each.body, each.body)} for each in recipients
            ],
            "installation": dict(installation),
        },
        "necessity": {
            "norms": sorted({norm for each in activities for norm in each["norms"]}),
            "rules_in_force": len(in_force),
            "rules_without_legal_review": len(unreviewed),
            "retention": register["log_retention"],
            "file_retention": register["file_retention"],
        },
        "risks": [
            {
                "id": each["id"],
                "de": each["de"],
                "likelihood": TO_FILL,
                "severity": TO_FILL,
                "measures": each["measures"],
            }
            for each in _template()["risks"]
        ],
        "measures": register["measures"],
        "consulted": {"data_protection_officer": TO_FILL, "data_subjects": TO_FILL, "on": TO_FILL},
    }
    return {
        "norm": "Art. 35 DSGVO",
        "as_of": today.isoformat(),
        "rule_set": law.hash,
        "sections": [{**each, "content": sections[each["id"]]} for each in _template()["impact"]],
        "open": [
            "data_protection_officer",
            *(f"risks.{each['id']}.likelihood" for each in _template()["risks"]),
            *(f"risks.{each['id']}.severity" for each in _template()["risks"]),
            "consulted",
            *(["legal review of the rules"] if unreviewed else []),
        ],
    }


def described(settings: Settings) -> Json:
    """How this installation is run: mode, broker, database, custody of keys, in words; no address and no secret."""
    return {
        "mode": settings.mode,
        "processes": "one" if settings.embedded else "one for each service",
        "broker": settings.broker.partition(":")[0],
        "database": settings.database.partition(":")[0].partition("+")[0],
        "custody_of_wrapping_keys": "files of mode 0600 (development only)",
    }


@cache
def personal_fields() -> Mapping[str, list[str]]:
    """The events that hold personal fields, with the places of these, from `contracts/events`."""
    found: dict[str, list[str]] = {}
    for path in sorted((CONTRACTS / "events").glob("*.json")):
        schema = json.loads(path.read_text("utf-8"))
        places = sorted(_personal(schema, schema.get("$defs", {})))
        if places:
            found[path.stem] = places
    return found


def _personal(schema: Json, definitions: Json) -> list[str]:
    found = []
    for name, inner in schema.get("properties", {}).items():
        if "x-personal" in inner:
            found.append(name)
        reference = str(inner.get("$ref", "")).rpartition("/")[2]
        if reference:
            found += [f"{name}.{each}" for each in _personal(definitions[reference], definitions)]
    return found


def _activity(law: RuleSet, body: str, purpose: str, recipients: Sequence[Recipient], today: date) -> Json | None:
    rules = [
        rule
        for rule in law.rules
        if rule.effect == "permit"
        and rule.in_force(today)
        and purpose in rule.scope.purposes
        and body in rule.scope.senders
    ]
    if not rules:
        return None
    words = law.vocabulary
    bodies = {each for rule in rules for each in rule.scope.recipients}
    return {
        "purpose": purpose,
        "de": words.purposes[purpose],
        "rules": [rule.id for rule in rules],
        "norms": sorted({norm for rule in rules for norm in rule.norms}),
        "categories": sorted({each for rule in rules for each in rule.scope.categories}),
        "recipient_kinds": sorted(bodies),
        "partners": [each.partner_id for each in recipients if each.body in bodies],
    }


def _kept(category: str) -> list[Json]:
    """What the schedule says of this category; what nothing names is kept as the rest."""
    schedule = _retention()["files"]
    named = [each for each in schedule if category in each["categories"]]
    return [_line(each) for each in named or schedule if named or each.get("rest")]


def _line(each: Mapping[str, Any]) -> Json:
    line: Json = {name: each[name] for name in ("id", "de", "period", "norm", "certainty")}
    return line | ({"duty": each.get("duty", True)} if "categories" in each else {})


@cache
def _retention() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((CONTRACTS / "law" / "retention.yaml").read_text("utf-8"))
    return found


@cache
def _template() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((CONTRACTS / "registers.yaml").read_text("utf-8"))
    return found
