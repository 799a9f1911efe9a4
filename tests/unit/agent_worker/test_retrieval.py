"""What the offline provider answers: the persona's own lines, small talk, or "I don't know"."""

import pytest

from agent_worker.persona import fixed_sentences, instructions_for
from agent_worker.providers.embedding import Embedder
from agent_worker.providers.retrieval import THRESHOLD, KnowledgeBase
from tests.unit.agent_worker.cast import mira

pytestmark = pytest.mark.unit

OPEN = "We are open every day from ten to six."
PRICE = "A ticket costs eight euros. Children come in free."
CAFE = "There is a small cafe in the garden behind the main hall."
TRAIN = "Take the train to North Bridge. From there it is a short walk."
PHOTO = "Yes, you may take pictures, but please without a flash."
SYNTHETIC = "I am a synthetic character, drawn and spoken by a computer."


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def knowledge(embedder: Embedder) -> KnowledgeBase:
    return KnowledgeBase(mira(), embedder)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What time do you open tomorrow?", OPEN),
        ("Until when can I visit?", OPEN),
        ("How expensive is it?", PRICE),
        ("Do I have to pay for my kids?", PRICE),
        ("I am hungry, where can I get lunch?", CAFE),
        ("Is there somewhere to drink coffee?", CAFE),
        ("What's the best way to come by public transport?", TRAIN),
        ("Am I allowed to take a photo?", PHOTO),
        ("Are you human?", SYNTHETIC),
        ("Who created you?", SYNTHETIC),
        ("hello", "Hello! How can I help?"),
        ("Hi there!", "Hello! How can I help?"),
        ("How are you today?", "I'm well, thank you. How can I help?"),
        ("What's your name?", "My name is Mira."),
        ("Thank you very much.", "You're welcome."),
        ("Can you hear me?", "Yes, I can hear you well."),
        ("Goodbye.", "Goodbye! It was nice talking with you."),
    ],
)
def test_a_question_gets_its_answer(knowledge: KnowledgeBase, question: str, answer: str) -> None:
    assert knowledge.answer(question) == answer


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Mongolia?",
        "Can you explain quantum mechanics?",
        "Please write a poem about the sea.",
        "Who won the football match yesterday?",
    ],
)
def test_what_is_not_known_is_admitted(knowledge: KnowledgeBase, question: str) -> None:
    assert knowledge.answer(question).startswith("I'm sorry, I don't know that. You could ask me:")


def test_refusals_vary_and_all_are_known_beforehand(knowledge: KnowledgeBase) -> None:
    asked = ["Tell me about black holes.", "Explain inflation.", "Recite the alphabet backwards."]
    refusals = [knowledge.answer(question) for question in asked]
    assert len(set(refusals)) == 3
    known = set(fixed_sentences(knowledge.lines))
    assert set(fixed_sentences(tuple(refusals))) <= known


def test_the_last_answer_is_repeated_on_request(knowledge: KnowledgeBase) -> None:
    knowledge.answer("How expensive is it?")
    assert knowledge.answer("Sorry, can you say that again?") == PRICE


def test_a_persona_that_knows_nothing_still_answers(embedder: Embedder) -> None:
    empty = KnowledgeBase(mira().__class__("Ada", "", "piper:joe", "en", ""), embedder)
    assert empty.answer("hello") == "Hello! How can I help?"
    assert empty.answer("Where is the bus stop?") == "I'm sorry, I don't know that."


def test_alike_sentences_are_nearer_than_the_threshold_and_others_are_not(
    embedder: Embedder,
) -> None:
    vectors = embedder.embed(["When are you open?", "What are your hours?", "I like red apples."])
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > THRESHOLD > vectors[0] @ vectors[2]


def test_a_batch_gives_the_same_vectors_as_single_sentences(embedder: Embedder) -> None:
    sentences = ["Hello.", "A much longer sentence about the weather in the mountains."]
    together = embedder.embed(sentences)
    for i, sentence in enumerate(sentences):
        # int8 activations are scaled per batch, so the vectors differ a little
        assert together[i] @ embedder.embed([sentence])[0] > 0.98


def test_a_model_is_told_name_instructions_and_knowledge() -> None:
    told = instructions_for(mira())
    for part in ("Mira", "friendly face of a small museum", PRICE, "en-US"):
        assert part in told
