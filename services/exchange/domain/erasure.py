"""Erasure (Löschung), Art. 17 DSGVO, § 84 SGB X: this service has done its part (`shared.erasure`)."""

from shared.domain import Event, event


@event(version=1)
class ExchangeDataErased(Event):
    """What partner exchange held about the person is unreadable, out of its lists and out of the partners' queues."""

    person_id: str
    erasure_id: str
