"""What may be asked of case management over RPC."""

from services.cases import handlers
from services.cases.domain.case import ConfirmSafetyCheck, HandOverCase, OpenCase
from services.cases.domain.file_entry import RecordEntry
from services.cases.domain.person import RegisterPerson
from services.cases.projections import FILES
from services.cases.queries import (
    CasePage,
    CaseQuestion,
    CasesQuestion,
    CaseView,
    ContentAnswer,
    ContentQuestion,
    Files,
    PersonQuestion,
    PersonView,
)
from shared import runtime
from shared.domain import Receipt
from shared.eventstore import AgencyStore, catch_up
from shared.identity import Caller


class CasesService:
    name = "cases"

    store = runtime.store()
    database = runtime.database()
    clock = runtime.clock()

    @runtime.rpc
    def register_person(self, command: RegisterPerson, caller: Caller) -> Receipt:
        return handlers.register_person(command, self._of(caller), command_id=caller.command_id)

    @runtime.rpc
    def person(self, question: PersonQuestion, caller: Caller) -> PersonView:
        return Files(self._of(caller)).person(question.person_id)

    @runtime.rpc
    def open_case(self, command: OpenCase, caller: Caller) -> Receipt:
        return handlers.open_case(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def case(self, question: CaseQuestion, caller: Caller) -> CaseView:
        return Files(self._of(caller)).case(question.case_id)

    @runtime.rpc
    def cases(self, question: CasesQuestion, caller: Caller) -> CasePage:
        catch_up(self.store, FILES)
        with self.database.read() as tx:
            return Files(self._of(caller)).cases(tx, question)

    @runtime.rpc
    def hand_over_case(self, command: HandOverCase, caller: Caller) -> Receipt:
        return handlers.hand_over_case(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def confirm_safety_check(self, command: ConfirmSafetyCheck, caller: Caller) -> Receipt:
        today = self.clock.today()
        return handlers.confirm_safety_check(
            command, self._of(caller), caller.actor, today, command_id=caller.command_id
        )

    @runtime.rpc
    def record_entry(self, command: RecordEntry, caller: Caller) -> Receipt:
        return handlers.record_entry(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def content(self, question: ContentQuestion, caller: Caller) -> ContentAnswer:
        catch_up(self.store, FILES)
        with self.database.read() as tx:
            return Files(self._of(caller)).content(tx, question)

    def _of(self, caller: Caller) -> AgencyStore:
        return self.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)
