"""Where a norm was used: counted from the log of one agency, without persons."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services.audit.usage import Usage, UsesQuestion
from shared.audit import Leaf
from shared.errors import Invalid

BEGIN = datetime(2026, 5, 4, 10, tzinfo=UTC)
PLAN = "§ 15 SGB II"
OLD_PLAN = "§ 15 SGB II (Fassung bis 30.6.2023)"


def decided(number, *norms, kind="intent"):
    at = BEGIN + timedelta(days=number)
    return Leaf(kind=kind, time=at, sender="jobcenter", recipient="drv", decision="permit", norms=norms)


@pytest.fixture
def log(installation):
    made = installation.log()
    norm = "§ 69 Abs. 1 Nr. 1 SGB X"
    entries = [decided(n, norm, "§ 78 SGB X") for n in range(7)]
    entries += [decided(9, "§ 69 Abs. 1 SGB X"), decided(8, norm, kind="denial"), decided(10, OLD_PLAN)]
    entries += [decided(11, norm, kind="looked")]
    for index, leaf in enumerate(entries):
        made.append("jobcenter", leaf, key=f"ruling-{index}")
    made.append("elsewhere", decided(12, norm), key="ruling-0")
    return made


def uses(installation, norm, agency="jobcenter"):
    database = installation.database()
    try:
        return Usage(agency, database).of(UsesQuestion(norm=norm))
    finally:
        database.close()


def test_decisions_that_cite_exactly_this_norm_are_counted_with_the_newest_days(installation, log):
    found = uses(installation, "§ 69 Abs. 1 Nr. 1 SGB X")
    assert (found.lawful, found.refused) == (7, 1)
    assert found.days == tuple(date(2026, 5, 4) + timedelta(days=n) for n in (8, 6, 5, 4, 3))


def test_what_a_norm_was_called_in_an_older_version_counts_too(installation, log):
    assert uses(installation, PLAN).lawful == 1


def test_the_log_of_another_agency_is_not_counted(installation, log):
    assert uses(installation, "§ 69 Abs. 1 Nr. 1 SGB X", "elsewhere").lawful == 1
    assert uses(installation, "§ 69 Abs. 1 Nr. 1 SGB X", "nobody").lawful == 0


@pytest.mark.parametrize("norm", ["§ 203 StGB", "§ 69 Abs. 1 Nr. 10 SGB X", "Art. 1 DSGVO"])
def test_a_norm_that_no_decision_cites_is_found_nowhere(installation, log, norm):
    found = uses(installation, norm)
    assert (found.lawful, found.refused, found.days) == (0, 0, ())


@pytest.mark.parametrize("text", ["", "intent", '"', "%", "Paragraf 3"])
def test_what_is_no_citation_is_refused_by_name(installation, log, text):
    with pytest.raises(Invalid) as refused:
        uses(installation, text)
    assert refused.value.problems[0].pointer == "/norm"
