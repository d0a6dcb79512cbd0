"""What may be asked of the audit service over RPC."""

from services.audit.asks import Asks
from services.audit.evidence import audit_log
from services.audit.handlers import Office, question_for, ruling_key
from services.audit.ledger import (
    Affected,
    AffectedQuestion,
    NotifyRecipient,
    PersonsInLog,
    ReadPage,
    ReadsQuestion,
    log_notice,
)
from services.audit.queries import (
    Answer,
    AuthorizeDisclosure,
    BreakGlassQuestion,
    BreakGlassReport,
    CheckpointView,
    ConsistencyQuestion,
    ConsistencyView,
    EntriesPage,
    EntriesQuestion,
    LogBreakGlass,
    LogKey,
    LogQuestion,
    LogReader,
    ReceiptQuestion,
    ReceiptsView,
    ReceiptView,
    RetractDisclosure,
    RetractDisclosures,
    RuledAgain,
)
from services.audit.reading_room import (
    BundlePage,
    BundleQuestion,
    ExportLog,
    Looker,
    ReadingRoom,
    SearchLog,
    SearchQuestion,
)
from services.audit.search import FoundPage
from services.audit.sequencer import LoggedEntry
from services.audit.status import LogStatus, StatusQuestion, log_status
from services.audit.usage import Usage, UsesQuestion, UsesView
from shared import runtime
from shared.identity import Caller


class AuditService:
    name = "audit"

    context = runtime.service_context()

    @runtime.rpc
    def authorize(self, question: AuthorizeDisclosure, caller: Caller) -> Answer:
        evidence = Asks(self.context.calls, caller).evidence(question_for(question))
        return self._office(caller).authorize(question, evidence, command_id=caller.command_id)

    @runtime.rpc
    def rule_again(self, question: AuthorizeDisclosure, caller: Caller) -> RuledAgain:
        evidence = Asks(self.context.calls, caller).evidence(question_for(question))
        return RuledAgain(permitted=self._office(caller).rule_again(question, evidence))

    @runtime.rpc
    def status(self, question: StatusQuestion, caller: Caller) -> LogStatus:
        del question
        return log_status(self.context.database, audit_log(self.context), caller.agency)

    @runtime.rpc
    def log_retraction(self, question: RetractDisclosure, caller: Caller) -> ReceiptView:
        (entry,) = self._office(caller).log_retractions([question.disclosure_id], question.reason)
        return _shown(entry)

    @runtime.rpc
    def log_retractions(self, question: RetractDisclosures, caller: Caller) -> ReceiptsView:
        entries = self._office(caller).log_retractions(question.disclosure_ids, question.reason)
        return ReceiptsView(receipts=tuple(map(_shown, entries)))

    @runtime.rpc
    def log_break_glass(self, question: LogBreakGlass, caller: Caller) -> ReceiptView:
        entry = self._office(caller).log_break_glass(question)
        return _shown(entry)

    @runtime.rpc
    def break_glass(self, question: BreakGlassQuestion, caller: Caller) -> BreakGlassReport:
        clock = self.context.clock
        return self._reader(caller).break_glass(question, clock.now(), clock.today())

    @runtime.rpc
    def key(self, question: LogQuestion, caller: Caller) -> LogKey:
        return self._reader(caller).key(question)

    @runtime.rpc
    def checkpoint(self, question: LogQuestion, caller: Caller) -> CheckpointView:
        return self._reader(caller).checkpoint(question)

    @runtime.rpc
    def entries(self, question: EntriesQuestion, caller: Caller) -> EntriesPage:
        return self._reader(caller).entries(question)

    @runtime.rpc
    def receipt(self, question: ReceiptQuestion, caller: Caller) -> ReceiptView:
        found = self._reader(caller).receipt(ruling_key(question.disclosure_id))
        self._office(caller).log_receipt_read(question.disclosure_id, caller)
        return found

    @runtime.rpc
    def consistency(self, question: ConsistencyQuestion, caller: Caller) -> ConsistencyView:
        return self._reader(caller).consistency(question)

    @runtime.rpc
    def reads_of_person(self, question: ReadsQuestion, caller: Caller) -> ReadPage:
        return PersonsInLog(caller.agency, self.context.database).reads(question)

    @runtime.rpc
    def log_notice(self, question: NotifyRecipient, caller: Caller) -> ReceiptView:
        log = audit_log(self.context)
        entry = log_notice(log, caller.agency, ruling_key(question.disclosure_id), question)
        return _shown(entry)

    @runtime.rpc
    def affected(self, question: AffectedQuestion, caller: Caller) -> Affected:
        return PersonsInLog(caller.agency, self.context.database).affected(question)

    @runtime.rpc
    def uses_of_norm(self, question: UsesQuestion, caller: Caller) -> UsesView:
        return Usage(caller.agency, self.context.database).of(question)

    @runtime.rpc
    def search(self, question: SearchLog, caller: Caller) -> ReceiptView:
        return _shown(self._reading_room(caller).search(question, Looker(caller.actor, caller.role)))

    @runtime.rpc
    def found(self, question: SearchQuestion, caller: Caller) -> FoundPage:
        return self._reading_room(caller).found(question, Looker(caller.actor, caller.role))

    @runtime.rpc
    def export(self, question: ExportLog, caller: Caller) -> ReceiptView:
        return _shown(self._reading_room(caller).export(question, Looker(caller.actor, caller.role)))

    @runtime.rpc
    def bundle(self, question: BundleQuestion, caller: Caller) -> BundlePage:
        return self._reading_room(caller).bundle(question, Looker(caller.actor, caller.role))

    def _reading_room(self, caller: Caller) -> ReadingRoom:
        context = self.context
        store = context.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)
        return ReadingRoom(context.store, store, audit_log(context), context.database, context.clock)

    def _office(self, caller: Caller) -> Office:
        context = self.context
        store = context.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)
        return Office(caller.agency, store, audit_log(context), context.clock)

    def _reader(self, caller: Caller) -> LogReader:
        return LogReader(caller.agency, audit_log(self.context))


def _shown(entry: LoggedEntry) -> ReceiptView:
    return ReceiptView(origin=entry.origin, index=entry.idx, leaf=entry.leaf_bytes.decode(), receipt=entry.receipt_text)
