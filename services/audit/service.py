"""What may be asked of the audit service over RPC."""

from services.audit.asks import Asks
from services.audit.evidence import audit_log
from services.audit.handlers import Office, question_for, ruling_key
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
    ReceiptView,
    RetractDisclosure,
)
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
    def log_retraction(self, question: RetractDisclosure, caller: Caller) -> ReceiptView:
        entry = self._office(caller).log_retraction(question.disclosure_id, question.reason)
        return ReceiptView(
            origin=entry.origin, index=entry.idx, leaf=entry.leaf_bytes.decode(), receipt=entry.receipt_text
        )

    @runtime.rpc
    def log_break_glass(self, question: LogBreakGlass, caller: Caller) -> ReceiptView:
        entry = self._office(caller).log_break_glass(question)
        return ReceiptView(
            origin=entry.origin, index=entry.idx, leaf=entry.leaf_bytes.decode(), receipt=entry.receipt_text
        )

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
        return self._reader(caller).receipt(ruling_key(question.disclosure_id))

    @runtime.rpc
    def consistency(self, question: ConsistencyQuestion, caller: Caller) -> ConsistencyView:
        return self._reader(caller).consistency(question)

    def _office(self, caller: Caller) -> Office:
        context = self.context
        store = context.store.agency(caller.agency, actor=caller.actor, trace=caller.trace)
        return Office(caller.agency, store, audit_log(context), context.clock)

    def _reader(self, caller: Caller) -> LogReader:
        return LogReader(caller.agency, audit_log(self.context))
