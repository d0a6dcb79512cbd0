"""The vocabulary: the words in which requests are written, with their German labels."""

from services.gateway.operations import Desk, Resource
from shared.domain import value
from shared.law import health_categories
from shared.policy import present_law

words = Resource("vocabulary", "The words of the law: bodies, domains, categories, purposes and facts.")


@value
class Everything:
    """Nothing to choose."""


@value
class Word:
    id: str
    de: str


@value
class BodyWord:
    id: str
    de: str
    domain: str


@value
class CategoryWord:
    """`health` categories are kept by the health service (Art. 9 DSGVO)."""

    id: str
    de: str
    health: bool


@value
class FactQuestion:
    """`kind` is boolean, integer, or derived for what is computed from records and never stated.

    `asserted_by` says who may answer.
    """

    id: str
    de: str
    question: str
    kind: str
    asserted_by: tuple[str, ...]


@value
class VocabularyView:
    """`rule_set` is the hash of the law as it is loaded."""

    rule_set: str
    domains: tuple[Word, ...]
    bodies: tuple[BodyWord, ...]
    categories: tuple[CategoryWord, ...]
    purposes: tuple[Word, ...]
    facts: tuple[FactQuestion, ...]


@words.reads("/vocabulary", "vocabulary")
def vocabulary(desk: Desk, asked: Everything) -> VocabularyView:
    """Read the words that requests may use."""
    del desk, asked
    law, health = present_law(), health_categories()
    known = law.vocabulary
    return VocabularyView(
        rule_set=law.hash,
        domains=tuple(Word(id=name, de=de) for name, de in known.domains.items()),
        bodies=tuple(BodyWord(id=name, de=de, domain=known.domain_of[name]) for name, de in known.bodies.items()),
        categories=tuple(CategoryWord(id=name, de=de, health=name in health) for name, de in known.categories.items()),
        purposes=tuple(Word(id=name, de=de) for name, de in known.purposes.items()),
        facts=tuple(
            FactQuestion(id=fact.id, de=fact.de, question=fact.question, kind=fact.kind, asserted_by=fact.asserted_by)
            for fact in known.facts.values()
        ),
    )
