"""Use cases of the audit service: rule on a disclosure and log the ruling; log what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import uuid4

from services.audit.activation import activate_rules
from services.audit.asks import ConsentEvidence, Evidence, EvidenceQuestion, ReleaseEvidence
from services.audit.domain.log import BREAK_GLASS
from services.audit.domain.ruling import CategoryRuling, Decided, Extent, Ruling, RulingMade
from services.audit.obligations import PERFORMED
from services.audit.queries import Answer, AuthorizeDisclosure, LogBreakGlass
from services.audit.reads import log_read
from services.audit.sequencer import AuditLog, LoggedEntry
from shared.audit import Leaf, Opening, Reference
from shared.clock import Clock, timestamp
from shared.domain import Erased, Json, known
from shared.errors import NotFound, Refused
from shared.eventstore import AgencyStore
from shared.identity import Caller
from shared.law import LOOKED_UP, check_request
from shared.policy import Decision, decide, explain, present_law, request_from_json


def question_for(asked: AuthorizeDisclosure) -> EvidenceQuestion:
    return EvidenceQuestion(
        person_id=asked.person_id,
        partner_id=asked.partner_id,
        purpose=asked.purpose,
        categories=asked.categories,
        days=asked.days,
    )


@dataclass(frozen=True)
class Office:
    """Rules for one agency: decides by the rules and writes the ruling into the agency's log."""

    agency: str
    store: AgencyStore
    log: AuditLog
    clock: Clock

    def authorize(self, asked: AuthorizeDisclosure, evidence: Evidence, *, command_id: str) -> Answer:
        """The ruling, standing in the log. The same disclosure asked again gets the same ruling and receipt.

        Raises `Unavailable` when the log cannot sign: then nothing may leave.
        """
        ruling, _ = self.store.load(Ruling, asked.disclosure_id)
        if not ruling.made:
            activate_rules(self.log, self.clock, self.agency)
            fresh = self._decide(asked, evidence)
            self.store.change(Ruling, asked.disclosure_id, lambda known: known.make(fresh), command_id=command_id)
            ruling, _ = self.store.load(Ruling, asked.disclosure_id)
        if not ruling.made:
            raise Refused("ruling.not_made")
        return self._log(asked.disclosure_id, ruling.made, erase_by(evidence, ruling.made.decided.consents))

    def _decide(self, asked: AuthorizeDisclosure, evidence: Evidence) -> RulingMade:
        stated = request_json(asked, self.clock.today())
        check_request(stated)
        request = request_from_json(with_evidence(stated, asked, evidence), unnamed="unknown")
        decided = summary(decide(present_law(), request, installed=performed(asked, evidence)))
        sent = decided.sent(asked.held, asked.extent)
        outcome = decided.outcome(sent)
        leaf = Leaf(
            kind=outcome.value,
            time=self.clock.now(),
            sender=self.agency,
            recipient=asked.partner_id,
            purpose=asked.purpose,
            categories=sent or tuple(dict.fromkeys(asked.categories)),
            decision="permit" if sent else "deny",
            norms=_norms(decided, sent),
            rule_set=decided.rule_set,
            obligations=decided.obligations,
            commitments={
                name: commitment
                for name, commitment in asked.commitments.items()
                if name.removeprefix("content.") in sent
            },
        )
        leaf, openings = leaf.committing(
            {
                "person": asked.person_id,
                "case": asked.case_id,
                "facts": {"facts": known(asked.facts, {}), "facts_by_category": known(asked.facts_by_category, {})},
                "reasons": known(asked.reasons, ""),
                **({"decided_by": asked.decided_by} if asked.decided_by else {}),
            }
        )
        return RulingMade(
            person_id=asked.person_id,
            decided=decided,
            sent=sent,
            entry=leaf.to_bytes().decode(),
            openings={name: {"key": o.key.hex(), "value": o.value} for name, o in openings.items()},
        )

    def rule_again(self, asked: AuthorizeDisclosure, evidence: Evidence) -> bool:
        """Whether what was let through before would be let through now, on the facts that were stated then: nothing of
        it refused by the rules of today, or bound to an obligation that cannot be kept. Nothing is written.
        """
        ruling, _ = self.store.load(Ruling, asked.disclosure_id)
        facts = known(ruling.made.openings, {}).get("facts", {}).get("value", {}) if ruling.made else {}
        if ruling.made is None or not facts or ruling.made.person_id != asked.person_id:
            return False
        restated = replace(asked, facts=facts["facts"], facts_by_category=facts["facts_by_category"])
        stated = request_json(restated, self.clock.today())
        request = request_from_json(with_evidence(stated, restated, evidence), unnamed="unknown")
        decided = summary(decide(present_law(), request, installed=performed(restated, evidence)))
        before = set(ruling.made.decided.obligations)
        sent = decided.sent(asked.held, Extent.PERMITTED)
        return set(ruling.made.sent) <= set(sent) and set(decided.obligations) <= before

    def _log(self, disclosure_id: str, made: RulingMade, end: date | None) -> Answer:
        kept = known(made.openings, {})
        openings = {name: Opening(bytes.fromhex(each["key"]), each["value"]) for name, each in kept.items()}
        leaf = Leaf.parse(made.entry.encode())
        key = ruling_key(disclosure_id)
        entry = self.log.append(self.agency, leaf, key=key, openings=openings, person=made.person_id)
        return Answer(
            sent=made.sent,
            categories=made.decided.categories,
            obligations=made.decided.obligations,
            rule_set=made.decided.rule_set,
            day=made.decided.day,
            origin=entry.origin,
            index=entry.idx,
            leaf=entry.leaf_bytes.decode(),
            receipt=entry.receipt_text,
            consents=made.decided.consents,
            explanation=made.decided.explanation,
            erase_by=end,
        )

    def log_break_glass(self, asked: LogBreakGlass) -> LoggedEntry:
        """An emergency is used: an entry that names the intent, its end and the day by which somebody looks again."""
        intent = self.log.find(self.agency, ruling_key(asked.disclosure_id))
        if intent is None:
            raise NotFound("log.entry_unknown")
        about = Leaf.parse(intent.leaf_bytes)
        review = {"review_by": asked.review_by.isoformat()} if asked.review_by else {}
        leaf = Leaf(
            kind=BREAK_GLASS,
            sender=about.sender,
            recipient=about.recipient,
            purpose=about.purpose,
            about=Reference(intent.origin, intent.idx),
            details={"ends_at": timestamp(asked.ends_at), **review},
        )
        return self.log.append(self.agency, leaf, key=f"disclosure-{asked.disclosure_id}:break-glass")

    def log_retractions(self, disclosure_ids: Sequence[str], reason: str) -> list[LoggedEntry]:
        """The sender asks recipients to stop using what they got: entries that name the intents, in the same order.

        What was logged before stays what it is, also when the reason is another one by now.
        """
        keys = {each: f"disclosure-{each}:retraction" for each in dict.fromkeys(disclosure_ids)}
        said = self.log.said(self.agency, [*map(ruling_key, keys), *keys.values()])
        leaves: dict[str, Leaf] = {}
        for disclosure_id, key in keys.items():
            intent, before = said.get(ruling_key(disclosure_id)), said.get(key)
            if intent is None:
                raise NotFound("log.entry_unknown")
            about = Leaf.parse(intent.leaf_bytes)
            leaves[key] = Leaf(
                kind="retraction",
                sender=about.sender,
                recipient=about.recipient,
                about=Reference(intent.origin, intent.idx),
                result=Leaf.parse(before.leaf_bytes).result if before else reason,
            )
        return self.log.append_together(self.agency, leaves)

    def log_receipt_read(self, disclosure_id: str, caller: Caller) -> LoggedEntry:
        """Somebody reads the receipt of a disclosure: an entry before it is shown, about the person whose it was."""
        ruling, _ = self.store.load(Ruling, disclosure_id)
        return log_read(
            self.store,
            self.log,
            self.clock,
            read_id=caller.command_id or str(uuid4()),
            by=caller.actor or caller.role,
            role=caller.role,
            way="receipt",
            reason="receipt of a disclosure",
            person_id=ruling.made.person_id if ruling.made else None,
        )

    def record_outcome(
        self, disclosure_id: str, kind: str, result: str, message_id: str, *, reason: str = ""
    ) -> LoggedEntry | None:
        """What became of a disclosure: an entry that names its intent. Heard twice it is logged once."""
        intent = self.log.find(self.agency, ruling_key(disclosure_id))
        if intent is None:
            return None
        about = Leaf.parse(intent.leaf_bytes)
        leaf = Leaf(
            kind=kind,
            sender=about.sender,
            recipient=about.recipient,
            about=Reference(intent.origin, intent.idx),
            result=result,
            details={"reason": reason} if reason else {},
        )
        return self.log.append(self.agency, leaf, key=f"message-{message_id}")


