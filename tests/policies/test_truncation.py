import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.policies import TransformersPolicy
from eef_framework.policies.truncation import droppable_observations, truncate_oldest, without_oldest
from eef_framework.records import Message, Observation, Step, Task, Trajectory

PLAIN = Sampling(max_tokens=4)


def words(conversation):
    return sum(len(message.content.split()) for message in conversation)


def talk(lengths, system):
    roles = ["user", "assistant"] * len(lengths)
    messages = tuple(
        Message(role=role, content=" ".join(["word1"] * n)) for role, n in zip(roles, lengths, strict=False)
    )
    return (*((Message(role="system", content="word2 word3"),) if system else ()), *messages)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=15).map(lambda n: n[: len(n) - 1 + len(n) % 2]),
    system=st.booleans(),
    limit=st.integers(1, 60),
)
def test_as_little_as_possible_is_left_out(lengths, system, limit):
    conversation = talk(lengths, system)
    try:
        shown, dropped = truncate_oldest(conversation, limit, words)
    except PolicyFailure:
        assert words(without_oldest(conversation, len(lengths) // 2)) > limit
        return
    assert words(shown) <= limit
    assert shown == without_oldest(conversation, dropped)
    assert shown[-1] == conversation[-1]
    assert (shown[0].role == "system") == system
    assert dropped == 0 or words(without_oldest(conversation, dropped - 1)) > limit


def test_an_observation_that_does_not_fit_is_explained():
    with pytest.raises(PolicyFailure) as caught:
        truncate_oldest(talk([3, 2, 9], system=False), 7, words)
    assert (caught.value.code, caught.value.details) == ("prompt-too-long", {"tokens": 9, "max_tokens": 7})


def test_a_prompt_that_fits_is_left_alone(policy, chat):
    conversation = talk([5, 2, 5], system=True)
    response = asyncio.run(policy.act(conversation, Observation(text=""), PLAIN, 0))
    assert response.dropped == 0
    assert response.prompt_tokens == len(chat.prompt_ids(conversation))


def test_the_models_context_window_holds_prompt_and_answer(checkpoint):
    with TransformersPolicy().load(checkpoint) as policy:
        policy.context_window = 24
        response = asyncio.run(policy.act(talk([9, 2, 9, 2, 9], True), Observation(text=""), PLAIN, 0))
    assert response.dropped == 2
    assert response.prompt_tokens + PLAIN.max_tokens <= 24


def test_training_leaves_out_what_the_prompts_left_out(checkpoint, chat):
    """The invariant: a turn is trained with the prompt that it was sampled with."""
    task = Task(id="t", environment="e", split="train")
    rows, seen, format = [], [], ChatFormat(style="action")
    initial = Observation(text="word1 word2 word3 word4 word5")
    with TransformersPolicy(max_prompt_tokens=30).load(checkpoint) as policy:
        for turn in range(7):
            conversation = format.conversation("word6 word7", initial, rows)
            response = asyncio.run(policy.act(conversation, initial, PLAIN, turn))
            seen.append((chat.prompt_ids(without_oldest(conversation, response.dropped)), response))
            text = " ".join(["word8"] * (3 + turn % 3))
            rows.append(Step(action=response.text, observation=Observation(text=text), response=response))
    dropped = [response.dropped for _, response in seen]
    assert dropped[0] == 0
    assert dropped[-1] > 1
    assert dropped == sorted(dropped)
    trajectory = Trajectory(id="x", task=task, actor="agent", initial=initial, steps=tuple(rows))
    examples = format.examples(trajectory, [1.0] * 7, "word6 word7", "s")
    assert [state for example in examples for state in example.states] == list(range(7))
    assert len(examples) == len(set(dropped)) == len({example.id for example in examples})
    for example in examples:
        ids, weights = chat.encode(example.messages)
        for state in example.states:
            prompt, response = seen[state]
            end = len(prompt) + len(response.token_ids)
            assert ids[:end] == [*prompt, *response.token_ids]
            assert all(weight == 1.0 for weight in weights[len(prompt) : end])


@given(st.integers(0, 6), st.integers(0, 8), st.booleans())
def test_a_shortened_conversation_keeps_its_ends_and_its_order(turns, left_out, rules):
    head = (Message(role="system", content="rules"),) if rules else ()
    said = [Message(role="user", content="goal")]
    for turn in range(turns):
        said += [Message(role="assistant", content=f"act {turn}"), Message(role="user", content=f"see {turn}")]
    conversation = (*head, *said)
    if left_out > droppable_observations(conversation):
        return
    shown = without_oldest(conversation, left_out)
    assert shown == (*head, *said[2 * left_out :])
    assert shown[len(head)].role == shown[-1].role == "user"
