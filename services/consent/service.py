"""What may be asked of data protection over RPC."""

from services.consent import handlers
from services.consent.domain.consent import GiveConsent, RefuseConsent, WithdrawConsent
from services.consent.domain.objection import RaiseObjection, RecordObjectionNotice, TakeBackObjection
from services.consent.domain.release_from_secrecy import GiveRelease, WithdrawRelease
from services.consent.projections import REGISTER
from services.consent.queries import (
    ConsentList,
    ConsentQuestion,
    ConsentsQuestion,
    ConsentView,
    Evidence,
    EvidenceQuestion,
    Register,
    ReleaseQuestion,
    ReleaseView,
    Standing,
    StandingQuestion,
)
from shared import runtime
from shared.domain import Receipt
from shared.eventstore import AgencyStore, catch_up
from shared.identity import Caller


class ConsentService:
    name = "consent"

    store = runtime.store()
    database = runtime.database()
    clock = runtime.clock()

    @runtime.rpc
    def give_consent(self, command: GiveConsent, caller: Caller) -> Receipt:
        return handlers.give_consent(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def refuse_consent(self, command: RefuseConsent, caller: Caller) -> Receipt:
        return handlers.refuse_consent(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def withdraw_consent(self, command: WithdrawConsent, caller: Caller) -> Receipt:
        return handlers.withdraw_consent(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def give_release(self, command: GiveRelease, caller: Caller) -> Receipt:
        return handlers.give_release(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def withdraw_release(self, command: WithdrawRelease, caller: Caller) -> Receipt:
        return handlers.withdraw_release(command, self._of(caller), self.clock.today(), command_id=caller.command_id)

    @runtime.rpc
    def record_objection_notice(self, command: RecordObjectionNotice, caller: Caller) -> Receipt:
        today = self.clock.today()
        return handlers.change_objection(
            command.person_id,
            lambda objection: objection.give_notice(today),
            self._of(caller),
            command_id=caller.command_id,
        )

    @runtime.rpc
    def raise_objection(self, command: RaiseObjection, caller: Caller) -> Receipt:
        today = self.clock.today()
        return handlers.change_objection(
            command.person_id,
            lambda objection: objection.raise_it(today),
            self._of(caller),
            command_id=caller.command_id,
        )

    @runtime.rpc
    def take_back_objection(self, command: TakeBackObjection, caller: Caller) -> Receipt:
        today = self.clock.today()
        return handlers.change_objection(
            command.person_id,
            lambda objection: objection.take_back(today),
            self._of(caller),
            command_id=caller.command_id,
        )

    @runtime.rpc
    def consent(self, question: ConsentQuestion, caller: Caller) -> ConsentView:
        return self._register(caller).consent(question.consent_id)

    @runtime.rpc
    def consents(self, question: ConsentsQuestion, caller: Caller) -> ConsentList:
        catch_up(self.store, REGISTER)
        with self.database.read() as tx:
            return self._register(caller).consents(tx, question.person_id)

    @runtime.rpc
    def release(self, question: ReleaseQuestion, caller: Caller) -> ReleaseView:
        return self._register(caller).release(question.release_id)

    @runtime.rpc
    def evidence(self, question: EvidenceQuestion, caller: Caller) -> Evidence:
        catch_up(self.store, REGISTER)
        with self.database.read() as tx:
            return self._register(caller).evidence(tx, question)

    @runtime.rpc
    def standing(self, question: StandingQuestion, caller: Caller) -> Standing:
        return self._register(caller).standing(question)

    def _of(self, caller: Caller) -> AgencyStore:
        return self.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)

    def _register(self, caller: Caller) -> Register:
        return Register(self._of(caller), self.clock.today())
