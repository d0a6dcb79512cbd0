"""When consents, releases from secrecy and research approvals cover a disclosure (sections C.1 to C.5 of the rules).

§ 67b Abs. 2 SGB X, Art. 7 DSGVO: prior, alive, specific, informed, in the right form, voluntary, from the right
person. § 203 StGB: a release names the professional. § 75 Abs. 4 SGB X: an approval names recipient, data and end.
All are read as of the day of the disclosure; a withdrawal works for the future only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from shared.policy.model import Truth, Vocabulary

STRICT_PURPOSES = frozenset({"case_management_sick_pay", "care_transition"})
ENTRUSTED = "entrusted_youth_data_65"
THIRD_PARTY = "third_party_data"

_PROVABLE = frozenset({"written", "electronic"})
_PERSONAL_TITLE = re.compile(r"\b(Dr|Prof|Dipl|Frau|Herr|Fr|Hr)\b")
_EVERYBODY = re.compile(
    r"\b(alle|allen|aller|sämtliche\w*|jede\w*|any|all|every)\b|\b(Ärzte|Therapeuten|doctors|therapists)\b",
    re.IGNORECASE,
)
_INSTITUTION = re.compile(
    r"klinik|krankenhaus|praxis|einrichtung|zentrum|stelle\b|beratung\b|dienst\b|ambulanz|träger\b|amt\b|anstalt"
    r"|station\b|team\b|verein\b|verband\b|gGmbH|GmbH|e\. ?V\.|\b(MVZ|SPDi|EUTB|Caritas|Diakonie)\b"
    r"|\b(clinic|hospital|practice|centre|center|service|office)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Where:
    """The one disclosure that is asked about: to whom, which category, what for, on which day."""

    recipient: str
    category: str
    purpose: str
    day: date


@dataclass(frozen=True, kw_only=True)
class ConsentRecord:
    """A consent as it was declared (Einwilligung), with what the law wants to know about it."""

    status: str
    recipients: tuple[str, ...]
    categories: tuple[str, ...]
    purposes: tuple[str, ...]
    given_by: tuple[str, ...]
    form: str
    given_on: date | None = None
    valid_until: date | None = None
    withdrawn_on: date | None = None
    informed_67b_2: bool = False
    voluntary: bool = False
    id: str = ""

    def names(self, where: "Where") -> bool:
        """Whether the consent names exactly this recipient, category and purpose; nothing blanket counts."""
        return (
            where.recipient in self.recipients and where.category in self.categories and where.purpose in self.purposes
        )


@dataclass(frozen=True, kw_only=True)
class SecrecyRelease:
    """A release from professional secrecy (Schweigepflichtentbindung): it names a professional and a recipient."""

    status: str
    professionals: tuple[str, ...]
    recipients: tuple[str, ...]
    categories: tuple[str, ...]
    given_by: tuple[str, ...]
    form: str
    given_on: date | None = None
    valid_until: date | None = None
    withdrawn_on: date | None = None
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class ResearchApproval:
    """An approval of the competent authority (§ 75 Abs. 4 SGB X)."""

    recipients: tuple[str, ...]
    categories: tuple[str, ...]
    valid_until: date | None
    approved_on: date | None = None


@dataclass(frozen=True)
class Coverage:
    """Whether something covers the disclosure, by which records, and the norms this rests on."""

    truth: Truth
    ids: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()


NONE = Coverage(truth=False)


@dataclass(frozen=True)
class Shortfall:
    """Why a declaration does not cover the disclosure: the first test of section C.1 it fails, and the norm of that."""

    record: str
    reason: str
    norm: str


FAILS: Mapping[str, str] = {
    "not_given": "§ 67b Abs. 2 SGB X",
    "too_late": "§ 67b Abs. 2 SGB X",
    "withdrawn": "Art. 7 Abs. 3 DSGVO",
    "run_out": "Art. 7 Abs. 3 DSGVO",
    "recipient": "Art. 4 Nr. 11 DSGVO",
    "category": "Art. 4 Nr. 11 DSGVO",
    "purpose": "Art. 4 Nr. 11 DSGVO",
    "not_informed": "§ 67b Abs. 2 Satz 3 SGB X",
    "not_voluntary": "Art. 7 Abs. 4 DSGVO",
    "form": "§ 67b Abs. 2 Satz 1, 2 SGB X",
    "no_person": "§ 203 Abs. 1 StGB",
    "giver": "§ 36 Abs. 1, 2 SGB I",
    "entrusting_person": "§ 65 Abs. 1 Satz 1 Nr. 1 SGB VIII",
    "third_person": "§ 67d Abs. 2 SGB X",
}
"""The tests a declaration may fail, with the norm each rests on (section C.1 and C.4 of the rules)."""


def alive(record: ConsentRecord | SecrecyRelease, day: date) -> bool:
    """Given before the disclosure, not withdrawn by that day, not run out. Later approval heals nothing."""
    return not _life(record, day)


def _life(record: ConsentRecord | SecrecyRelease, day: date) -> str:
    """Which test of prior and alive the declaration fails on the day; empty for none."""
    if record.status == "refused" or record.given_on is None:
        return "not_given"
    if record.given_on > day:
        return "too_late"
    if record.withdrawn_on is not None and record.withdrawn_on <= day:
        return "withdrawn"
    if record.status != "given" and not (record.status == "withdrawn" and record.withdrawn_on is not None):
        return "withdrawn"
    return "run_out" if record.valid_until is not None and record.valid_until < day else ""


def consent_coverage(
    records: tuple[ConsentRecord, ...],
    where: Where,
    facts: Mapping[str, bool | int | None],
    vocabulary: Vocabulary,
    *,
    of_entrusting_person: bool = False,
) -> Coverage:
    """The consents that cover this disclosure (`consent_covers`, or `entrusting_consent_covers`).

    General data: written, electronic or documented oral form. Health, secrecy and entrusted data, and the
    procedures of § 44 Abs. 4 and § 39 Abs. 1a SGB V: written or electronic only. Entrusted data need the person
    who entrusted them, data about third persons need the third person.
    """
    found: list[tuple[Truth, str]] = []
    norms: tuple[str, ...] = ()
    strict = _strict(where, vocabulary)
    for index, record in enumerate(records):
        if _consent_fails(record, where, strict=strict):
            continue
        if of_entrusting_person:
            competent: Truth = "entrusting_person" in record.given_by
            basis: tuple[str, ...] = ()
        elif where.category == THIRD_PARTY:
            competent, basis = "third_party" in record.given_by, ()
        else:
            competent, basis = _competent(record.given_by, facts)
        if competent is not False:
            found.append((competent, record.id or f"consents/{index}"))
            norms = norms or basis
    return _coverage(found, norms)


def release_coverage(
    records: tuple[SecrecyRelease, ...],
    where: Where,
    facts: Mapping[str, bool | int | None],
) -> Coverage:
    """The releases that name a professional, this recipient and this category (`secrecy_release_covers`).

    A release that names only an institution or "all doctors" is none.
    """
    found: list[tuple[Truth, str]] = []
    norms: tuple[str, ...] = ()
    for index, record in enumerate(records):
        if _release_fails(record, where):
            continue
        competent, basis = _competent(record.given_by, facts)
        if competent is not False:
            found.append((competent, record.id or f"secrecy_releases/{index}"))
            norms = norms or basis
    return _coverage(found, norms)


def shortfalls(
    consents: tuple[ConsentRecord, ...],
    releases: tuple[SecrecyRelease, ...],
    where: Where,
    facts: Mapping[str, bool | int | None],
    vocabulary: Vocabulary,
) -> tuple[Shortfall, ...]:
    """What each declaration lacks to cover this disclosure, in the order given; those that cover it are left out."""
    found: list[Shortfall] = []
    strict = _strict(where, vocabulary)
    for index, record in enumerate(consents):
        reason = _consent_fails(record, where, strict=strict)
        if not reason and where.category == ENTRUSTED:
            reason = "" if "entrusting_person" in record.given_by else "entrusting_person"
        elif not reason and where.category == THIRD_PARTY:
            reason = "" if "third_party" in record.given_by else "third_person"
        elif not reason:
            reason = "" if _competent(record.given_by, facts)[0] else "giver"
        if reason:
            found.append(Shortfall(record.id or f"consents/{index}", reason, FAILS[reason]))
    for index, release in enumerate(releases):
        reason = _release_fails(release, where) or ("" if _competent(release.given_by, facts)[0] else "giver")
        if reason:
            found.append(Shortfall(release.id or f"secrecy_releases/{index}", reason, FAILS[reason]))
    return tuple(found)


def _consent_fails(record: ConsentRecord, where: Where, *, strict: bool) -> str:
    """The first test a consent fails, apart from who gave it; empty for none."""
    if not record.names(where):
        return _unnamed(record, where) or ("" if where.purpose in record.purposes else "purpose")
    if life := _life(record, where.day):
        return life
    if not record.informed_67b_2:
        return "not_informed"
    if not record.voluntary:
        return "not_voluntary"
    return "" if record.form in _PROVABLE or (record.form == "oral_documented" and not strict) else "form"


def _release_fails(record: SecrecyRelease, where: Where) -> str:
    """The first test a release fails, apart from who gave it; empty for none."""
    if unnamed := _unnamed(record, where):
        return unnamed
    if not any(names_a_person(name) for name in record.professionals):
        return "no_person"
    return _life(record, where.day) or ("" if record.form in _PROVABLE else "form")


def _unnamed(record: ConsentRecord | SecrecyRelease, where: Where) -> str:
    if where.recipient not in record.recipients:
        return "recipient"
    return "" if where.category in record.categories else "category"


def _strict(where: Where, vocabulary: Vocabulary) -> bool:
    return where.category in strict_categories(vocabulary) or where.purpose in STRICT_PURPOSES


def approval_coverage(approval: ResearchApproval | None, where: Where) -> Coverage:
    """Whether the approval names recipient and category and has not ended (`research_approval_covers`)."""
    if approval is None or approval.valid_until is None or approval.valid_until < where.day:
        return NONE
    if approval.approved_on is not None and approval.approved_on > where.day:
        return NONE
    return Coverage(truth=where.recipient in approval.recipients and where.category in approval.categories)


def refused_or_withdrawn(records: tuple[ConsentRecord, ...], where: Where) -> bool:
    """Whether the person's last word on exactly this disclosure, as far as recorded, was no."""
    words = [word for record in records if record.names(where) for word in _words(record) if word[0] <= where.day]
    return bool(words) and max(words)[1]


