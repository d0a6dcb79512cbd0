"""Consents from files: each once, however often the file is read; what one no longer says is withdrawn.

A person, a consent and its cells get ids that only this installation can compute (as answer sheets do), so that the
same reference means the same person in every file of an agency, and in no other agency.
"""

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from services.consent.domain.consent import Consent, ConsentEvent
from services.consent.domain.imported_consent import ConsentImported, ImportedConsent
from services.consent.domain.terms import Terms
from services.consent.handlers import own_giver_faults, word_faults
from services.consent.interchange.documents import Found, resources
from services.consent.interchange.reading import Gap, Reading, read_consent
from services.consent.interchange.translation import Directory, Wanted, translate
from shared.database import Database
from shared.domain import Erased, Json
from shared.errors import Invalid
from shared.eventstore import AgencyStore

FORMAT = "fhir-r4"


@dataclass(frozen=True)
class Taken:
    """What became, or would become, of one consent of a file. `known_before`: the same text was taken over already."""

    place: str
    content: Json
    source: str
    import_id: str
    reading: Reading
    wanted: Wanted
    withdrawn: tuple[str, ...] = ()
    known_before: bool = False


@dataclass(frozen=True)
class Fault:
    """Why something in a file is no consent that can be read at all."""

    place: str
    code: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Import:
    """Takes over the consents of one agency. `secret` keys the ids; the same secret makes the same ids."""

    agency: str
    secret: bytes
    directory: Directory
    today: date

    def looked_at(self, founds: Sequence[Found]) -> tuple[list[Taken], list[Fault]]:
        """What would become of the resources of a file; nothing is recorded.

        One consent of a file that says no has the last word over another that says yes to the same.
        """
        looked, doubtful, faults = dict[str, Taken](), set[str](), list[Fault]()
        for found in founds:
            try:
                taken = self._looked_at(found)
            except Invalid as error:
                faults.append(Fault(found.place, error.code, error.detail, error.remedy))
                continue
            if looked.setdefault(taken.import_id, taken).content != taken.content:
                detail = "the same consent stands twice in the file and says two things"
                faults.append(Fault(found.place, "import.contradiction", detail, "leave the one that counts"))
                doubtful.add(taken.import_id)
        kept = [each for each in looked.values() if each.import_id not in doubtful]
        return [_without_contradictions(each, kept) for each in kept], faults

    def _looked_at(self, found: Found) -> Taken:
        if found.content is None:
            raise Invalid("import.no_consent", f"a {found.kind} is no Consent", "choose a file with Consents")
        reading = read_consent(found.content)
        if not reading.patient:
            detail = "it names nobody whose consent it is"
            raise Invalid("import.person_unnamed", detail, "name the patient by reference or identifier")
        import_id = self._id("imported consent", f"{reading.patient}\n{reading.reference or _text(found.content)}")
        named = partial(self._cell_id, f"{import_id}\n{self.person(reading.patient)}")
        person_id = self.person(reading.patient)
        wanted = translate(reading, self.directory, person_id=person_id, proof=import_id, today=self.today, named=named)
        return Taken(found.place, found.content, found.source, import_id, reading, wanted)

    def person(self, reference: str) -> str:
        """The person whom the agency knows under this reference; otherwise one who is known by nothing else."""
        return self.directory.persons.get(reference) or self._id("person", reference)

    def take(self, looked: Taken, store: AgencyStore, database: Database) -> Taken:
        """Record one consent and what follows from it, all of it or nothing.

        A cell that the rules of consent refuse is left out and named; it leaves the others alone. The same text again
        adds what a directory knows by now, and takes nothing away.
        """
        text = _text(looked.content)
        digest = self._keyed("imported text", text).hex()
        before = store.load(ImportedConsent, looked.import_id)[0].imported
        fit, person_id = self._fitting(looked.wanted, store), self.person(looked.reading.patient)
        same = before is not None and (before.digest, before.person_id) == (digest, person_id)
        stood = before.given if before else ()
        kept = stood if same else tuple(each for each in stood if each in fit.give)
        given = tuple(dict.fromkeys((*kept, *fit.give)))
        refused = tuple(dict.fromkeys((*(before.refused if before and same else ()), *fit.refuse)))
        if before and same and (given, refused) == (before.given, before.refused):
            return replace(looked, wanted=fit, known_before=True)
        gone = tuple(each for each in stood if each not in given)
        event = ConsentImported(
            person_id=person_id,
            format=FORMAT,
            digest=digest,
            original=looked.source or text,
            report=json.dumps([vars(gap) for gap in fit.gaps], ensure_ascii=False),
            given=given,
            refused=refused,
            withdrawn=gone,
            on=self.today,
        )
        command_id = f"import-{self._id('import', json.dumps([looked.import_id, digest, person_id, given, refused]))}"
        with database.write() as tx:
            for consent_id in gone:
                store.change(Consent, consent_id, lambda c: c.withdraw(self.today), command_id=command_id, tx=tx)
            for consent_id, terms in fit.give.items():
                give = partial(_given, terms=terms, today=self.today)
                store.change(Consent, consent_id, give, command_id=command_id, tx=tx)
            for consent_id, terms in fit.refuse.items():
                refuse = partial(_refused, terms=terms, today=self.today)
                store.change(Consent, consent_id, refuse, command_id=command_id, tx=tx)
            store.change(ImportedConsent, looked.import_id, lambda i: i.take_over(event), command_id=command_id, tx=tx)
        return replace(looked, wanted=fit, withdrawn=gone)

    def _fitting(self, wanted: Wanted, store: AgencyStore) -> Wanted:
        """The cells that the rules of consent accept; the others by name. A yes that was withdrawn here stays so."""
        give, gaps = dict[str, Terms](), list[Gap]()
        for consent_id, terms in wanted.give.items():
            found = [*word_faults(terms, ""), *terms.faults(self.today), *own_giver_faults(terms, "")]
            if store.load(Consent, consent_id)[0].course.withdrawn_on:
                found.append(("import.withdrawn_here", "", "it was withdrawn here, and that counts", ""))
            if found:
                gaps += [Gap("Consent.provision", code, detail, _named(terms)) for code, _, detail, _ in found]
            else:
                give[consent_id] = terms
        refuse = {consent_id: terms for consent_id, terms in wanted.refuse.items() if not word_faults(terms, "")}
        return Wanted(give, refuse, (*wanted.gaps, *gaps))

    def _cell_id(self, of: str, cell: str) -> str:
        return self._id("imported cell", f"{of}\n{cell}")

    def _id(self, kind: str, text: str) -> str:
        return str(UUID(bytes=self._keyed(kind, text)[:16], version=4))

    def _keyed(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.secret, f"{self.agency}\n{kind}\n{text}".encode(), "sha256")


