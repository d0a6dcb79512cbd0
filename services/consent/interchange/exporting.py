"""A person's consents as one FHIR Bundle: what stands here, and on wish what was signed elsewhere, as it came."""

from collections.abc import Iterator

import orjson

from services.consent.domain.imported_consent import ConsentImported, ImportedConsent
from services.consent.interchange.importing import original
from services.consent.interchange.writing import bundle, consent_resource
from services.consent.projections import REGISTER
from services.consent.queries import Register
from shared.domain import Json, category
from shared.eventstore import AgencyStore, EventStore, catch_up
from shared.runtime import ServiceContext

PAGE = 2000


def exported(held: ServiceContext, agency: str, by: str, person_id: str, *, originals: bool) -> Json:
    """The Bundle. An unknown person has an empty one; what was erased is not in it."""
    store = held.store.agency(agency, actor=by)
    catch_up(held.store, REGISTER)
    with held.database.read() as tx:
        known = Register(store, held.clock.today()).consents(tx, person_id).items
    found = [consent_resource(view, agency) for view in known]
    if originals:
        found += [each for each in map(original, imports(held.store, store, person_id)) if each is not None]
    return bundle(found)


def imports(events: EventStore, store: AgencyStore, person_id: str) -> Iterator[ConsentImported]:
    """What was taken over for a person, each in its last text. Looks through the log: an export is rare."""
    after, wanted, seen = 0, category(ImportedConsent), dict[str, None]()
    while rows := events.rows(after, PAGE):
        after = rows[-1].position
        for row in rows:
            if (row.agency, row.category) == (store.name, wanted) and orjson.loads(row.data)["person_id"] == person_id:
                seen[row.stream.removeprefix(f"{wanted}-")] = None
    for import_id in seen:
        imported = store.load(ImportedConsent, import_id)[0].imported
        if imported and imported.person_id == person_id:
            yield imported
