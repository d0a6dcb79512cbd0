"""The report of a withdrawal, as far as it leads from a recipient back to what the person had said."""

from services.exchange.queries import MissingAcknowledgements, MissingQuestion
from tests.exchange.test_withdrawal import Story
from tests.support.workplace import Workplace


def test_a_missing_confirmation_says_under_which_consent_the_partner_had_the_data(jobcenter: Workplace) -> None:
    story = Story(jobcenter)
    story.disclose()
    story.partner.documents()
    story.withdraw()
    (told,) = jobcenter.ask("exchange", "missing_acknowledgements", MissingQuestion(), MissingAcknowledgements).items
    assert told.declarations == (story.consent_id,)
