"""A register of consents for each test, with the keys of persons."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from services.consent.domain.consent import Consent
from services.consent.domain.imported_consent import ConsentImported, ImportedConsent
from services.consent.interchange.importing import Fault, Import, Taken
from services.consent.interchange.translation import Directory
from services.consent.queries import ConsentView, Register
from shared.database import Database
from shared.domain import Json
from shared.eventstore import AgencyStore, EventStore
from tests.interop.consents import DIRECTORY, found
from tests.support.stores import place

TODAY = date(2026, 3, 2)


@dataclass
class Desk:
    """One agency that takes consents over."""

    events: EventStore
    database: Database
    today: date = TODAY
    directory: Directory = DIRECTORY
    agency: str = "jobcenter"

    @property
    def store(self) -> AgencyStore:
        return self.events.agency(self.agency, actor="import")

    @property
    def importing(self) -> Import:
        return Import(self.agency, b"s" * 32, self.directory, self.today)

    def take(self, *contents: Json) -> list[Taken]:
        looked, faults = self.importing.looked_at([found(each) for each in contents])
        assert not faults
        return [self.importing.take(each, self.store, self.database) for each in looked]

    def faults(self, *contents: Json) -> list[Fault]:
        return self.importing.looked_at([found(each) for each in contents])[1]

    def view(self, consent_id: str) -> ConsentView:
        return Register(self.store, self.today).consent(consent_id)

    def consent(self, consent_id: str) -> Consent:
        return self.store.load(Consent, consent_id)[0]

    def imported(self, import_id: str) -> ConsentImported:
        imported = self.store.load(ImportedConsent, import_id)[0].imported
        assert imported is not None
        return imported


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with place("file", tmp_path) as here:
        database = here.database()
        yield Desk(here.store(database), database)
        database.close()