def _words(record: ConsentRecord) -> list[tuple[date, bool]]:
    """What the person said and when; True is no."""
    if record.status == "refused":
        return [(record.given_on or date.min, True)]
    given = [] if record.given_on is None else [(record.given_on, False)]
    if record.withdrawn_on is not None:
        return [*given, (record.withdrawn_on, True)]
    return [(record.given_on or date.min, True)] if record.status == "withdrawn" else given


def strict_categories(vocabulary: Vocabulary) -> frozenset[str]:
    """Health, secrecy and entrusted data: only a written or electronic consent will do."""
    groups = vocabulary.category_groups
    return frozenset((*groups.get("health_categories", ()), *groups.get("secrecy_categories", ()), ENTRUSTED))


def names_a_person(name: str) -> bool:
    """Whether a release names somebody rather than an institution or everybody.

    "Praxis Dr. A." names somebody, "alle Ärzte der Praxis Dr. A." does not.
    """
    if not name.strip() or _EVERYBODY.search(name):
        return False
    return bool(_PERSONAL_TITLE.search(name)) or not _INSTITUTION.search(name)


def _competent(given_by: tuple[str, ...], facts: Mapping[str, bool | int | None]) -> tuple[Truth, tuple[str, ...]]:
    """Section C.4: who consents, by age, insight and representation; with the norms that decide it."""
    minor, age = facts.get("minor"), facts.get("age")
    person, guardian = "data_subject" in given_by, "legal_guardian" in given_by
    if isinstance(age, int) and not isinstance(age, bool):
        young: Truth = age < 18
    else:
        age, young = None, None if minor is None else bool(minor)
    if young is None:
        return (None if person or guardian or "authorised_representative" in given_by else False), ()
    if not young:
        if person:
            return True, ()
        if "authorised_representative" in given_by:
            return _truth(facts.get("representation_covers")), ("§ 13 Abs. 1 SGB X",)
        return False, ()
    insight = _truth(facts.get("insight_capable"))
    if age is not None and age >= 15:
        restricted = _truth(facts.get("guardian_restriction_36_2"))
        norms = ("§ 36 Abs. 1 SGB I", *(("§ 36 Abs. 2 SGB I",) if restricted else ()))
        if person and guardian:
            return True, norms
        alone = _and(insight, _not(restricted))
        if person:
            return alone, norms
        return (_and(_not(insight), _not(restricted)) if guardian else False), norms
    if person and guardian:
        return True, ("§ 36 Abs. 1 SGB I",)
    return (_not(insight) if guardian else False), ("§ 36 Abs. 1 SGB I",)


def _coverage(found: list[tuple[Truth, str]], norms: tuple[str, ...]) -> Coverage:
    sure = tuple(id_ for truth, id_ in found if truth is True)
    if sure:
        return Coverage(truth=True, ids=sure, norms=norms)
    return Coverage(truth=None) if found else NONE


def _truth(value: int | None) -> Truth:
    return None if value is None else bool(value)


def _not(value: Truth) -> Truth:
    return None if value is None else not value


def _and(left: Truth, right: Truth) -> Truth:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True
