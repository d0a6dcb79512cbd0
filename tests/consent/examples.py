"""What happens in the tests of data protection."""

from datetime import date
from typing import Any

from services.consent.domain.consent import (
    ConsentGiven,
    ConsentOffered,
    ConsentPaused,
    ConsentRefused,
    ConsentReplaced,
    ConsentResumed,
    ConsentUsed,
    ConsentWithdrawn,
    WithdrawalNoted,
)
from services.consent.domain.release_from_secrecy import GiveRelease, ReleaseForm, ReleaseGiven, ReleaseWithdrawn
from services.consent.domain.terms import Answer, Form, Giver, Offer, Terms
from services.consent.domain.use_limit import UseLimit
from tests.support.workplace import INFORMED

YESTERDAY, TODAY, TOMORROW = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)
LAST_DAY, DAY_AFTER = date(2026, 9, 30), date(2026, 10, 1)


def terms(**changed: Any) -> Terms:
    usual: dict[str, Any] = {
        "person_id": "p-1",
        "recipient": "drv",
        "purpose": "referral",
        "categories": ("coaching_content",),
        "form": Form.WRITTEN,
        "given_by": (Giver.DATA_SUBJECT,),
        "information": INFORMED,
        "voluntary": True,
        "valid_from": TODAY,
        "valid_until": LAST_DAY,
    }
    return Terms(**(usual | changed))


TERMS = terms()
GIVEN = ConsentGiven(terms=TERMS, on=TODAY)
LATER = ConsentGiven(terms=terms(valid_from=TOMORROW), on=TODAY)
REFUSED = ConsentRefused(terms=TERMS, on=TODAY)
WITHDRAWN = ConsentWithdrawn(person_id="p-1", on=TODAY)
WITHDRAWN_TOMORROW = ConsentWithdrawn(person_id="p-1", on=TOMORROW)

NOTED = WithdrawalNoted(on=TODAY)
PAUSED, RESUMED = ConsentPaused(person_id="p-1", on=TODAY), ConsentResumed(person_id="p-1", on=TOMORROW)
REPLACED = ConsentReplaced(person_id="p-1", by="c-2", on=TODAY)
ONCE = ConsentGiven(terms=terms(use=UseLimit(times=1)), on=TODAY)
USED = ConsentUsed(person_id="p-1", use_id="d-1", on=TODAY)
OFFER = Offer(
    person_id="p-1",
    recipient="drv",
    purpose="referral",
    categories=("coaching_content",),
    information=INFORMED,
    answer_by=LAST_DAY,
    valid_from=TODAY,
)
OFFERED = ConsentOffered(offer=OFFER, on=TODAY)
ANSWER = Answer(form=Form.ELECTRONIC, given_by=(Giver.DATA_SUBJECT,), voluntary=True)

RELEASE = GiveRelease(
    release_id="r-1",
    person_id="p-1",
    professional="Dr. Beispiel",
    recipient="drv",
    categories=("medical_report_76",),
    form=ReleaseForm.WRITTEN,
    valid_until=LAST_DAY,
)
RELEASED = ReleaseGiven(
    person_id="p-1",
    professional="Dr. Beispiel",
    recipient="drv",
    categories=("medical_report_76",),
    form=ReleaseForm.WRITTEN,
    on=TODAY,
    valid_until=LAST_DAY,
)
RELEASE_WITHDRAWN = ReleaseWithdrawn(person_id="p-1", on=TOMORROW)
