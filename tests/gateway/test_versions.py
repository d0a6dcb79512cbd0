"""ETag and If-Match: nobody overwrites what they have not seen."""

from shared.errors import Conflict
from tests.gateway.world import ME, SOME_ID, World

COMPANION = {"main_companion": "meyer", "reason": "Elternzeit"}


def test_an_answer_that_is_known_is_not_sent_again(world):
    first = world.ask("case_worker", "GET", f"/cases/{SOME_ID}")
    assert first.headers["ETag"] == '"3"'
    again = world.ask("case_worker", "GET", f"/cases/{SOME_ID}", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", '"3"')
    world.calls.answers["cases.case"] = {"version": 4}
    changed = world.ask("case_worker", "GET", f"/cases/{SOME_ID}", If_None_Match=first.headers["ETag"])
    assert changed.status_code == 200


def test_what_an_erasure_or_a_new_day_changes_gets_another_etag(world):
    known = world.ask("case_worker", "GET", f"/persons/{ME}").headers["ETag"]
    world.calls.answers["cases.person"] = {"name": {"$erased": True}}
    erased = world.ask("case_worker", "GET", f"/persons/{ME}", If_None_Match=known)
    assert (erased.status_code, erased.json["name"]) == (200, {"$erased": True})
    before = world.ask("case_worker", "GET", f"/consents/{SOME_ID}").headers["ETag"]
    world.calls.answers["consent.consent"] = {"status": "expired"}
    assert world.ask("case_worker", "GET", f"/consents/{SOME_ID}", If_None_Match=before).status_code == 200


def test_a_change_without_the_version_seen_is_refused_before_anything_is_looked_up(world):
    answer = world.ask("case_worker", "PUT", f"/cases/{SOME_ID}/main-companion", COMPANION)
    assert (answer.status_code, answer.json["code"]) == (428, "request.version_missing")
    assert world.calls.asked == []


def test_the_version_seen_travels_to_the_service(world):
    path = f"/cases/{SOME_ID}/main-companion"
    assert world.ask("case_worker", "PUT", path, COMPANION, If_Match='"3"').status_code == 200
    assert world.calls.asked[0][2]["expected_version"] == 3


def test_a_version_that_no_longer_stands_is_a_conflict(world):
    world.calls.answers["cases.hand_over_case"] = Conflict("case.changed", "the case was changed meanwhile")
    answer = world.ask("case_worker", "PUT", f"/cases/{SOME_ID}/main-companion", COMPANION, If_Match='"2"')
    assert (answer.status_code, answer.json["code"]) == (412, "case.changed")


def test_an_if_match_that_is_none_of_ours_is_a_conflict(world: World):
    for foreign in ("*", "3", '"abc"', 'W/"3"', '"1", "2"'):
        answer = world.ask("case_worker", "PUT", f"/cases/{SOME_ID}/main-companion", COMPANION, If_Match=foreign)
        assert (answer.status_code, answer.json["code"]) == (412, "request.version_unknown")
