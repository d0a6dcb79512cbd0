"""The tables of `contracts/interoperability/fhir-consent.yaml`: what FHIR means here, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[3] / "contracts" / "interoperability"
EVERYTHING = "*"


@dataclass(frozen=True)
class Counterpart:
    """A code elsewhere. `permits` are the words here that lie wholly inside it; `denies` are all that overlap it, None
    for every word.
    """

    name: str
    permits: frozenset[str]
    denies: frozenset[str] | None
    why: str = ""


@dataclass(frozen=True)
class Tables:
    """`types`: the elements of each FHIR type in their order; `kept`, `narrows`: element to reason."""

    types: Mapping[str, Mapping[str, str]]
    kept: Mapping[str, str]
    narrows: Mapping[str, str]
    statuses: Mapping[str, frozenset[str]]
    recipient_roles: Mapping[str, frozenset[str]]
    defaults: Mapping[str, Mapping[str, str]]
    codes: Mapping[tuple[str, str], Counterpart]
    systems: Mapping[str, Mapping[str, Counterpart]]
    own: Mapping[str, str]
    wide: frozenset[str]

    def counterpart(self, system: str, code: str) -> Counterpart | None:
        """What a code means here; None when it is unknown. Words of our own mean themselves."""
        if system in (self.own["category"], self.own["purpose"]):
            denies = None if code in self.wide else frozenset({code})
            return Counterpart(code, frozenset({code}), denies)
        return self.codes.get((system, code)) or self.systems.get(system, {}).get(code)


@cache
def tables() -> Tables:
    """As they stand in the repository."""
    said = yaml.safe_load((FOLDER / "fhir-consent.yaml").read_text("utf-8"))
    return Tables(
        types=said["types"],
        kept=said["kept"],
        narrows=said["narrows"],
        statuses=_sets(said["statuses"]),
        recipient_roles=_sets(said["recipient_roles"]),
        defaults=said["defaults"],
        codes={(each["system"], each["code"]): _counterpart(each) for each in said["codes"]},
        systems={system: _whole(each) for system, each in said["systems"].items()},
        own=said["own"],
        wide=frozenset(said["wide"]),
    )


def _sets(lists: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(each) for name, each in lists.items()}


def _counterpart(said: Mapping[str, Any]) -> Counterpart:
    denies = None if said["denies"] == EVERYTHING else frozenset(said["denies"])
    return Counterpart(said["name"], frozenset(said["permits"]), denies, said.get("why", ""))


def _whole(said: Mapping[str, Any]) -> dict[str, Counterpart]:
    names: dict[str, str] = yaml.safe_load((FOLDER / said["names"]).read_text("utf-8"))
    return {code: Counterpart(name, frozenset(), None, said["why"]) for code, name in names.items()}
