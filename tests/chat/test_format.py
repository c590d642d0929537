import subprocess
import sys

import pytest
from pydantic import ValidationError

from eef_framework.chat.format import ChatFormat
from eef_framework.records import Observation, Response, Step, Task, Trajectory

INITIAL = Observation(text="o0")


def step(number, response=None):
    return Step(action=f"a{number}", observation=Observation(text=f"o{number + 1}"), response=response)


def said(text, thought=""):
    return Response(text=text, thought=thought, token_ids=(7, 8), tokenizer="words")


STEPS = (step(0, said("Thought: t0\nAction: a0", "t0")), step(1), step(2, said("Action: a2")))
TRAJECTORY = Trajectory(
    id="t", task=Task(id="task", environment="e"), actor="expert", initial=INITIAL, steps=STEPS, reward=1.0
)


def words(messages):
    return [(message.role, message.content) for message in messages]


def test_the_whole_episode_is_shown_by_default():
    assert words(ChatFormat().conversation("rules", INITIAL, STEPS)) == [
        ("system", "rules"),
        ("user", "o0"),
        ("assistant", "Thought: t0\nAction: a0"),
        ("user", "o1"),
        ("assistant", "Action: a1"),
        ("user", "o2"),
        ("assistant", "Action: a2"),
        ("user", "o3"),
    ]


def test_a_history_of_one_shows_the_current_observation_alone():
    assert words(ChatFormat(history=1).conversation("", INITIAL, STEPS)) == [("user", "o3")]
    assert words(ChatFormat(history=1).conversation("", INITIAL, ())) == [("user", "o0")]


def test_a_history_of_two_shows_the_turn_between():
    assert words(ChatFormat(history=2).conversation("", INITIAL, STEPS)) == [
        ("user", "o2"),
        ("assistant", "Action: a2"),
        ("user", "o3"),
    ]


def test_a_history_longer_than_the_episode_shows_all_of_it():
    assert ChatFormat(history=9).conversation("", INITIAL, STEPS) == ChatFormat().conversation("", INITIAL, STEPS)


def test_instructions_can_be_left_out():
    assert words(ChatFormat(instructions=False).conversation("rules", INITIAL, ())) == [("user", "o0")]
    assert words(ChatFormat().conversation("  ", INITIAL, ())) == [("user", "o0")]


def test_sampled_tokens_travel_with_their_turn():
    turn = ChatFormat().conversation("", INITIAL, STEPS)[1]
    assert (turn.token_ids, turn.tokenizer) == ((7, 8), "words")


@pytest.mark.parametrize("format", [ChatFormat(style="action"), ChatFormat(thoughts=False)])
def test_where_thoughts_are_not_shown_neither_are_their_tokens(format):
    turn = format.conversation("", INITIAL, STEPS)[1]
    assert turn.token_ids is None
    assert "t0" not in turn.content
    assert format.parse(turn.content, INITIAL).action == "a0"


def test_a_turn_without_thought_keeps_its_tokens_without_thoughts():
    turn = ChatFormat(thoughts=False).conversation("", INITIAL, STEPS)[5]
    assert (turn.content, turn.token_ids) == ("Action: a2", (7, 8))


@pytest.mark.parametrize("format", [ChatFormat(), ChatFormat(style="action"), ChatFormat(thoughts=False)])
def test_an_answer_can_be_read_back(format):
    answer = format.parse(format.answer("click[next >]", "it isn't here"), INITIAL)
    shown = format.style == "react" and format.thoughts
    assert (answer.action, answer.thought, answer.parsed) == ("click[next >]", "it isn't here" if shown else "", True)


def test_a_whole_episode_is_one_example():
    (example,) = ChatFormat().examples(TRAJECTORY, [1.0, 0.0, 0.5], "rules", "expert")
    assert [message.weight for message in example.messages] == [0, 0, 1.0, 0, 0.0, 0, 0.5]
    assert words(example.messages) == words(ChatFormat().conversation("rules", INITIAL, STEPS))[:-1]
    assert (example.id, example.states, example.trained_turns) == ("t#expert@0", (0, 2), 2)
    assert (example.task, example.source, example.trajectory) == ("task", "expert", "t")


