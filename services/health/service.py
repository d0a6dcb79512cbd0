"""What may be asked of health over RPC."""

from services.health import handlers
from services.health.copies import Copies, CopyPage, CopyQuestion, CorrectRecord, HeldAnswer, HeldQuestion
from services.health.domain.assessment import RecordAssessment
from services.health.domain.finding import RecordFinding
from services.health.projections import FILES, NEWEST
from services.health.queries import (
    AssessmentQuestion,
    AssessmentView,
    ContentAnswer,
    ContentQuestion,
    HealthFiles,
    QuietPage,
    QuietQuestion,
)
from shared import runtime
from shared.domain import Receipt
from shared.eventstore import AgencyStore, catch_up
from shared.file_views import LookPage, LooksQuestion, looks, note_look
from shared.identity import Caller


class HealthService:
    name = "health"

    context = runtime.service_context()
    store = runtime.store()
    database = runtime.database()
    clock = runtime.clock()

    @runtime.rpc
    def record_assessment(self, command: RecordAssessment, caller: Caller) -> Receipt:
        return handlers.record_assessment(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def record_finding(self, command: RecordFinding, caller: Caller) -> Receipt:
        return handlers.record_finding(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def assessment(self, question: AssessmentQuestion, caller: Caller) -> AssessmentView:
        found = HealthFiles(self._of(caller)).assessment(question.assessment_id)
        note_look(self.context, caller, found.person_id, "assessment", automatic=question.automatic)
        return found

    @runtime.rpc
    def looks(self, question: LooksQuestion, caller: Caller) -> LookPage:
        with self.database.read() as tx:
            return looks(tx, caller.agency, question)

    @runtime.rpc
    def content(self, question: ContentQuestion, caller: Caller) -> ContentAnswer:
        catch_up(self.store, FILES)
        with self.database.read() as tx:
            return HealthFiles(self._of(caller)).content(tx, question)

    @runtime.rpc
    def correct_record(self, command: CorrectRecord, caller: Caller) -> Receipt:
        return handlers.correct_record(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def held(self, question: HeldQuestion, caller: Caller) -> HeldAnswer:
        catch_up(self.store, FILES)
        catch_up(self.store, NEWEST.projection)
        with self.database.read() as tx:
            return Copies(self._of(caller)).held(tx, question.person_id)

    @runtime.rpc
    def quiet(self, question: QuietQuestion, caller: Caller) -> QuietPage:
        catch_up(self.store, NEWEST.projection)
        with self.database.read() as tx:
            return HealthFiles(self._of(caller)).quiet(tx, question)

    @runtime.rpc
    def copy(self, question: CopyQuestion, caller: Caller) -> CopyPage:
        catch_up(self.store, FILES)
        with self.database.read() as tx:
            return Copies(self._of(caller)).page(tx, question)

    def _of(self, caller: Caller) -> AgencyStore:
        return self.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)
