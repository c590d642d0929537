import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import NothingToTrain
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Example, Message
from eef_framework.training.collate import Prepared, collate, prepare


@pytest.fixture(scope="session")
def chat(start):
    return ChatTokenizer(load_tokenizer(start.path))


def example(name, *weights, words="word1 word2"):
    messages = []
    for weight in weights:
        messages += [Message(role="user", content=words), Message(role="assistant", content="word3", weight=weight)]
    return Example(id=name, messages=tuple(messages))


def test_places_are_those_of_the_weighted_turns(chat):
    prepared = prepare([example("a", 0.0, 0.5, 2.0)], chat, max_tokens=100).examples[0]
    said = chat.tokenizer.convert_ids_to_tokens([prepared.ids[place] for place in prepared.places])
    assert said == ["word3", "<|end|>", "word3", "<|end|>"]
    assert prepared.weights == [0.5, 0.5, 2.0, 2.0]


def test_what_can_not_be_learnt_from_is_named(chat):
    long = example("long", 1.0, words="word1 " * 50)
    prepared = prepare([example("a", 1.0), example("b", 0.0), long], chat, max_tokens=20)
    assert [kept.id for kept in prepared.examples] == ["a"]
    assert (prepared.over_long, prepared.without_loss) == (["long"], ["b"])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_nothing_left_is_an_error_that_says_why(chat, weight):
    with pytest.raises(NothingToTrain) as caught:
        prepare([example("a", weight)], chat, max_tokens=3)
    assert caught.value.details == {
        "examples": 1,
        "without_loss": int(weight == 0),
        "over_long": int(weight),
        "max_tokens": 3,
    }


@st.composite
def prepared(draw):
    ids = draw(st.lists(st.integers(1, 99), min_size=2, max_size=12))
    places = sorted(draw(st.sets(st.integers(1, len(ids) - 1), min_size=1)))
    return Prepared("e", ids, places, [draw(st.sampled_from([0.5, 1.0])) for _ in places])


@given(st.lists(prepared(), min_size=1, max_size=5))
def test_each_label_is_predicted_at_the_position_before_it(examples):
    batch = collate(examples, pad=0)
    found = [
        (row, batch.shown[column].item() + 1, label, weight)
        for row, column, label, weight in zip(*(t.tolist() for t in batch[2:6]), strict=True)
    ]
    assert found == [
        (row, place, e.ids[place], weight)
        for row, e in enumerate(examples)
        for place, weight in zip(e.places, e.weights, strict=True)
    ]
    for row, e in enumerate(examples):
        needed = e.ids[: e.places[-1]]  # nothing is predicted behind
        assert batch.ids[row].tolist() == needed + [0] * (batch.ids.shape[1] - len(needed))
    assert batch.ids.shape[1] == batch.shown.max() + 1
