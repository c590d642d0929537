import json

import pytest

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError, NothingToTrain
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Example, Message
from eef_framework.training.preferences import PairCollator, tokenize_pairs

ASK = Message(role="user", content="copy word1")


@pytest.fixture(scope="module")
def chat(start):
    return ChatTokenizer(load_tokenizer(start.path))


def said(text, weight=1.0):
    return Message(role="assistant", content=text, weight=weight)


def pair(name, better, worse):
    return Example(id=name, messages=better, rejected=worse)


GOOD = pair("good", (ASK, said("word1")), (ASK, said("word2")))


def test_what_is_not_a_pair_to_learn_from_is_left_out_and_counted(chat):
    found = tokenize_pairs(
        [
            GOOD,
            GOOD.changed(id="alone", rejected=()),
            pair("masked", (ASK, said("word1", 0.0)), (ASK, said("word2"))),
            pair("masked too", (ASK, said("word1")), (ASK, said("word2", 0.0))),
            pair("alike", (ASK, said("word1")), (ASK, said("word1"))),
            pair("long", (ASK, said("word1")), (ASK, said("word2 " * 40))),
        ],
        chat,
        max_tokens=32,
    )
    assert [each.id for each in found.pairs] == ["good"]
    assert found.unpaired == ["alone"]
    assert found.without_loss == ["masked", "masked too"]
    assert (found.alike, found.over_long) == (["alike"], ["long"])


def test_without_a_pair_there_is_nothing_to_train(chat):
    with pytest.raises(NothingToTrain) as caught:
        tokenize_pairs([GOOD.changed(rejected=())], chat, max_tokens=32)
    assert caught.value.code == "no-usable-pairs"
    assert (caught.value.details["examples"], caught.value.details["unpaired"]) == (1, 1)
    assert "select.pairs: true" in caught.value.fix


def test_a_weight_between_0_and_1_is_refused(chat):
    with pytest.raises(ConfigError) as caught:
        tokenize_pairs([pair("half", (ASK, said("word1")), (ASK, said("word2", 0.5)))], chat, max_tokens=32)
    assert (caught.value.code, caught.value.details) == ("weight-of-pair", {"id": "half", "weight": 0.5})


def test_pairs_are_padded_to_one_length_with_the_rejected_sides_last(chat):
    long = pair("long", (ASK, said("word1"), ASK, said("word3 word4")), (ASK, said("word2")))
    pairs = tokenize_pairs([GOOD, long], chat, max_tokens=32).pairs
    batch = PairCollator(pairs)([{"index": 1}, {"index": 0}])
    sides = [pairs[1].preferred, pairs[0].preferred, pairs[1].rejected, pairs[0].rejected]
    assert {tuple(tensor.shape) for tensor in batch.values()} == {(4, len(pairs[1].preferred.token_ids))}
    for row, side in enumerate(sides):
        length = len(side.token_ids)
        assert batch["input_ids"][row, :length].tolist() == side.token_ids
        assert batch["attention_mask"][row].tolist() == [1] * length + [0] * (pairs[1].longest - length)
        assert batch["completion_mask"][row, :length].tolist() == side.loss_weights
        assert not batch["completion_mask"][row, length:].any()


def test_only_the_agents_words_are_learned(chat):
    """The tokens under the mask say what the agent said, and nothing else."""
    better = (ASK, said("word1"), Message(role="user", content="word7"), said("word3", 0.0), ASK, said("word4 word5"))
    (only,) = tokenize_pairs([pair("e", better, (ASK, said("word2")))], chat, max_tokens=64).pairs
    batch = PairCollator([only])([{"index": 0}])
    learned = batch["input_ids"][0][batch["completion_mask"][0].bool()].tolist()
    assert chat.tokenizer.decode(learned) == "word1 <|end|> word4 word5 <|end|>"


def test_sampled_tokens_are_taken_as_they_are(chat):
    sampled = tuple(reversed(chat.answer_ids("word3 word4")))
    turn = said("word3 word4").changed(token_ids=sampled, tokenizer=chat.fingerprint)
    (only,) = tokenize_pairs([pair("e", (ASK, turn), (ASK, said("word2")))], chat, max_tokens=64).pairs
    assert only.preferred.token_ids[-len(sampled) :] == list(sampled)


def test_a_row_from_before_there_were_pairs_still_loads():
    row = json.loads(GOOD.model_dump_json())
    del row["rejected"]
    assert Example.model_validate(row) == GOOD.changed(rejected=())
