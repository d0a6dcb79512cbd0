"""Reconciliation: what partners acknowledged is compared with what the log says, both ways.

A partner signs which entry it received, by the hash of its bytes. So an acknowledgement without its entry, with another
one, or without the outcome that tells of it, shows an entry that was lost or exchanged; an outcome without a signature
behind it shows one that was made up. Entries whose bytes went at the end of retention are passed over.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.audit.asks import AcknowledgementTold, Asks
from services.audit.findings import RECONCILE, Findings
from services.audit.handlers import Office
from services.audit.sequencer import Entry, Finding
from services.audit.sweeping import disclosure_of
from shared.audit import Leaf, verify_receipt
from shared.database import Database
from shared.envelope import verify_acknowledgement
from shared.errors import HandschlagError

ACKNOWLEDGEMENTS = frozenset({"matched", "not_found", "ambiguous", "retraction_acknowledged"})
PAGE = 200

ENTRY_UNKNOWN = "reconcile.entry_unknown"
NOT_PROVEN = "reconcile.acknowledgement_not_proven"
OUTCOME_MISSING = "reconcile.outcome_missing"
ACKNOWLEDGEMENT_MISSING = "reconcile.acknowledgement_missing"


@dataclass(frozen=True)
class Reconciled:
    """How many acknowledgements and how many outcomes were compared, and what did not agree."""

    acknowledgements: int
    outcomes: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Reconciliation:
    """Compares for one agency. `pause` is called between pages; whatever it raises ends the comparison."""

    office: Office
    asks: Asks
    database: Database
    pause: Callable[[], None] = lambda: None

    def run(self) -> Reconciled:
        """Raises `Unavailable` when the exchange is away; the findings of the last time stay then."""
        told, found = 0, list[Finding]()
        for page in self._acknowledgements():
            told += len(page)
            found += [finding for each in page if (finding := self._compared(each))]
        outcomes = 0
        for entries in self._outcomes():
            outcomes += len(entries)
            found += self._signed(entries)
        now = self.office.clock.now()
        with self.database.write() as tx:
            count = told + outcomes
            Findings(self.office.agency).replace(tx, RECONCILE, found, now, count=count)
        return Reconciled(told, outcomes, tuple(found))

    def _acknowledgements(self) -> Iterator[Sequence[AcknowledgementTold]]:
        after: str | None = ""
        while after is not None:
            page = self.asks.acknowledgements(after)
            yield page.items
            self.pause()
            after = page.next

    def _compared(self, told: AcknowledgementTold) -> Finding | None:
        """What the partner signed against the entry it names, and against the outcome that should tell of it."""
        log, agency = self.office.log, self.office.agency
        try:
            entry = log.receipt(agency, told.origin, told.index)
        except HandschlagError as error:
            gone = error.code == "log.entry_deleted" or told.origin in log.dropped(agency)
            return None if gone else Finding(told.origin, ENTRY_UNKNOWN, told.index)
        keys = [log.verifier_key(entry.origin), *log.former_keys(entry.origin)]
        try:
            receipt = verify_receipt(entry.receipt_text, entry.leaf_bytes, keys)
            said = verify_acknowledgement(told.signed, told.signing_key, receipt)
        except HandschlagError:
            return Finding(told.origin, NOT_PROVEN, told.index)
        wanted = "retraction_acknowledged" if receipt.leaf.kind == "retraction" else said.result.value
        intent = receipt.leaf.about if receipt.leaf.kind == "retraction" and receipt.leaf.about else entry.reference
        named = receipt.leaf.recipient == told.partner_id and wanted == told.result
        if not named:
            return Finding(told.origin, NOT_PROVEN, told.index)
        results = {leaf.result for leaf in log.about(agency, intent)}
        return None if wanted in results else Finding(intent.log, OUTCOME_MISSING, intent.index)

    def _outcomes(self) -> Iterator[list[Entry]]:
        """The outcomes that tell of an acknowledgement."""
        after = ("", -1)
        while page := self.office.log.of_kind(self.office.agency, "outcome", after, PAGE):
            yield [each for each in page if Leaf.parse(each.leaf_bytes or b"").result in ACKNOWLEDGEMENTS]
            self.pause()
            after = (page[-1].origin, page[-1].idx)

    def _signed(self, outcomes: Sequence[Entry]) -> Iterator[Finding]:
        """Those without a partner's signature behind them."""
        leaves = [(each, Leaf.parse(each.leaf_bytes or b"")) for each in outcomes]
        ids = {each.idx: disclosure_of(self.office, leaf.about) for each, leaf in leaves}
        asked = tuple(dict.fromkeys(each for each in ids.values() if each))
        signed = {(each.disclosure_id, each.result) for each in self.asks.acknowledged(asked)} if asked else set()
        for entry, leaf in leaves:
            if (ids[entry.idx], leaf.result) not in signed:
                yield Finding(entry.origin, ACKNOWLEDGEMENT_MISSING, entry.idx)
