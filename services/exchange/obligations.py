"""The obligations that partner exchange performs before anything leaves; one function for each, by table.

Content is checked when it is put aside, so that what cannot be kept is refused before the request is even written. What
a partner lacks (an undertaking, a key of its medical service) is told to the audit service, which turns the permit into
a deny. `services/audit/obligations.py` lists what is performed, and by which code.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.exchange.domain.disclosure import RequestDisclosure
from services.exchange.domain.partner import Partner
from shared.domain import Json
from shared.errors import Invalid, NotFound, Refused
from shared.law import (
    confirmed_by_a_person,
    information_may_wait,
    needs_break_glass,
    notices,
    protected_by_section_35,
)

SMALLEST_CELL = 5
SHORTEST_NAME = 2
FEEDBACK = frozenset({"confirmed", "active"})
"""The two answers that a reporting professional may get (§ 4 Abs. 4 KKG): was it confirmed, and is somebody acting."""


@dataclass(frozen=True)
class Identity:
    """What the agency knows the person by; None where it was erased."""

    name: str | None
    birth_date: date | None
    contact: str | None


Check = Callable[[Json, Identity], Json]


def without_identity(content: Json, person: Identity) -> Json:
    """`pseudonymise_first`: nothing by which the agency itself knows the person stands in it."""
    text = json.dumps(content, ensure_ascii=False).casefold()
    words = set(re.findall(r"\w+", text))
    packed = re.sub(r"\s", "", text)
    named = [part for part in _names(person) if part in words]
    if named or any(sign in packed for sign in _signs(person)):
        detail = "what should be pseudonymous holds the name, birth date or contact of the person"
        raise Refused("disclosure.identified_payload", detail, "record it without them, then ask with a new id")
    return content


def limited_feedback(content: Json, person: Identity) -> Json:
    """`feedback_limited`: of the newest entry exactly the two answers travel, without date, origin or text."""
    del person
    entries = content.get("entries", ())
    newest = max((entry["on"] for entry in entries), default="")
    found = [_read(entry["text"]) for entry in entries if entry["on"] == newest]
    if len(found) != 1 or not _is_feedback(found[0]):
        detail = "the feedback is not exactly the two answers that the law allows"
        remedy = 'record the entry as {"confirmed": true or false, "active": true or false}, one a day'
        raise Refused("disclosure.feedback_not_limited", detail, remedy)
    return dict(found[0])


def counted_tables(content: Json, person: Identity) -> Json:
    """`small_cell_check`: tables of labels and counts, each count 0 or at least five."""
    tables = [_read(entry["text"]) for entry in without_identity(content, person).get("entries", ())]
    if not tables or not all(_is_table(table) for table in tables):
        detail = "anonymous data are tables of labels and whole numbers"
        remedy = 'record each as JSON rows, such as [{"group": "under 25", "count": 12}]'
        raise Refused("disclosure.not_a_table", detail, remedy)
    counts = [cell for table in tables for row in table for cell in row.values() if isinstance(cell, int)]
    if any(0 < count < SMALLEST_CELL for count in counts):
        detail = "a count from 1 to 4 could lead back to somebody"
        raise Refused("disclosure.small_cell", detail, "merge groups until each count is 0 or at least 5")
    return {"tables": tables}


CONTENT: Mapping[str, Check] = {
    "pseudonymised_case_data": without_identity,
    "pseudonymised_evaluation_data": without_identity,
    "anonymous_data": counted_tables,
    "child_protection_feedback": limited_feedback,
}
"""Category → what is done with its content. All other categories travel as they are held."""


def fit_to_leave(held: Mapping[str, Json], person: Identity) -> dict[str, Json]:
    """The content as it would travel; raises `Refused` when the law's form of it is not kept."""
    return {name: CONTENT[name](content, person) if name in CONTENT else content for name, content in held.items()}


def staff_committed(partner: Partner) -> bool:
    """`commit_private_recipient_staff`: a body outside § 35 SGB I has instructed its staff (§ 78 Abs. 2 SGB X)."""
    kept_by_law = partner.registered is not None and protected_by_section_35(partner.registered.kind.body)
    return kept_by_law or partner.commitment is not None


def has_medical_channel(partner: Partner) -> bool:
    """`separate_medical_channel`: the partner's medical service has a key of its own."""
    return partner.medical_key is not None


ABILITIES: Mapping[str, Callable[[Partner], bool]] = {
    "commit_private_recipient_staff": staff_committed,
    "separate_medical_channel": has_medical_channel,
}


def unable(partner: Partner) -> tuple[str, ...]:
    """The obligations that cannot be kept towards this partner; a permit with one of them is a deny."""
    return tuple(obligation for obligation, able in ABILITIES.items() if not able(partner))


def key_for(partner: Partner, obligations: Sequence[str]) -> Json:
    """To whom it is sealed: the medical service alone, where the channel has to be separate."""
    if "separate_medical_channel" in obligations and partner.medical_key:
        return partner.medical_key
    if not partner.registered:
        raise NotFound("partner.unknown")
    return partner.registered.encryption_key


def binding(obligations: Sequence[str]) -> list[Json]:
    """The notice of what binds the recipient (§ 78 SGB X and the like); the sender's own duties stay at home."""
    known = notices()
    told = [known[duty] for duty in obligations if duty in known]
    return [{"id": each.id, "norm": each.norm, "text_de": each.text_de} for each in told]


def needs_confirmation(purpose: str, obligations: Sequence[str]) -> bool:
    """Whether a named person decides before anything leaves (§ 67d Abs. 1 SGB X)."""
    return confirmed_by_a_person(purpose) or needs_four_eyes(obligations)


def needs_four_eyes(obligations: Sequence[str]) -> bool:
    """`four_eyes_head`: that person is not the one who asked."""
    return "four_eyes_head" in obligations


def check_way(command: RequestDisclosure) -> None:
    """Raises `Invalid` unless emergency and late notice are asked for where the law knows them."""
    if needs_break_glass(command.purpose) and command.break_glass is None:
        fault = ("/break_glass", "an emergency has an end", "add break_glass with ends_at, and a day of review")
    elif command.break_glass is not None and not needs_break_glass(command.purpose):
        fault = ("/break_glass", "this purpose is no emergency", "leave it out")
    elif command.inform_after is not None and not information_may_wait(command.purpose):
        fault = ("/inform_after", "the person is informed at once here", "leave it out")
    else:
        return
    code = "information_not_postponed" if fault[0] == "/inform_after" else "break_glass_invalid"
    raise Invalid(f"disclosure.{code}", fault[1], fault[2], [fault])


def _names(person: Identity) -> list[str]:
    return [part for part in re.findall(r"\w+", (person.name or "").casefold()) if len(part) >= SHORTEST_NAME]


def _signs(person: Identity) -> list[str]:
    """Birth date as it is written, and the contact, without spaces."""
    signs: list[str] = []
    if born := person.birth_date:
        signs += [born.isoformat(), f"{born:%d.%m.%Y}", f"{born.day}.{born.month}.{born.year}"]
    if person.contact and person.contact.strip():
        signs.append(re.sub(r"\s", "", json.dumps(person.contact, ensure_ascii=False)[1:-1].casefold()))
    return signs


def _read(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _is_feedback(found: Any) -> bool:
    return isinstance(found, dict) and found.keys() == FEEDBACK and all(type(said) is bool for said in found.values())


def _is_table(found: Any) -> bool:
    rows = found if isinstance(found, list) else []
    return bool(rows) and all(
        isinstance(row, dict) and row and all(type(cell) in (str, int) for cell in row.values()) for row in rows
    )