def _given(consent: Consent, *, terms: Terms, today: date) -> Sequence[ConsentEvent]:
    return [] if consent.terms else consent.give(terms, today)


def _refused(consent: Consent, *, terms: Terms, today: date) -> Sequence[ConsentEvent]:
    return [] if consent.terms else consent.refuse(terms, today)


def _without_contradictions(taken: Taken, all_of_them: Sequence[Taken]) -> Taken:
    refused = {_same(terms) for each in all_of_them if each is not taken for terms in each.wanted.refuse.values()}
    dropped = {consent_id: terms for consent_id, terms in taken.wanted.give.items() if _same(terms) in refused}
    if not dropped:
        return taken
    why = "another consent of the file says no to the same: the no counts"
    gaps = [Gap("Consent.provision", "import.contradiction", why, _named(terms)) for terms in dropped.values()]
    give = {consent_id: terms for consent_id, terms in taken.wanted.give.items() if consent_id not in dropped}
    return replace(taken, wanted=Wanted(give, taken.wanted.refuse, (*taken.wanted.gaps, *gaps)))


def original(imported: ConsentImported) -> Json | None:
    """The consent as it came, in the form of FHIR JSON; None when the person was erased."""
    if isinstance(imported.original, Erased):
        return None
    (found,) = resources(imported.original.encode())
    return found.content


def told(taken: Taken) -> Json:
    """One consent of the report: ids, days, codes and places, nothing of what people wrote."""
    return {
        "place": taken.place,
        "import_id": taken.import_id,
        "known_before": taken.known_before,
        "status": taken.reading.state,
        "statements": [
            {
                "path": each.path,
                "permit": each.permit,
                "from": None if each.days.first == date.min else each.days.first.isoformat(),
                "until": None if each.days.last == date.max else each.days.last.isoformat(),
                "data": [str(coding) for coding in each.data[-1]] if each.data else [],
                "purposes": [str(coding) for coding in each.purposes[-1]] if each.purposes else [],
            }
            for each in taken.reading.all_statements()
        ],
        "given": [_cell(consent_id, terms) for consent_id, terms in taken.wanted.give.items()],
        "refused": [_cell(consent_id, terms) for consent_id, terms in taken.wanted.refuse.items()],
        "withdrawn": list(taken.withdrawn),
        "gaps": [vars(gap) for gap in taken.wanted.gaps],
    }


def _same(terms: Terms) -> tuple[str, ...]:
    return (terms.person_id, terms.recipient, terms.purpose, *terms.categories)


def _named(terms: Terms) -> str:
    return ", ".join((terms.recipient, *terms.categories, terms.purpose))


def _cell(consent_id: str, terms: Terms) -> dict[str, Any]:
    return {
        "consent_id": consent_id,
        "recipient": terms.recipient,
        "categories": list(terms.categories),
        "purpose": terms.purpose,
        "from": terms.valid_from.isoformat() if terms.valid_from else None,
        "until": terms.valid_until.isoformat() if terms.valid_until else None,
    }


def _text(content: Json) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