def ruling_key(disclosure_id: str) -> str:
    """Under which key the log keeps the ruling on a disclosure."""
    return f"disclosure-{disclosure_id}:ruling"


def request_json(asked: AuthorizeDisclosure, day: date) -> Json:
    """The request in the words of the case files, as the requester states it."""
    return {
        "date": day.isoformat(),
        "sender": {"body": asked.sender.body, "domain": asked.sender.domain},
        "recipient": {"body": asked.recipient.body, "domain": asked.recipient.domain},
        "categories": list(asked.categories),
        "purpose": asked.purpose,
        "facts": dict(known(asked.facts, {})),
        "facts_by_category": dict(known(asked.facts_by_category, {})),
        "basis": asked.basis,
    }


def with_evidence(stated: Json, asked: AuthorizeDisclosure, evidence: Evidence) -> Json:
    """The request with what the platform knows itself: the persons' will, the partner's undertaking, its own way of
    working.

    Whether the last word was no is the register's answer: it knows the order, also within one day.
    """
    facts: dict[str, Any] = dict.fromkeys(LOOKED_UP, False)
    facts |= stated["facts"]
    facts["undertaking_78_given"] = asked.undertaking_given
    facts["processing_restricted"] = asked.restricted or evidence.restricted
    facts["objection_notice_given"] = evidence.objection_notice_given
    facts["objection_76_2"] = evidence.objected
    standing = [consent for consent in evidence.consents if consent.status not in ("refused", "withdrawn")]
    facts["consents"] = [_consent(consent, asked.recipient.body) for consent in standing]
    facts["secrecy_releases"] = [_release(release, asked.recipient.body) for release in evidence.releases]
    by_category: dict[str, dict[str, Any]] = {name: dict(own) for name, own in stated["facts_by_category"].items()}
    for category in evidence.refused:
        by_category.setdefault(category, {})["consent_refused_or_withdrawn"] = True
    return {**stated, "facts": facts, "facts_by_category": by_category}


