import json

import pytest

from eef_framework import TokenizedDataset
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError, NothingToTrain
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Example, Message


@pytest.fixture(scope="session")
def tokenizer(start):
    return load_tokenizer(start.path)


def example(name, *weights, words="word1 word2"):
    messages = []
    for weight in weights:
        messages += [Message(role="user", content=words), Message(role="assistant", content="word3", weight=weight)]
    return Example(id=name, messages=tuple(messages))


def test_weights_are_those_of_the_turns(tokenizer):
    (tokenized,) = TokenizedDataset.from_examples([example("a", 0.0, 0.5, 2.0)], tokenizer).examples
    assert len(tokenized.token_ids) == len(tokenized.loss_weights)
    said = [(tokenized.token_ids[place], tokenized.loss_weights[place]) for place in tokenized.target_positions]
    words = tokenizer.convert_ids_to_tokens([token for token, _ in said])
    assert words == ["word3", "<|end|>", "word3", "<|end|>"]
    assert [weight for _, weight in said] == [0.5, 0.5, 2.0, 2.0]


def test_a_tokenizer_is_given_in_any_form(start, tokenizer):
    forms = (start, start.path, str(start.path), tokenizer, ChatTokenizer(tokenizer))
    datasets = [TokenizedDataset.from_examples([example("a", 1.0)], form) for form in forms]
    assert all(dataset == datasets[0] for dataset in datasets)


def test_what_can_not_be_learned_from_is_named(tokenizer):
    long = example("long", 1.0, words="word1 " * 50)
    dataset = TokenizedDataset.from_examples([example("a", 1.0), example("b", 0.0), long], tokenizer, max_tokens=20)
    assert [kept.id for kept in dataset.examples] == ["a"]
    assert (dataset.over_long, dataset.without_loss) == (["long"], ["b"])


def test_the_summary_counts_and_names(tokenizer):
    dataset = TokenizedDataset.from_examples([example("a", 1.0), example("b", 0.0)], tokenizer)
    summary = json.loads(json.dumps(dataset.summary()))
    assert summary["examples"] == 1
    assert summary["tokens_with_loss"] == 2
    assert summary["tokens"] == len(dataset.examples[0].token_ids)
    assert summary["without_loss"] == ["b"]


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_nothing_left_is_an_error_that_says_why(tokenizer, weight):
    with pytest.raises(NothingToTrain) as caught:
        TokenizedDataset.from_examples([example("a", weight)], tokenizer, max_tokens=3)
    assert caught.value.details == {
        "examples": 1,
        "without_loss": int(weight == 0),
        "over_long": int(weight),
        "max_tokens": 3,
    }


def test_batches_hold_every_example_equally_often_in_an_order_of_the_seed(tokenizer):
    examples = [example(f"e{number}", 1.0, words=f"word{number}") for number in range(5)]
    dataset = TokenizedDataset.from_examples(examples, tokenizer)

    def rows(seed):
        batches = list(dataset.batches(2, seed, epochs=2))
        assert [len(batch.input_ids) for batch in batches] == [2] * 5
        return [tuple(row) for batch in batches for row in batch.input_ids.tolist()]

    assert {rows(0).count(row) for row in rows(0)} == {2}
    assert rows(0) == rows(0) != rows(1)
    assert len(list(dataset.batches(2, 0, steps=7))) == 7


def test_batches_of_nothing_are_an_error(tokenizer):
    with pytest.raises(NothingToTrain):
        TokenizedDataset().batches(2, 0)


@pytest.mark.parametrize("size", [0, -1])
def test_batches_without_an_example_are_an_error(tokenizer, size):
    with pytest.raises(ConfigError) as caught:
        TokenizedDataset.from_examples([example("a", 1.0)], tokenizer).batches(size, 0)
    assert (caught.value.code, caught.value.details) == ("batch-size", {"batch_size": size})


@pytest.mark.parametrize("folder", ["no-such-folder", ""])
def test_a_folder_without_a_model_is_an_error(tmp_path, folder):
    with pytest.raises(ConfigError) as caught:
        TokenizedDataset.from_examples([example("a", 1.0)], tmp_path / folder)
    assert caught.value.code in ("no-such-model", "model-incomplete")
