"""How older events of this service are read today."""

from services.consent.domain.consent import ConsentGiven, ConsentRefused
from services.consent.domain.objection import ObjectionNoticeGiven
from services.consent.domain.release_from_secrecy import ReleaseGiven
from shared.domain import Json, upcast

ADDED_TERMS: Json = {"use": None, "representation_id": None, "giver_id": None, "proof": None}
ADDED_INFORMATION: Json = {"recipient": True, "categories": True, "plain_text": None}


@upcast(ConsentGiven, version=1)
@upcast(ConsentRefused, version=1)
def without_limits(data: Json) -> Json:
    """Version 1 knew no limits of use, no representation and no proof; its sheet named recipient and categories."""
    terms = data["terms"]
    information = {**terms["information"], **ADDED_INFORMATION}
    return {**data, "terms": {**terms, **ADDED_TERMS, "information": information}}


@upcast(ReleaseGiven, version=1)
def by_the_person(data: Json) -> Json:
    """Version 1 was given by the person herself."""
    return {**data, "given_by": ["data_subject"], "representation_id": None}


@upcast(ObjectionNoticeGiven, version=1)
def form_not_noted(data: Json) -> Json:
    """Version 1 noted the day of the notice alone."""
    return {**data, "form": None, "text_version": None, "language": None}