def test_masked_turns_stay_in_the_context_and_what_comes_behind_the_last_weight_is_left_out():
    (example,) = ChatFormat().examples(TRAJECTORY, [0.0, 1.0, 0.0], "", "recovery")
    assert [(message.content, message.weight) for message in example.messages] == [
        ("o0", 0.0),
        ("Thought: t0\nAction: a0", 0.0),
        ("o1", 0.0),
        ("Action: a1", 1.0),
    ]
    assert example.id == "t#recovery@1"


@pytest.mark.parametrize("history", [1, 2, 3, 9])
def test_windows_show_what_the_agent_would_be_shown(history):
    format = ChatFormat(history=history)
    examples = format.examples(TRAJECTORY, [0.5, 0.0, 2.0], "rules", "expert")
    assert [example.id for example in examples] == ["t#expert@0", "t#expert@2"]
    for example in examples:
        (state,) = example.states
        assert example.messages[:-1] == format.conversation("rules", INITIAL, STEPS[:state])
        assert example.messages[-1].weight == (0.5, 0.0, 2.0)[state]
        assert sum(message.weight > 0 for message in example.messages) == 1


@pytest.mark.parametrize("history", [None, 1])
def test_without_weights_there_are_no_examples(history):
    assert ChatFormat(history=history).examples(TRAJECTORY, [0.0] * 3, "", "expert") == []


def test_each_step_needs_a_weight():
    with pytest.raises(ValueError, match="2 weights for the 3 steps of trajectory 't'"):
        ChatFormat().examples(TRAJECTORY, [1.0, 1.0], "", "expert")


def test_misspelt_settings_are_refused():
    with pytest.raises(ValidationError, match="histroy"):
        ChatFormat(histroy=1)


def test_the_format_needs_no_torch():
    code = "import sys, eef_framework.chat.format; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_thoughts_are_shown_without_loss_if_they_are_not_to_be_trained():
    (example,) = ChatFormat(train_thoughts=False).examples(TRAJECTORY, [1.0, 1.0, 1.0], "", "expert")
    turns = [message for message in example.messages if message.role == "assistant"]
    assert [turn.content[turn.silent :] for turn in turns] == ["Action: a0", "Action: a1", "Action: a2"]
    assert [turn.silent for turn in turns] == [len("Thought: t0\n"), 0, 0]
    (example,) = ChatFormat().examples(TRAJECTORY, [1.0, 1.0, 1.0], "", "expert")
    assert not any(message.silent for message in example.messages)


def test_shots_stand_behind_the_instructions_and_are_not_learnt():
    format = ChatFormat(style="action", shots=(("o", "a"), ("o", "a", "p", "b")))
    conversation = format.conversation("rules", INITIAL, STEPS[:1])
    assert conversation[0].role == "system"
    assert conversation[0].weight == 0
    assert conversation[0].content == (
        "rules\n\nExample 1\n\nObservation:\no\n\nAnswer:\na"
        "\n\nExample 2\n\nObservation:\no\n\nAnswer:\na\n\nObservation:\np\n\nAnswer:\nb"
    )
    assert words(conversation[1:]) == words(ChatFormat(style="action").conversation("", INITIAL, STEPS[:1]))
    [example] = format.examples(TRAJECTORY, [1, 1, 1], "rules", "expert")
    assert example.messages[0] == conversation[0]


def test_shots_are_shown_where_instructions_are_not():
    [system, _] = ChatFormat(instructions=False, shots=(("o", "a"),)).conversation("rules", INITIAL, ())
    assert system.content == "Example 1\n\nObservation:\no\n\nAnswer:\na"


def test_an_episode_becomes_a_shot_in_the_words_of_the_format():
    assert ChatFormat().shot(TRAJECTORY) == (
        *("o0", "Thought: t0\nAction: a0"),
        *("o1", "Action: a1"),
        *("o2", "Action: a2"),
    )
    assert ChatFormat(style="action").shot(TRAJECTORY)[:2] == ("o0", "a0")


@pytest.mark.parametrize("shot", [(), ("o",), ("o", "a", "p")])
def test_a_shot_without_an_answer_at_its_end_is_refused(shot):
    with pytest.raises(ValidationError, match=rf"shot 1 has {len(shot)} texts; expected observation, answer"):
        ChatFormat(shots=(("o", "a"), shot))
