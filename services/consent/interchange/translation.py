"""Statements from elsewhere to consents and refusals here: each recipient, category and purpose a cell of its own.

Only what is known by name passes: recipients and persons that the agency names, texts whose information it vouches for,
codes of the tables. A prohibition that names something unknown forbids all that it may mean.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import reduce
from itertools import product

from services.consent.domain.terms import Form, Giver, Information, Proof, Terms
from services.consent.domain.use_limit import Period, UseLimit
from services.consent.interchange.days import Days, apart, together
from services.consent.interchange.reading import IN_FORCE, REFUSED, Coding, Codings, Gap, Reading, Statement, in_order
from services.consent.interchange.tables import tables
from shared.domain import value
from shared.errors import Invalid
from shared.policy import present_law
from shared.schema import dump, parse

Cell = tuple[str, str, str]
"""Recipient, category, purpose."""
DaySet = tuple[Days, ...]


@value
class KnownText:
    """What the agency vouches for about a text that people signed elsewhere: what was explained, how it was signed.

    `given_by` for files that do not say who gave it; `voluntary` only where the agency knows.
    """

    information: Information
    form: Form
    voluntary: bool = False
    given_by: tuple[Giver, ...] = ()


@value
class Directory:
    """Who and what is meant, as the agency knows it: references of the file to ids here, texts by their address."""

    persons: dict[str, str] = field(default_factory=dict)
    recipients: dict[str, str] = field(default_factory=dict)
    texts: dict[str, KnownText] = field(default_factory=dict)


@value
class OwnLimit:
    times: int | None = None
    per: Period | None = None
    erase_at: date | None = None


@value
class OwnTerms:
    """What an installation of ours writes beside the elements of the standard (`writing`)."""

    information: Information
    form: Form
    voluntary: bool
    given_by: tuple[Giver, ...]
    use: OwnLimit | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to stand here, by id, and what does not pass."""

    give: Mapping[str, Terms]
    refuse: Mapping[str, Terms]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Said:
    """How it was said: the same for all cells of one consent."""

    information: Information
    form: Form
    voluntary: bool
    given_by: tuple[Giver, ...]
    use: OwnLimit | None = None


NOBODY_TOLD = Information(
    text_version="unknown",
    language="und",
    purpose=False,
    consequences_of_refusal=False,
    right_to_withdraw=False,
    recipient=False,
    categories=False,
)


def translate(
    reading: Reading, directory: Directory, *, person_id: str, proof: str, today: date, named: Callable[[str], str]
) -> Wanted:
    """The cells of a consent as terms under ids that `named` derives from what they say. Never raises."""
    work = _Translation(reading, directory)
    said = work.said()
    explained = reading.given.last if reading.given and reading.given.last <= today else None
    given: dict[str, Terms] = {}
    refused: dict[str, Terms] = {}

    def terms(cell: Cell, days: Days, data_days: Days, how: Said) -> Terms:
        return Terms(
            person_id=person_id,
            recipient=cell[0],
            purpose=cell[2],
            categories=(cell[1],),
            form=how.form,
            given_by=how.given_by,
            information=how.information,
            voluntary=how.voluntary,
            valid_from=max(days.first, today),
            valid_until=None if days.last == date.max else days.last,
            use=_limit(how.use, data_days),
            proof=Proof(document=proof, explained_on=explained),
        )

    for cell, days, data_days in work.permitted():
        if said is None:
            break
        if days.last < today:
            work.gap("Consent.provision", "fhir.over", "it ended before it was imported", ", ".join(cell))
            continue
        ends = (days.first, days.last, data_days.first, data_days.last)
        limit = json.dumps(dump(said.use)) if said.use else ""
        key = "\n".join(("permit", *cell, *map(date.isoformat, ends), limit))
        given[named(key)] = terms(cell, days, data_days, said)
    no = said or Said(NOBODY_TOLD, Form.WRITTEN, voluntary=True, given_by=(Giver.DATA_SUBJECT,))
    for cell in work.denied(today):
        refused[named("\n".join(("deny", *cell)))] = terms(cell, Days(today), Days(), no)
    return Wanted(given, refused, in_order((*reading.gaps, *work.gaps)))