def erase_by(evidence: Evidence, consents: tuple[str, ...]) -> date | None:
    """`retention_end_date`: the first day on which one of the consents that carry the disclosure ends."""
    carrying = [each for each in evidence.consents if each.consent_id in consents]
    ends = [end for each in carrying for end in (each.valid_until, each.erase_at) if end]
    return min(ends, default=None)


def performed(asked: AuthorizeDisclosure, evidence: Evidence) -> frozenset[str]:
    """The obligations that can be kept in this disclosure: those with code, without those that lack what they need."""
    given = tuple(each.consent_id for each in evidence.consents if each.status == "given")
    endless = () if erase_by(evidence, given) else ("retention_end_date",)
    return frozenset(PERFORMED).difference(asked.unable, endless)


def summary(decision: Decision) -> Decided:
    """The decision in the fields that are kept and answered."""
    return Decided(
        categories=tuple(
            CategoryRuling(
                category=item.category,
                permitted=item.permitted,
                norms=item.basis,
                rules=item.rules,
                missing=item.missing,
                obligations=item.obligations,
            )
            for item in decision.categories
        ),
        obligations=decision.obligations,
        consents=decision.consents_used,
        rule_set=decision.ruleset_hash,
        day=decision.day.isoformat(),
        explanation=explain(decision, audience="case_worker", lang="de"),
    )


def _norms(decided: Decided, sent: tuple[str, ...]) -> tuple[str, ...]:
    chosen = [item for item in decided.categories if item.category in sent or not sent]
    return tuple(dict.fromkeys(norm for item in chosen for norm in item.norms))


def _consent(consent: ConsentEvidence, recipient: str) -> Mapping[str, Any]:
    started = consent.status != "not_yet"
    return {
        "id": consent.consent_id,
        "status": "given" if consent.status in ("given", "expired", "not_yet") else consent.status,
        "given_on": consent.given_on.isoformat() if started else date.max.isoformat(),
        "valid_until": consent.valid_until and consent.valid_until.isoformat(),
        "withdrawn_on": consent.withdrawn_on and consent.withdrawn_on.isoformat(),
        "form": consent.form,
        "given_by": list(consent.given_by),
        "recipients": [recipient],
        "categories": list(consent.categories),
        "purposes": [consent.purpose],
        "informed_67b_2": consent.informed,
        "voluntary": consent.voluntary,
    }


def _release(release: ReleaseEvidence, recipient: str) -> Mapping[str, Any]:
    return {
        "id": release.release_id,
        "status": "withdrawn" if release.withdrawn_on else "given",
        "given_on": release.given_on.isoformat(),
        "valid_until": release.valid_until and release.valid_until.isoformat(),
        "withdrawn_on": release.withdrawn_on and release.withdrawn_on.isoformat(),
        "form": release.form,
        "given_by": list(release.given_by),
        "professionals": [] if isinstance(release.professional, Erased) else [release.professional],
        "recipients": [recipient],
        "categories": list(release.categories),
    }
