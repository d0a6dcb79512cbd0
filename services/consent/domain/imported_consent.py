"""Imported consent (übernommene Einwilligung): what somebody signed elsewhere, as it came, and what became of it here.

The original stays beside the result, because what has no counterpart here must not be lost, and because the person may
ask what they signed (Art. 7 Abs. 1, Art. 15 DSGVO). It permits nothing; the consents it led to stand by themselves.
"""

from dataclasses import dataclass
from datetime import date

from shared.domain import Event, Personal, event


@event(version=1)
class ConsentImported(Event):
    """`original` is the file's text of this one consent, `report` names what has no counterpart (JSON).

    `digest` tells the same text from another one: keyed, so that nobody can find the text by it. `given` and `refused`
    are the ids of what stands by it here, `withdrawn` of what stood by an earlier text and no longer does.
    """

    person_id: str
    format: str
    digest: str
    original: Personal[str]
    report: Personal[str]
    given: tuple[str, ...]
    refused: tuple[str, ...]
    withdrawn: tuple[str, ...]
    on: date


@dataclass(frozen=True)
class ImportedConsent:
    imported: ConsentImported | None = None

    def take_over(self, found: ConsentImported) -> list[ConsentImported]:
        """The same text for the same consents again changes nothing."""
        known = self.imported
        return [] if known and _said(known) == _said(found) else [found]

    def apply(self, event: ConsentImported) -> "ImportedConsent":
        return ImportedConsent(imported=event)


def _said(event: ConsentImported) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    return (event.digest, event.person_id, event.given, event.refused)