class _Translation:
    def __init__(self, reading: Reading, directory: Directory) -> None:
        self._reading = reading
        self._directory = directory
        self._statements = reading.all_statements()
        self._words = present_law().vocabulary
        self.gaps: list[Gap] = []

    def gap(self, path: str, code: str, why: str, what: str = "") -> None:
        self.gaps.append(Gap(path, code, why, what))

    def said(self) -> Said | None:
        """Who gave it, in which form, knowing what. None where that is not known: then there is no consent."""
        if self._reading.state != IN_FORCE:
            return None
        own = self._own()
        if own:
            return Said(own.information, own.form, own.voluntary, own.given_by, own.use)
        text = next((found for each in self._reading.texts if (found := self._directory.texts.get(each))), None)
        if text is None:
            why = "nobody here vouches for what was explained with this text (§ 67b Abs. 2 Satz 3 SGB X)"
            self.gap("Consent.policy", "fhir.text_unknown", why)
            return None
        if not text.voluntary:
            why = "nobody here vouches that it was given freely (Art. 7 Abs. 4 DSGVO)"
            self.gap("Consent.policy", "fhir.not_known_to_be_voluntary", why)
            return None
        givers = self._givers() if self._reading.performers else text.given_by
        if not givers and not self._reading.performers:
            self.gap("Consent.performer", "fhir.giver_unknown", "it is not said who gave it")
        if not givers:
            return None
        return Said(text.information, text.form, text.voluntary, givers)

    def _own(self) -> OwnTerms | None:
        if self._reading.own is None:
            return None
        try:
            return parse(OwnTerms, self._reading.own)
        except Invalid:
            self.gap("Consent.extension", "fhir.terms_unknown", "written by a version of ours that is not known here")
            return None

    def _givers(self) -> tuple[Giver, ...]:
        found = []
        for number, each in enumerate(self._reading.performers):
            if each and each == self._reading.patient:
                found.append(Giver.DATA_SUBJECT)
                continue
            why = "whoever speaks for the person needs a representation on record here"
            self.gap(f"Consent.performer[{number}]", "fhir.giver_unknown", why)
            return ()
        return tuple(found)

    def permitted(self) -> Iterator[tuple[Cell, Days, Days]]:
        """The cells that are permitted, with the days on which they are, and the days of the data."""
        if self._reading.state != IN_FORCE:
            return
        signed = Days(self._reading.given.last) if self._reading.given else Days()
        for cell in self._cells():
            yes, _ = self._says(self._reading.statements, cell)
            data_days = self._data_days(cell)
            for each in yes:
                days = each & signed
                if not days.empty and not data_days.empty:
                    yield cell, days, data_days

    def _says(self, statements: Sequence[Statement], cell: Cell) -> tuple[DaySet, DaySet]:
        """On which days the provisions side by side say yes, and on which no; where both, no."""
        yes: DaySet = ()
        no: DaySet = ()
        for statement in statements:
            inner_yes, inner_no = self._says(statement.inner, cell)
            decided = (*inner_yes, *inner_no)
            mine: DaySet = ()
            if self._is_about(statement, cell):
                mine = reduce(apart, decided, () if statement.days.empty else (statement.days,))
            yes = reduce(together, (*inner_yes, *(mine if statement.permit else ())), yes)
            no = reduce(together, (*inner_no, *(() if statement.permit else mine)), no)
        left = reduce(apart, no, yes)
        if left != yes:
            why = "permitted and forbidden at once: the no counts"
            self.gap(statements[0].path.removesuffix("[0]"), "import.contradiction", why, ", ".join(cell))
        return left, no

    def _is_about(self, statement: Statement, cell: Cell) -> bool:
        if statement.permit:
            return not statement.blocked and cell in set(self._named(statement))
        return self._forbids(statement, cell)

    def _data_days(self, cell: Cell) -> Days:
        """The days that the data may be from, after every permission about the cell."""
        found = [each.data_days for each in self._statements if each.permit and self._is_about(each, cell)]
        return reduce(Days.__and__, found, Days())

    def denied(self, today: date) -> Iterator[Cell]:
        """The cells to which somebody said no by name, without anything left that is permitted."""
        if self._reading.state not in (IN_FORCE, REFUSED):
            return
        allowed = {cell for cell, _, _ in self.permitted()}
        found: dict[Cell, None] = {}
        for statement in self._statements:
            said_no = not statement.permit or (self._reading.state == REFUSED and not statement.blocked)
            if said_no and statement.days.last >= today:
                found |= dict.fromkeys(self._named(replace(statement, permit=False)))
        yield from (cell for cell in found if cell not in allowed)

    def _cells(self) -> list[Cell]:
        found: dict[Cell, None] = {}
        for statement in self._statements:
            if not statement.permit:
                continue
            if statement.days.empty or statement.data_days.empty:
                why = "nothing is certainly meant: it ends before it begins, or is shorter than a day"
                self.gap(statement.path, "fhir.no_day", why)
                continue
            if not statement.blocked:
                found |= dict.fromkeys(self._named(statement))
        return list(found)

    def _named(self, statement: Statement) -> Iterator[Cell]:
        """The cells that lie wholly inside the statement."""
        recipients = self._recipients(statement)
        data = self._inside(statement, "data", statement.data, frozenset(self._words.categories))
        purposes = self._inside(statement, "purpose", statement.purposes, frozenset(self._words.purposes))
        yield from product(recipients, data, purposes)

    def _recipients(self, statement: Statement) -> list[str]:
        if not statement.actors:
            why = "no recipient is named; a consent here names it (Art. 4 Nr. 11 DSGVO)"
            self._about(statement, "actor", "fhir.blanket", why)
        levels = []
        for level in statement.actors:
            known = [self._directory.recipients.get(each, "") for each in level]
            if not all(known):
                why = "who is meant is not known here; name the partner in the directory"
                self._about(statement, "actor", "fhir.recipient_unknown", why)
            levels.append(known)
        return [each for each in _on_every_level(levels) if each]

    def _inside(
        self, statement: Statement, element: str, levels: Sequence[Codings], words: frozenset[str]
    ) -> list[str]:
        """The words that lie wholly inside something on every level."""
        if not levels:
            why = f"no {element} is named; a consent here names it (Art. 4 Nr. 11 DSGVO)"
            self._about(statement, element, "fhir.blanket", why)
        return _on_every_level(
            [
                [word for coding in level for word in self._words_in(statement, element, coding, words)]
                for level in levels
            ]
        )

    def _words_in(self, statement: Statement, element: str, coding: Coding, words: frozenset[str]) -> list[str]:
        known = tables().counterpart(coding.system, coding.code)
        if known is None or (coding.system in tables().own.values() and coding.code not in words):
            self._about(statement, element, "fhir.code_unknown", "not known here", str(coding))
            return []
        if not known.permits:
            self._about(statement, element, "fhir.no_counterpart", f"{known.name}: {known.why}", str(coding))
        return sorted(known.permits & words)

    def _about(self, statement: Statement, element: str, code: str, why: str, what: str = "") -> None:
        """What keeps a permission from passing. A prohibition is not kept from anything by it."""
        if statement.permit:
            self.gap(f"{statement.path}.{'code' if element == 'data' else element}", code, why, what)

    def _forbids(self, statement: Statement, cell: Cell) -> bool:
        """Whether something on every level may be this cell."""
        recipient, category, purpose = cell
        return (
            all(any(self._may_be(each, recipient) for each in level) for level in statement.actors)
            and all(_overlaps(level, category) for level in statement.data)
            and all(_overlaps(level, purpose) for level in statement.purposes)
        )

    def _may_be(self, reference: str, recipient: str) -> bool:
        return self._directory.recipients.get(reference, recipient) == recipient


def _overlaps(codings: Codings, word: str) -> bool:
    for coding in codings:
        known = tables().counterpart(coding.system, coding.code)
        if known is None or known.denies is None or word in known.denies:
            return True
    return False


def _on_every_level(levels: Sequence[Sequence[str]]) -> list[str]:
    first, *others = levels or [()]
    return [word for word in dict.fromkeys(first) if all(word in each for each in others)]


def _limit(use: OwnLimit | None, data_days: Days) -> UseLimit | None:
    first = None if data_days.first == date.min else data_days.first
    last = None if data_days.last == date.max else data_days.last
    if use is None and first is None and last is None:
        return None
    known = use or OwnLimit()
    return UseLimit(times=known.times, per=known.per, data_from=first, data_until=last, erase_at=known.erase_at)
