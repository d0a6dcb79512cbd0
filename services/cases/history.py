"""How older events of this service are read today."""

from services.cases.domain.person import RestrictionLifted
from shared.domain import Json, upcast


@upcast(RestrictionLifted, version=1)
def nobody_named(data: Json) -> Json:
    """Version 1 noted the day alone."""
    return {**data, "by": "", "informed_on": None}
