"""What may be asked of case management over RPC."""

from services.cases import handlers
from services.cases.asks import Asks
from services.cases.breaches import BreachDesk
from services.cases.copies import Copies, CopyPage, CopyQuestion
from services.cases.domain.breach import RecordBreach, RecordNotice
from services.cases.domain.case import CloseCase, ConfirmSafetyCheck, HandOverCase, OpenCase
from services.cases.domain.erasure import OrderErasure
from services.cases.domain.file_entry import RecordEntry
from services.cases.domain.person import LiftRestriction, RegisterPerson
from services.cases.domain.rights_request import AssignRequest, ExtendRequest, RequestRight
from services.cases.erasing import Eraser, Order
from services.cases.projections import FILES, RIGHTS
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
from services.cases.rights import RightsDesk
from services.cases.rights_views import (
    AnswerRight,
    BreachesQuestion,
    BreachPage,
    BreachQuestion,
    BreachView,
    ErasureQuestion,
    ErasureView,
    RightPage,
    RightQuestion,
    Rights,
    RightsQuestion,
    RightView,
)
from shared import runtime
from shared.domain import Receipt
from shared.eventstore import AgencyStore, catch_up
from shared.file_views import LookPage, LooksQuestion, looks, note_look
from shared.identity import Caller


class CasesService:
    name = "cases"

    context = runtime.service_context()
    store = runtime.store()
    database = runtime.database()
    clock = runtime.clock()

    @runtime.rpc
    def register_person(self, command: RegisterPerson, caller: Caller) -> Receipt:
        return handlers.register_person(command, self._of(caller), command_id=caller.command_id)

    @runtime.rpc
    def person(self, question: PersonQuestion, caller: Caller) -> PersonView:
        found = Files(self._of(caller)).person(question.person_id, self.clock.today())
        note_look(self.context, caller, question.person_id, "person", automatic=question.automatic)
        return found

    @runtime.rpc
    def lift_restriction(self, command: LiftRestriction, caller: Caller) -> Receipt:
        return handlers.lift_restriction(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def open_case(self, command: OpenCase, caller: Caller) -> Receipt:
        return handlers.open_case(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def case(self, question: CaseQuestion, caller: Caller) -> CaseView:
        found = Files(self._of(caller)).case(question.case_id)
        note_look(self.context, caller, found.person_id, "case", automatic=question.automatic)
        return found

    @runtime.rpc
    def cases(self, question: CasesQuestion, caller: Caller) -> CasePage:
        catch_up(self.store, FILES)
        with self.database.read() as tx:
            return Files(self._of(caller)).cases(tx, question)

    @runtime.rpc
    def hand_over_case(self, command: HandOverCase, caller: Caller) -> Receipt:
        return handlers.hand_over_case(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def close_case(self, command: CloseCase, caller: Caller) -> Receipt:
        today = self.clock.today()
        return handlers.close_case(command, self._of(caller), caller.actor, today, command_id=caller.command_id)

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

    @runtime.rpc
    def request_right(self, command: RequestRight, caller: Caller) -> Receipt:
        return self._rights(caller).request(command)

    @runtime.rpc
    def assign_request(self, command: AssignRequest, caller: Caller) -> Receipt:
        return self._rights(caller).assign(command)

    @runtime.rpc
    def extend_request(self, command: ExtendRequest, caller: Caller) -> Receipt:
        return self._rights(caller).extend(command)

    @runtime.rpc
    def answer_right(self, command: AnswerRight, caller: Caller) -> Receipt:
        self._catch_up()
        return self._rights(caller).answer(command)

    @runtime.rpc
    def right(self, question: RightQuestion, caller: Caller) -> RightView:
        return Rights(self._of(caller), self.clock.now()).right(question.request_id, caller.role)

    @runtime.rpc
    def rights(self, question: RightsQuestion, caller: Caller) -> RightPage:
        self._catch_up()
        with self.database.read() as tx:
            return Rights(self._of(caller), self.clock.now()).rights(tx, question)

    @runtime.rpc
    def order_erasure(self, command: OrderErasure, caller: Caller) -> Receipt:
        self._catch_up()
        desk = self._rights(caller)
        order = Order(
            erasure_id=command.erasure_id,
            person_id=command.person_id,
            reason=command.reason,
            by=caller.actor,
            held=desk.held(command.person_id),
            unlawful=command.unlawful,
        )
        eraser = Eraser(self._of(caller), self.database, self.context.keys)
        known = desk.knows(command.person_id)
        return eraser.order(order, known=known, command_id=caller.command_id, now=self.clock.now())

    @runtime.rpc
    def erasure(self, question: ErasureQuestion, caller: Caller) -> ErasureView:
        return Rights(self._of(caller), self.clock.now()).erasure(question.erasure_id)

    @runtime.rpc
    def copy(self, question: CopyQuestion, caller: Caller) -> CopyPage:
        self._catch_up()
        with self.database.read() as tx:
            return Copies(self._of(caller)).page(tx, question)

    @runtime.rpc
    def looks(self, question: LooksQuestion, caller: Caller) -> LookPage:
        with self.database.read() as tx:
            return looks(tx, caller.agency, question)

    @runtime.rpc
    def record_breach(self, command: RecordBreach, caller: Caller) -> Receipt:
        return self._breaches(caller).record(command)

    @runtime.rpc
    def give_breach_notice(self, command: RecordNotice, caller: Caller) -> Receipt:
        return self._breaches(caller).give_notice(command)

    @runtime.rpc
    def breach(self, question: BreachQuestion, caller: Caller) -> BreachView:
        return self._breaches(caller).view(question.breach_id)

    @runtime.rpc
    def breaches(self, question: BreachesQuestion, caller: Caller) -> BreachPage:
        self._catch_up()
        with self.database.read() as tx:
            return Rights(self._of(caller), self.clock.now()).breaches(tx, question)

    def _catch_up(self) -> None:
        catch_up(self.store, FILES)
        catch_up(self.store, RIGHTS)

    def _rights(self, caller: Caller) -> RightsDesk:
        return RightsDesk(
            store=self._of(caller),
            database=self.database,
            keys=self.context.keys,
            clock=self.clock,
            asks=Asks(self.context.calls, caller),
            caller=caller,
        )

    def _breaches(self, caller: Caller) -> BreachDesk:
        return BreachDesk(self._of(caller), self.clock, Asks(self.context.calls, caller), caller)

    def _of(self, caller: Caller) -> AgencyStore:
        return self.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)
