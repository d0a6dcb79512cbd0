"""Use cases of the breach register (Art. 33 Abs. 5 DSGVO): record a breach, note who was told, say whom it touches."""

from dataclasses import dataclass

from services.cases.asks import AffectedQuestion, Asks
from services.cases.deadlines import breach_notices
from services.cases.domain.breach import Breach, RecordBreach, RecordNotice
from services.cases.rights_views import BreachView, Rights
from shared.clock import Clock, legal_day
from shared.domain import Receipt
from shared.errors import Invalid
from shared.eventstore import AgencyStore
from shared.identity import Caller
from shared.law import is_category


@dataclass(frozen=True)
class BreachDesk:
    """Keeps the register of one agency on behalf of `caller`."""

    store: AgencyStore
    clock: Clock
    asks: Asks
    caller: Caller

    def record(self, command: RecordBreach) -> Receipt:
        unknown = [category for category in command.categories if not is_category(category)]
        if unknown:
            fault = ("/categories", "not a category", "see the categories at /v1/vocabulary")
            raise Invalid("breach.invalid", fault[1], fault[2], [fault])
        now = self.clock.now()
        return self.store.change(
            Breach,
            command.breach_id,
            lambda breach: breach.record(command, self.caller.actor, now),
            command_id=self.caller.command_id,
        )

    def give_notice(self, command: RecordNotice) -> Receipt:
        recorded = self.store.load(Breach, command.breach_id)[0].described()
        notices = breach_notices(legal_day(recorded.aware_at))
        return self.store.change(
            Breach,
            command.breach_id,
            lambda breach: breach.give_notice(command, notices, self.caller.actor),
            command_id=self.caller.command_id,
        )

    def view(self, breach_id: str) -> BreachView:
        """With the persons affected, as the log knows them: those erased since are counted nowhere any more."""
        recorded = self.store.load(Breach, breach_id)[0].described()
        question = AffectedQuestion(
            since=recorded.began_at,
            until=recorded.ended_at,
            partner_id=recorded.partner_id,
            categories=recorded.categories,
        )
        affected = self.asks.affected(question)
        return Rights(self.store, self.clock.now()).breach(breach_id, affected.persons)
