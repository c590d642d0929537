import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.policies.constraint import Constraints
from eef_framework.records import FreeText, Observation


@pytest.fixture(scope="session")
def constraints(chat):
    return Constraints(chat, vocabulary=len(chat.tokenizer) + 5, device="cpu")


def said(chat, state, choose, left=100):
    """Return the answer that a way of choosing among allowed tokens leads to."""
    ids = []
    while state is not None:
        allowed = state.allowed(left - len(ids))
        listed = list(allowed) if isinstance(allowed, tuple) else torch.nonzero(allowed)[:, 0].tolist()
        ids.append(choose(listed))
        state = state.after(ids[-1])
    assert ids[-1] in chat.end_ids
    return chat.text(ids)


def test_each_listed_action_can_be_said_and_nothing_else(chat, constraints):
    actions = ("click[item 1]", "click[item 2]", "buy now", "buy word1")
    start = constraints.start(Observation(text="", actions=actions))
    first = {chat.tokenizer.convert_ids_to_tokens(token) for token in start.allowed(9)}
    assert first == {"click[item 1]", "click[item 2]", "buy"}
    assert {said(chat, start, lambda listed, n=n: listed[min(n, len(listed) - 1)]) for n in range(3)} <= set(actions)
    after_buy = start.after(chat.tokens("buy")[0])
    assert set(after_buy.allowed(9)) == {*chat.tokens("now"), *chat.tokens("word1")}
    assert after_buy.after(chat.tokens("now")[0]).allowed(9) == chat.stop_ids


def test_an_action_that_starts_another_can_be_said(chat, constraints):
    start = constraints.start(Observation(text="", actions=("buy", "buy now")))
    after_buy = start.after(chat.tokens("buy")[0])
    assert set(after_buy.allowed(9)) == {*chat.stop_ids, *chat.tokens("now")}


@given(data=st.data(), left=st.integers(min_value=1, max_value=12))
def test_any_allowed_walk_ends_in_an_admissible_action(chat, constraints, shop, data, left):
    answer = said(chat, constraints.start(shop), lambda listed: data.draw(st.sampled_from(listed)), left)
    answer = answer.replace("search[ ", "search[").replace(" ]", "]")
    assert shop.admits(answer)
    assert len(chat.tokens(answer)) <= max(left, 3)


def test_a_free_part_has_at_least_one_word_and_no_special_tokens(chat, constraints, shop):
    start = constraints.start(shop)
    inside = start.after(chat.tokens("search[")[0])
    first = {chat.tokenizer.convert_ids_to_tokens(t) for t in torch.nonzero(inside.allowed(9))[:, 0].tolist()}
    assert "word1" in first
    assert not first & {"]", "search[", "click[item 1]", "<pad>", "<unk>", "<|user|>", "<|end|>"}
    further = inside.after(chat.tokens("word1")[0]).allowed(9)
    assert further[chat.tokens("]")[0]]
    assert not further[len(chat.tokenizer) :].any()


def test_a_free_part_is_closed_when_it_is_time(chat, constraints, shop):
    inside = constraints.start(shop).after(chat.tokens("search[")[0]).after(chat.tokens("word1")[0])
    assert inside.allowed(2) == tuple(chat.tokens("]"))


def test_a_listed_action_of_a_free_form_is_part_of_it(chat, constraints):
    free = (FreeText(prefix="search[", suffix="]"),)
    for actions in (("search[word1]",), ()):
        start = constraints.start(Observation(text="", actions=actions, free=free))
        inside = start.after(chat.tokens("search[")[0])
        assert inside.allowed(9)[chat.tokens("word2")[0]]


def test_a_free_form_without_marks_allows_any_words(chat, constraints):
    start = constraints.start(Observation(text="", actions=(), free=(FreeText(prefix="", suffix=""),)))
    after = start.after(chat.tokens("word1")[0])
    assert after.allowed(9)[chat.stop_ids[0]]
    assert after.allowed(1) == chat.stop_ids


def test_actions_that_the_vocabulary_has_no_words_for_are_left_out(chat, constraints):
    start = constraints.start(Observation(text="", actions=("click[unheard]", "buy")))
    assert start.allowed(9) == tuple(chat.tokens("buy"))


@pytest.mark.parametrize("actions", [None, (), ("click[unheard]",), ("",)])
def test_nothing_known_is_not_a_constraint(constraints, actions):
    assert constraints.start(Observation(text="", actions=actions)) is None


def test_logits_without_a_token_are_masked(chat, constraints):
    assert constraints.known_tokens.sum() == len(chat.tokenizer)
    assert Constraints(chat, len(chat.tokenizer), "cpu").known_tokens is None
