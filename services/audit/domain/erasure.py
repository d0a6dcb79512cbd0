"""Erasure (Löschung), Art. 17 DSGVO, § 84 SGB X: this service has done its part (`shared.erasure`)."""

from shared.domain import Event, event


@event(version=1)
class AuditDataErased(Event):
    """The log still stands and verifies; it no longer tells of whom or what."""

    person_id: str
    erasure_id: str
