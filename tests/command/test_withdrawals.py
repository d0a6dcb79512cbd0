"""`handschlag withdrawals`: at a terminal the same report as over HTTP."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from services.command.withdrawals import withdrawals
from services.exchange.queries import MissingAcknowledgements, MissingQuestion
from shared.errors import NotFound
from shared.schema import dump
from tests.exchange.test_withdrawal import Story
from tests.support.local_platform import local_platform
from tests.support.workplace import NAME, Workplace

Call = Callable[..., Result]
FOUR_DAYS_ON = "4"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A partner has the data, the person withdrew, and the partner is silent."""
    with local_platform(tmp_path_factory.mktemp("office")) as platform:
        story = Story(Workplace.of(platform))
        story.disclose()
        story.partner.documents()
        story.withdraw()
        yield story


@pytest.fixture
def call(story: Story, monkeypatch: pytest.MonkeyPatch) -> Call:
    settings = story.at.platform.contexts["exchange"].settings
    monkeypatch.setenv("HANDSCHLAG_STATE", str(settings.state))
    monkeypatch.setenv("HANDSCHLAG_KEYS", str(settings.keys))

    def call(*arguments: str, agency: str = story.at.agency, shift: str = "0") -> Result:
        monkeypatch.setenv("HANDSCHLAG_CLOCK_SHIFT", shift)
        return CliRunner().invoke(withdrawals, ["--agency", agency, *arguments], catch_exceptions=False)

    return call


def test_who_has_not_confirmed_is_listed_with_what_they_had(call: Call, story: Story) -> None:
    told = call()
    assert told.exit_code == 0
    for text in (story.partner.partner_id, story.consent_id, "coaching_content", "told not yet", "stays lawful"):
        assert text in told.output, text
    assert told.output.endswith("1 without confirmation, 0 of them overdue\n")
    assert NAME not in told.output


def test_past_the_term_it_is_overdue_and_the_command_still_ends_with_zero(call: Call) -> None:
    in_time, late = call("--overdue"), call("--overdue", shift=FOUR_DAYS_ON)
    assert (in_time.exit_code, in_time.output) == (0, "0 without confirmation, 0 of them overdue\n")
    assert late.exit_code == 0
    assert "OVERDUE" in late.output
    assert late.output.endswith("1 without confirmation, 1 of them overdue\n")


def test_as_json_it_is_what_the_service_answers(call: Call, story: Story) -> None:
    answered = story.at.ask("exchange", "missing_acknowledgements", MissingQuestion(), MissingAcknowledgements)
    assert json.loads(call("--json").output) == json.loads(json.dumps(dump(answered)))
    assert json.loads(call("--json", "--overdue").output) == {"items": []}


def test_an_agency_that_nobody_knows_is_named_as_such(call: Call) -> None:
    with pytest.raises(NotFound, match=r"agency\.unknown"):
        call(agency="nowhere")
