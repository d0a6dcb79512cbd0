"""What may be asked of partner exchange over RPC."""

from functools import partial

from services.exchange import acknowledgement, handlers, ledger
from services.exchange.asks import Asks
from services.exchange.delivery import Delivery, provide_queue
from services.exchange.directory import DirectoryPage, DirectoryQuestion, look_up
from services.exchange.documents import LogKey
from services.exchange.domain.agency import RegisterAgency
from services.exchange.domain.disclosure import ConfirmDisclosure, RequestDisclosure, ReviewBreakGlass
from services.exchange.domain.partner import Channel, RecordCommitment, RegisterPartner
from services.exchange.ledger import LEDGER, LedgerPage, LedgerQuestion
from services.exchange.projections import DIRECTORY, UNANSWERED
from services.exchange.queries import (
    Acknowledge,
    Acknowledged,
    AgencyQuestion,
    AgencyView,
    DisclosurePage,
    DisclosureQuestion,
    DisclosuresQuestion,
    DisclosureView,
    Exchange,
    FeedPage,
    FeedQuestion,
    MissingAcknowledgements,
    MissingQuestion,
    PartnerPage,
    PartnerQuestion,
    PartnersQuestion,
    PartnerView,
    WithdrawalQuestion,
    WithdrawalReport,
)
from services.exchange.silence import due_at
from services.exchange.whereabouts import (
    AcknowledgementsPage,
    AcknowledgementsQuestion,
    Tracing,
    UnderWay,
    UnderWayQuestion,
    WhereaboutsAnswer,
    WhereaboutsQuestion,
)
from shared import runtime
from shared.domain import Receipt
from shared.eventstore import AgencyStore, catch_up
from shared.identity import Caller


class ExchangeService:
    name = "exchange"

    context = runtime.service_context()

    @runtime.rpc
    def register_agency(self, command: RegisterAgency, caller: Caller) -> Receipt:
        return handlers.register_agency(command, self._of(caller), command_id=caller.command_id)

    @runtime.rpc
    def agency(self, question: AgencyQuestion, caller: Caller) -> AgencyView:
        return Exchange(self._of(caller)).agency(question.agency_id)

    @runtime.rpc
    def register_partner(self, command: RegisterPartner, caller: Caller) -> Receipt:
        receipt = handlers.register_partner(command, self._of(caller), command_id=caller.command_id)
        if command.channel is Channel.AMQP:
            provide_queue(self.context.settings, command.partner_id)
        return receipt

    @runtime.rpc
    def record_commitment(self, command: RecordCommitment, caller: Caller) -> Receipt:
        store, today = self._of(caller), self.context.clock.today()
        return handlers.record_commitment(command, store, today, command_id=caller.command_id)

    @runtime.rpc
    def partner(self, question: PartnerQuestion, caller: Caller) -> PartnerView:
        return Exchange(self._of(caller)).partner(question.partner_id)

    @runtime.rpc
    def partners(self, question: PartnersQuestion, caller: Caller) -> PartnerPage:
        catch_up(self.context.store, DIRECTORY)
        with self.context.database.read() as tx:
            return Exchange(self._of(caller)).partners(tx, question)

    @runtime.rpc
    def directory(self, question: DirectoryQuestion, caller: Caller) -> DirectoryPage:
        del caller
        return look_up(question)

    @runtime.rpc
    def request_disclosure(self, command: RequestDisclosure, caller: Caller) -> DisclosureView:
        self._desk(caller).request(command, caller)
        return self._disclosure(command.disclosure_id, caller)

    @runtime.rpc
    def confirm_disclosure(self, command: ConfirmDisclosure, caller: Caller) -> DisclosureView:
        self._desk(caller).confirm(command, caller)
        return self._disclosure(command.disclosure_id, caller)

    @runtime.rpc
    def review_break_glass(self, command: ReviewBreakGlass, caller: Caller) -> DisclosureView:
        self._desk(caller).review(command, caller)
        return self._disclosure(command.disclosure_id, caller)

    @runtime.rpc
    def disclosure(self, question: DisclosureQuestion, caller: Caller) -> DisclosureView:
        return self._disclosure(question.disclosure_id, caller)

    @runtime.rpc
    def disclosures(self, question: DisclosuresQuestion, caller: Caller) -> DisclosurePage:
        catch_up(self.context.store, DIRECTORY)
        with self.context.database.read() as tx:
            return Exchange(self._of(caller)).disclosures(tx, question, caller.role, self.context.clock.today())

    @runtime.rpc
    def under_way(self, question: UnderWayQuestion, caller: Caller) -> UnderWay:
        catch_up(self.context.store, DIRECTORY)
        with self.context.database.read() as tx:
            return Tracing(self._of(caller), self.context.clock.today()).under_way(tx, question)

    @runtime.rpc
    def feed(self, question: FeedQuestion, caller: Caller) -> FeedPage:
        context = self.context
        delivery = Delivery(context.store, context.database, context.clock, context.calls)
        return delivery.feed(caller.agency, question)

    @runtime.rpc
    def acknowledge(self, question: Acknowledge, caller: Caller) -> Acknowledged:
        return acknowledgement.Desk(
            agency=caller.agency,
            store=self._of(caller),
            database=self.context.database,
            clock=self.context.clock,
            log_key=LogKey.load(self.context.settings.keys),
            catch_up=partial(catch_up, self.context.store, DIRECTORY),
        ).take(question)

    @runtime.rpc
    def withdrawal(self, question: WithdrawalQuestion, caller: Caller) -> WithdrawalReport:
        catch_up(self.context.store, DIRECTORY)
        with self.context.database.read() as tx:
            return Exchange(self._of(caller)).withdrawal(tx, question, self.context.clock.now(), due_at)

    @runtime.rpc
    def missing_acknowledgements(self, question: MissingQuestion, caller: Caller) -> MissingAcknowledgements:
        del question
        catch_up(self.context.store, UNANSWERED)
        with self.context.database.read() as tx:
            return Exchange(self._of(caller)).missing(tx, self.context.clock.now(), due_at)

    @runtime.rpc
    def ledger(self, question: LedgerQuestion, caller: Caller) -> LedgerPage:
        context = self.context
        catch_up(context.store, DIRECTORY)
        catch_up(context.store, LEDGER)
        with context.database.read() as tx:
            return ledger.page(tx, caller.agency, question, caller.role, context.clock.today())

    @runtime.rpc
    def whereabouts(self, question: WhereaboutsQuestion, caller: Caller) -> WhereaboutsAnswer:
        return Tracing(self._of(caller), self.context.clock.today()).whereabouts(question)

    @runtime.rpc
    def acknowledgements(self, question: AcknowledgementsQuestion, caller: Caller) -> AcknowledgementsPage:
        catch_up(self.context.store, DIRECTORY)
        with self.context.database.read() as tx:
            return Tracing(self._of(caller), self.context.clock.today()).acknowledgements(tx, question)

    def _disclosure(self, disclosure_id: str, caller: Caller) -> DisclosureView:
        today = self.context.clock.today()
        return Exchange(self._of(caller)).disclosure(disclosure_id, caller.role, today)

    def _desk(self, caller: Caller) -> handlers.Desk:
        return handlers.Desk(
            agency=caller.agency,
            store=self._of(caller),
            database=self.context.database,
            keys=self.context.keys,
            clock=self.context.clock,
            asks=Asks(self.context.calls, caller),
            log_key=LogKey.load(self.context.settings.keys),
        )

    def _of(self, caller: Caller) -> AgencyStore:
        return self.context.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)
