"""What a FHIR R4 Consent says, as statements, and by name what of it is not understood.

A provision inside another is an exception to it, for as much as the outer ones leave it; among provisions side by side
deny beats permit. The root permits nothing by itself, because a default that permits names neither recipient nor data.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from services.consent.interchange.days import ALWAYS, Days, When, longest, read, shortest
from services.consent.interchange.tables import tables
from shared.domain import Json

T = TypeVar("T")

DENY, PERMIT = "deny", "permit"
IN_FORCE, REFUSED, NOT_IN_FORCE = "in_force", "refused", "not_in_force"
_PLAIN = re.compile(r"[A-Za-z0-9:/._+-]{1,160}")


@dataclass(frozen=True)
class Gap:
    """What has no counterpart: where it stands, what it is, and why; `refuses` a permission, or is only kept."""

    path: str
    code: str
    why: str
    what: str = ""
    refuses: bool = True


@dataclass(frozen=True)
class Coding:
    system: str
    code: str

    def __str__(self) -> str:
        """As it may be told: a code is no text."""
        text = f"{self.system}|{self.code}"
        return text if _PLAIN.fullmatch(text.replace("|", "")) else "a code that is not shown"


Codings = tuple[Coding, ...]


@dataclass(frozen=True)
class Statement:
    """A yes or a no: to whom (`actors`), for what (`purposes`), which data (`data`), on which days.

    Each is a list of levels from the outermost provision to the innermost, of which something has to fit on every
    one; an empty list means: not named. `data_days` are the days that the data themselves are from. `blocked` names
    what makes a permission narrower in a way that is not understood; such a permission is none. `inner` are exceptions.
    """

    path: str
    permit: bool
    days: Days
    actors: tuple[tuple[str, ...], ...] = ()
    purposes: tuple[Codings, ...] = ()
    data: tuple[Codings, ...] = ()
    data_days: Days = ALWAYS
    blocked: tuple[str, ...] = ()
    inner: tuple["Statement", ...] = ()

    def walk(self) -> Iterator["Statement"]:
        """This one and all inside it."""
        yield self
        for each in self.inner:
            yield from each.walk()


@dataclass(frozen=True)
class Scope:
    """What a provision is about: as a permission at the least, as a prohibition at the most."""

    permit: Statement
    deny: Statement


@dataclass(frozen=True)
class Reading:
    """`state` is one of in_force, refused, not_in_force; `given` the day of the signature as far as it is named;
    `reference` and `patient` say of whom elsewhere it is; `own` is what an installation of ours wrote beside it.
    """

    reference: str
    patient: str
    state: str
    given: When | None
    performers: tuple[str, ...]
    texts: tuple[str, ...]
    statements: tuple[Statement, ...]
    gaps: tuple[Gap, ...]
    own: Any = None

    def all_statements(self) -> tuple[Statement, ...]:
        """One list, outer before inner."""
        return tuple(each for statement in self.statements for each in statement.walk())


def read_consent(content: Json) -> Reading:
    """Never raises: what cannot be read is a gap, and permits nothing."""
    known, reader = tables(), _Reader()
    reader.keep(content, "Consent")
    for status, listed in known.statuses.items():
        if content.get("status") in listed:
            state = status
            break
    else:
        state = NOT_IN_FORCE
        reader.gap("Consent.status", "fhir.status_unknown", "no status of the standard")
    if state == NOT_IN_FORCE and content.get("status") in known.statuses[NOT_IN_FORCE]:
        reader.gap("Consent.status", "fhir.not_in_force", "a consent in this status permits nothing")
    given = reader.when(content.get("dateTime"), "Consent.dateTime")
    reader.scope(content)
    reader.verified(content)
    blocked = tuple(f"Consent.{name}" for name in ("implicitRules", "modifierExtension") if name in content)
    for path in blocked:
        reader.gap(path, "fhir.condition_unknown", known.narrows["modifierExtension"])
    default = reader.default(content)
    whole = Statement(path="Consent", permit=False, days=Days(), blocked=(*blocked, *reader.doubts))
    root = content.get("provision")
    statements = reader.root(root, Scope(replace(whole, permit=True), whole), default) if root else ()
    if not root:
        reader.gap("Consent.provision", "fhir.nothing_said", "without a provision nothing is permitted")
    patient = reference_of(content.get("patient", {}))
    if not patient:
        reader.gap("Consent.patient", "fhir.person_unnamed", "nobody is named whose consent it is")
    return Reading(
        reference=content.get("id", ""),
        patient=patient,
        state=state,
        given=given,
        performers=tuple(reference_of(each) for each in content.get("performer", ())),
        texts=tuple(each["uri"] for each in content.get("policy", ()) if "uri" in each),
        statements=statements,
        gaps=in_order(reader.gaps),
        own=own_terms(content),
    )


def in_order(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """Each once, by its place."""
    return tuple(sorted(set(gaps), key=lambda gap: (gap.path, gap.code, gap.what)))


class _Reader:
    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.doubts: tuple[str, ...] = ()

    def gap(self, path: str, code: str, why: str, what: str = "", *, refuses: bool = True) -> None:
        self.gaps.append(Gap(path, code, why, what, refuses))

    def keep(self, content: Mapping[str, Any], path: str) -> None:
        """Name what stays with the original."""
        generic = re.sub(r"\.provision(\[\d+\])?(\.provision\[\d+\])*", ".provision", path)
        for name in content:
            why = tables().kept.get(f"{generic}.{name}")
            if why and not (name == "extension" and _only_own(content["extension"])):
                self.gap(f"{path}.{name}", "fhir.kept_in_the_original", why, refuses=False)

    def when(self, text: Any, path: str) -> When | None:
        if text is None:
            return None
        found = read(str(text))
        if found is None:
            self.gap(path, "fhir.no_date", "no date of the standard")
            self.doubts = (*self.doubts, path)
        return found

    def scope(self, content: Json) -> None:
        for coding in _codings(content.get("scope", {})):
            if coding.code != "patient-privacy":
                why = "the field of law stays with the original; a consent here is for a disclosure"
                self.gap("Consent.scope", "fhir.kept_in_the_original", why, str(coding), refuses=False)

    def verified(self, content: Json) -> None:
        for number, each in enumerate(content.get("verification", ())):
            path = f"Consent.verification[{number}]"
            if each.get("verified") is True:
                self.gap(path, "fhir.kept_in_the_original", "who checked it stays with the original", refuses=False)
            else:
                self.gap(path, "fhir.not_verified", "it says of itself that nobody checked it")
                self.doubts = (*self.doubts, path)

    def default(self, content: Json) -> str:
        """The policy that holds where no provision fits: permit, deny, or empty when it is not known."""
        rule = content.get("policyRule")
        if not rule:
            return ""
        for coding in _codings(rule):
            found = tables().defaults.get(coding.system, {}).get(coding.code)
            if found == PERMIT:
                why = "a default that permits names neither recipient nor data nor purpose, and permits nothing here"
                self.gap("Consent.policyRule", "fhir.blanket_default", why, str(coding))
            if found:
                return found
        self.gap("Consent.policyRule", "fhir.policy_unknown", "a policy elsewhere; only what the provisions say counts")
        return ""

    def root(self, content: Json, whole: Scope, default: str) -> tuple[Statement, ...]:
        """Without a type of its own the root only says what its provisions are about; under a policy that denies it
        is a no.
        """
        path = "Consent.provision"
        said = content.get("type", DENY if default == DENY else "")
        if said in (PERMIT, DENY):
            return (self.provision(content, whole, path, said),)
        why = "under this policy it may be an exception or the subject; it is read as neither yes nor no"
        self.gap(path, "fhir.unclear_provision", why)
        return self.inner(content, self.scoped(content, whole, path), path)

    def provision(self, content: Json, outer: Scope, path: str, said: str) -> Statement:
        mine = self.scoped(content, outer, path)
        return replace(mine.permit if said == PERMIT else mine.deny, inner=self.inner(content, mine, path))

    def inner(self, content: Json, outer: Scope, path: str) -> tuple[Statement, ...]:
        found = []
        for number, each in enumerate(content.get("provision", ())):
            place = f"{path}.provision[{number}]"
            kind = each.get("type", "")
            if kind not in (PERMIT, DENY):
                self.gap(f"{place}.type", "fhir.unclear_provision", "neither permit nor deny: read as deny")
                kind = DENY
            found.append(self.provision(each, outer, place, kind))
        return tuple(found)

    def scoped(self, content: Json, outer: Scope, path: str) -> Scope:
        """The provision within what its outer ones leave it."""
        self.keep(content, path)
        blocked = [*outer.permit.blocked]
        for name, why in tables().narrows.items():
            if name in content:
                self.gap(f"{path}.{name}", "fhir.condition_unknown", why, _told(content[name]))
                blocked.append(f"{path}.{name}")
        days, data_days = (self.days(content, name, path, blocked) for name in ("period", "dataPeriod"))
        receivers, conditional = self.actors(content, path, blocked)
        purposes = (*outer.permit.purposes, *_level(tuple(map(_coding, content.get("purpose", ())))))
        data = (*outer.permit.data, *_level(_concepts(content.get("code", ()))))
        permit = replace(
            outer.permit,
            path=path,
            purposes=purposes,
            data=data,
            days=outer.permit.days & days[0],
            data_days=outer.permit.data_days & data_days[0],
            actors=(*outer.permit.actors, *_level(receivers)),
            blocked=tuple(blocked),
        )
        deny = replace(
            outer.deny,
            path=path,
            purposes=purposes,
            data=data,
            days=outer.deny.days & days[1],
            actors=outer.deny.actors if conditional else (*outer.deny.actors, *_level(receivers)),
        )
        return Scope(permit, deny)

    def days(self, content: Json, name: str, path: str, blocked: list[str]) -> tuple[Days, Days]:
        """The shortest and the longest time that may be meant."""
        period = content.get(name, {})
        ends = {end: read(str(period[end])) for end in ("start", "end") if end in period}
        for end, found in ends.items():
            if found is None:
                self.gap(f"{path}.{name}.{end}", "fhir.no_date", "no date of the standard")
                blocked.append(f"{path}.{name}.{end}")
        start, last = ends.get("start"), ends.get("end")
        if start and last and last.last < start.first:
            self.gap(f"{path}.{name}", "import.contradiction", "it ends before it begins")
        return shortest(start, last), longest(start, last)

    def actors(self, content: Json, path: str, blocked: list[str]) -> tuple[tuple[str, ...], bool]:
        """Who receives; and whether others are named, who are a condition."""
        found, conditional = [], False
        for number, each in enumerate(content.get("actor", ())):
            roles = _codings(each.get("role", {}))
            if any(role.code in tables().recipient_roles.get(role.system, ()) for role in roles):
                found.append(reference_of(each.get("reference", {})))
                continue
            place, conditional = f"{path}.actor[{number}].role", True
            why = "who sends, keeps or wrote data is a condition that a consent here cannot say"
            self.gap(place, "fhir.condition_unknown", why, ", ".join(map(str, roles)))
            blocked.append(place)
        return tuple(found), conditional


def reference_of(said: Json) -> str:
    """Somebody elsewhere, as one text: the reference, or system and value of an identifier."""
    if "reference" in said:
        return str(said["reference"])
    known = said.get("identifier", {})
    return f"{known.get('system', '')}|{known['value']}" if "value" in known else ""


def own_terms(content: Json) -> Any:
    """What one of our installations wrote beside the elements of the standard."""
    for each in content.get("extension", ()):
        if each.get("url") == tables().own["terms"]:
            return unfolded(each)
    return None


def unfolded(extension: Json) -> Any:
    """The value of an extension: members by their names, a name that ends in [] is a list."""
    for name, inner in extension.items():
        if name.startswith("value"):
            return inner
    found: Json = {}
    for each in extension.get("extension", ()):
        name = str(each.get("url", ""))
        if name.endswith("[]"):
            found.setdefault(name.removesuffix("[]"), []).append(unfolded(each))
        else:
            found[name] = unfolded(each)
    return found


def _only_own(extensions: Sequence[Json]) -> bool:
    own = (tables().own["terms"], tables().own["course"])
    return all(each.get("url") in own for each in extensions)


def _codings(concept: Json) -> Codings:
    return tuple(map(_coding, concept.get("coding", ())))


def _concepts(concepts: Sequence[Json]) -> Codings:
    """One coding for each concept: the first that is known here, since all of a concept mean the same."""
    found = []
    for concept in concepts:
        codings = _codings(concept) or (Coding("", ""),)
        known = [each for each in codings if tables().counterpart(each.system, each.code)]
        found.append((known or list(codings))[0])
    return tuple(found)


def _coding(said: Json) -> Coding:
    return Coding(str(said.get("system", "")), str(said.get("code", "")))


def _told(inner: Any) -> str:
    """The codes of an element that is not understood."""
    found: list[Coding] = []
    for each in inner if isinstance(inner, list) else [inner]:
        if isinstance(each, dict) and "coding" in each:
            found += _codings(each)
        elif isinstance(each, dict) and "code" in each:
            found.append(_coding(each))
    return ", ".join(dict.fromkeys(map(str, found)))


def _level(named: tuple[T, ...]) -> tuple[tuple[T, ...], ...]:
    return (named,) if named else ()
