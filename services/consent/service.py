"""What may be asked of data protection over RPC."""

from services.consent.domain.consent import (
    AcceptOffer,
    Consent,
    DeclineOffer,
    GiveConsent,
    OfferConsent,
    PauseConsent,
    RefuseConsent,
    ResumeConsent,
    WithdrawAll,
    WithdrawConsent,
)
from services.consent.domain.objection import (
    DecideObjection,
    ObjectToProcessing,
    RaiseObjection,
    RecordObjectionNotice,
    TakeBackObjection,
    TakeBackProcessingObjection,
)
from services.consent.domain.release_from_secrecy import GiveRelease, WithdrawRelease
from services.consent.domain.representation import EndRepresentation, RegisterRepresentation
from services.consent.domain.terms import Sheet
from services.consent.handlers import Desk
from services.consent.projections import REGISTER
from services.consent.queries import (
    ConsentList,
    ConsentQuestion,
    ConsentsQuestion,
    ConsentView,
    Evidence,
    EvidenceQuestion,
    ObjectionQuestion,
    ObjectionView,
    OfferView,
    Register,
    ReleaseQuestion,
    ReleaseView,
    RepresentationList,
    RepresentationQuestion,
    RepresentationsQuestion,
    RepresentationView,
    SheetView,
    Standing,
    StandingQuestion,
    UseConsents,
    Used,
    standing,
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
    def offer_consent(self, command: OfferConsent, caller: Caller) -> Receipt:
        return self._desk(caller).offer(command, command_id=caller.command_id)

    @runtime.rpc
    def accept_offer(self, command: AcceptOffer, caller: Caller) -> Receipt:
        return self._desk(caller).accept(command, command_id=caller.command_id)

    @runtime.rpc
    def decline_offer(self, command: DeclineOffer, caller: Caller) -> Receipt:
        return self._desk(caller).decline(command, command_id=caller.command_id)

    @runtime.rpc
    def give_consent(self, command: GiveConsent, caller: Caller) -> Receipt:
        return self._desk(caller).give(command, command_id=caller.command_id)

    @runtime.rpc
    def refuse_consent(self, command: RefuseConsent, caller: Caller) -> Receipt:
        return self._desk(caller).refuse(command, command_id=caller.command_id)

    @runtime.rpc
    def record_sheet(self, command: Sheet, caller: Caller) -> SheetView:
        self._desk(caller).record(command, command_id=caller.command_id)
        register = self._register(caller)
        return SheetView(items=tuple(register.consent(cell.consent_id) for cell in command.cells))

    @runtime.rpc
    def withdraw_consent(self, command: WithdrawConsent, caller: Caller) -> Receipt:
        return self._desk(caller).change(
            command.consent_id,
            lambda consent, today: consent.withdraw(today, command.person_id),
            command_id=caller.command_id,
        )

    @runtime.rpc
    def withdraw_all(self, command: WithdrawAll, caller: Caller) -> SheetView:
        catch_up(self.store, REGISTER)
        register = self._register(caller)
        with self.database.read() as tx:
            ids = register.given(tx, command.person_id, command.recipient)
        self._desk(caller).withdraw_all(ids, command_id=caller.command_id)
        return SheetView(items=tuple(map(register.consent, ids)))

    @runtime.rpc
    def pause_consent(self, command: PauseConsent, caller: Caller) -> Receipt:
        return self._desk(caller).change(command.consent_id, Consent.pause, command_id=caller.command_id)

    @runtime.rpc
    def resume_consent(self, command: ResumeConsent, caller: Caller) -> Receipt:
        return self._desk(caller).change(command.consent_id, Consent.resume, command_id=caller.command_id)

    @runtime.rpc
    def use_consents(self, command: UseConsents, caller: Caller) -> Used:
        return self._desk(caller).use(command)

    @runtime.rpc
    def give_release(self, command: GiveRelease, caller: Caller) -> Receipt:
        return self._desk(caller).give_release(command, command_id=caller.command_id)

    @runtime.rpc
    def withdraw_release(self, command: WithdrawRelease, caller: Caller) -> Receipt:
        return self._desk(caller).withdraw_release(command, command_id=caller.command_id)

    @runtime.rpc
    def register_representation(self, command: RegisterRepresentation, caller: Caller) -> Receipt:
        return self._desk(caller).register_representation(command, command_id=caller.command_id)

    @runtime.rpc
    def end_representation(self, command: EndRepresentation, caller: Caller) -> Receipt:
        return self._desk(caller).end_representation(command.representation_id, command_id=caller.command_id)

    @runtime.rpc
    def record_objection_notice(self, command: RecordObjectionNotice, caller: Caller) -> Receipt:
        return self._desk(caller).change_objection(
            command.person_id, lambda known, today: known.give_notice(today, command), command_id=caller.command_id
        )

    @runtime.rpc
    def raise_objection(self, command: RaiseObjection, caller: Caller) -> Receipt:
        return self._desk(caller).change_objection(
            command.person_id, lambda known, today: known.raise_it(today), command_id=caller.command_id
        )

    @runtime.rpc
    def take_back_objection(self, command: TakeBackObjection, caller: Caller) -> Receipt:
        return self._desk(caller).change_objection(
            command.person_id, lambda known, today: known.take_back(today), command_id=caller.command_id
        )

    @runtime.rpc
    def object_to_processing(self, command: ObjectToProcessing, caller: Caller) -> Receipt:
        return self._desk(caller).change_objection(
            command.person_id,
            lambda known, today: known.object_to_processing(command, today),
            command_id=caller.command_id,
        )

    @runtime.rpc
    def decide_objection(self, command: DecideObjection, caller: Caller) -> Receipt:
        return self._desk(caller).change_objection(
            command.person_id,
            lambda known, today: known.decide(command, caller.actor, today),
            command_id=caller.command_id,
        )

    @runtime.rpc
    def take_back_processing_objection(self, command: TakeBackProcessingObjection, caller: Caller) -> Receipt:
        return self._desk(caller).change_objection(
            command.person_id,
            lambda known, today: known.take_back_processing(command, today),
            command_id=caller.command_id,
        )

    @runtime.rpc
    def consent(self, question: ConsentQuestion, caller: Caller) -> ConsentView:
        return self._register(caller).consent(question.consent_id)

    @runtime.rpc
    def offer(self, question: ConsentQuestion, caller: Caller) -> OfferView:
        return self._register(caller).offer(question.consent_id)

    @runtime.rpc
    def consents(self, question: ConsentsQuestion, caller: Caller) -> ConsentList:
        catch_up(self.store, REGISTER)
        with self.database.read() as tx:
            return self._register(caller).consents(tx, question.person_id)

    @runtime.rpc
    def release(self, question: ReleaseQuestion, caller: Caller) -> ReleaseView:
        return self._register(caller).release(question.release_id)

    @runtime.rpc
    def representation(self, question: RepresentationQuestion, caller: Caller) -> RepresentationView:
        return self._register(caller).representation(question.representation_id)

    @runtime.rpc
    def representations(self, question: RepresentationsQuestion, caller: Caller) -> RepresentationList:
        catch_up(self.store, REGISTER)
        with self.database.read() as tx:
            return self._register(caller).representations(tx, question.person_id)

    @runtime.rpc
    def objection(self, question: ObjectionQuestion, caller: Caller) -> ObjectionView:
        return self._register(caller).objection(question.person_id)

    @runtime.rpc
    def evidence(self, question: EvidenceQuestion, caller: Caller) -> Evidence:
        catch_up(self.store, REGISTER)
        with self.database.read() as tx:
            return self._register(caller).evidence(tx, question)

    @runtime.rpc
    def standing(self, question: StandingQuestion, caller: Caller) -> Standing:
        return standing(self._of(caller), question.ids, self.clock.today())

    def _of(self, caller: Caller) -> AgencyStore:
        return self.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)

    def _desk(self, caller: Caller) -> Desk:
        return Desk(self._of(caller), self.database, self.clock.today())

    def _register(self, caller: Caller) -> Register:
        return Register(self._of(caller), self.clock.today())
