"""Pairwise reference (Partnerkennzeichen): the random name under which one partner knows one person.

Kept per person and partner, so that two partners cannot join what they received (§ 67c SGB X; Art. 25 DSGVO).
"""

from dataclasses import dataclass

from shared.domain import Event, event


@event(version=1)
class ReferenceAssigned(Event):
    person_id: str
    partner_id: str
    reference: str


@dataclass(frozen=True)
class PairwiseReference:
    reference: str = ""

    def assign(self, person_id: str, partner_id: str, fresh: str) -> list[ReferenceAssigned]:
        """Once and for good; `fresh` is a random value that is used only the first time."""
        if self.reference:
            return []
        return [ReferenceAssigned(person_id=person_id, partner_id=partner_id, reference=fresh)]

    def apply(self, event: ReferenceAssigned) -> "PairwiseReference":
        return PairwiseReference(reference=event.reference)
