"""Erasure (Löschung), Art. 17 DSGVO, § 84 SGB X: this service has done its part (`shared.erasure`)."""

from shared.domain import Event, event


@event(version=1)
class HealthDataErased(Event):
    """What health held about the person is unreadable and out of its lists."""

    person_id: str
    erasure_id: str
