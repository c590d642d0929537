import subprocess
import sys

import pytest
from pydantic import ValidationError

from eef_framework.chat.format import ChatFormat
from eef_framework.records import FreeText, Observation, Response, Step, Task, Trajectory

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


def test_masked_turns_stay_in_the_context_and_what_comes_after_the_last_weight_is_left_out():
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
    with pytest.raises(ValueError, match="'t'"):  # plain Python: it says which trajectory
        ChatFormat().examples(TRAJECTORY, [1.0, 1.0], "", "expert")


def test_misspelt_settings_are_refused():
    with pytest.raises(ValidationError) as caught:
        ChatFormat(histroy=1)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("extra_forbidden", ("histroy",))]


def test_the_format_needs_no_torch():
    code = "import sys, eef_framework.chat.format; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_thoughts_are_shown_without_loss_if_they_are_not_to_be_trained():
    (example,) = ChatFormat(train_thoughts=False).examples(TRAJECTORY, [1.0, 1.0, 1.0], "", "expert")
    turns = [message for message in example.messages if message.role == "assistant"]
    assert [turn.content[turn.unweighted_prefix_chars :] for turn in turns] == [
        "Action: a0",
        "Action: a1",
        "Action: a2",
    ]
    assert [turn.unweighted_prefix_chars for turn in turns] == [len("Thought: t0\n"), 0, 0]
    (example,) = ChatFormat().examples(TRAJECTORY, [1.0, 1.0, 1.0], "", "expert")
    assert not any(message.unweighted_prefix_chars for message in example.messages)


def test_shots_stand_after_the_instructions_and_are_not_learned():
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


def test_the_outcome_is_the_end_of_the_system_message():
    format = ChatFormat(outcomes={"success": "It works.", "failure": "It fails."}, shots=(("seen", "Action: go"),))
    trajectory = Trajectory(
        id="x", task=Task(id="t", environment="e"), actor="a", initial=Observation(text="s"), steps=(step(0),)
    )
    for failed, mark in ((False, "It works."), (True, "It fails.")):
        (example,) = format.examples(trajectory, [1.0], "Do it.", "expert", failed)
        assert example.messages[0].content.splitlines()[-1] == mark
    assert format.conversation("Do it.", trajectory.initial, ()) == (
        *format.examples(trajectory, [1.0], "Do it.", "expert")[0].messages[:-1],
    )


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
    with pytest.raises(ValidationError) as caught:
        ChatFormat(shots=(("o", "a"), shot))
    (error,) = caught.value.errors()
    assert (error["type"], error["ctx"]) == ("shot-without-answer", {"number": 1, "texts": len(shot)})


def test_a_shot_with_a_blank_answer_is_refused():
    with pytest.raises(ValidationError) as caught:
        ChatFormat(shots=(("o", " \n"),))
    assert [error["type"] for error in caught.value.errors()] == ["blank-answer"]


SHOP = Observation(
    text="page", actions=("click[buy now]", "click[back]"), free=(FreeText(prefix="search[", suffix="]"),)
)


def episode(text, format, **step):
    """Return an episode of one step, read as a rollout reads it."""
    answer = format.parse(text, SHOP)
    response = Response(text=text, thought=answer.thought, parsed=answer.parsed)
    taken = Step(**{"action": answer.action, "observation": Observation(text="next"), "response": response, **step})
    return TRAJECTORY.changed(initial=SHOP, steps=(taken,))


def trained(text, format, **step):
    """Return what gets loss of an answer, and whether its stop token does; None if there is no example."""
    examples = format.examples(episode(text, format, **step), [1.0], "", "expert")
    if not examples:
        return None
    turn = examples[0].messages[-1]
    return turn.content[
        turn.unweighted_prefix_chars : len(turn.content) - turn.unweighted_suffix_chars
    ], not turn.unweighted_suffix_chars


SPELLINGS = [
    ("Thought: SECRET\n", "Action: click[buy now]"),
    ("**Thought:** SECRET\n", "**Action:** click[buy now]"),
    ("**Thought**: SECRET\n", "**Action**: click[buy now]"),
    ("thought: SECRET\n", "action: click[buy now]"),
    ("THOUGHT: SECRET\n", "ACTION: click[buy now]"),
    ("Thought 1: SECRET\n", "Action 1: click[buy now]"),
    ("Thought: SECRET\n", "Action : click[buy now]"),
    ("思考：SECRET\n", "行动：click[buy now]"),
    ("### Thought\nSECRET\n\n", "### Action\nclick[buy now]"),
    ("Thought: SECRET\n", "Action: search[Action: Adventure game]"),
    ("Thought: SECRET ", "Action: click[buy now]"),
    ("<thought>SECRET</thought>\n", "<action>click[buy now]</action>"),
    ('{"thought": "SECRET", ', '"action": "click[buy now]"}'),
    ("SECRET\n\n", "click[buy now]"),
    ("", "click[buy now]"),
    ("", "Action: `click[buy now]`.\n"),
    ("Thought: SECRET\n", "Action: search\nAction Input: lamp"),
]


@pytest.mark.parametrize(("thought", "action"), SPELLINGS)
def test_loss_begins_where_the_action_was_found_or_the_thought_before_it(thought, action):
    assert trained(thought + action, ChatFormat(train_thoughts=False)) == (action, True)
    assert trained(thought + action, ChatFormat()) == (thought + action, True)


@pytest.mark.parametrize(("thought", "action"), SPELLINGS)
def test_thoughts_alone_are_trained_where_that_is_set(thought, action):
    found = trained(thought + action, ChatFormat(train_actions=False))
    assert found == ((thought.rstrip(), False) if thought else None)


def test_turns_without_a_thought_stay_in_the_context_of_thoughts():
    (example,) = ChatFormat(train_actions=False).examples(TRAJECTORY, [1.0, 1.0, 1.0], "", "expert")
    assert example.states == (0,)
    turns = [message for message in example.messages if message.role == "assistant"]
    assert [(turn.weight, turn.content[: -turn.unweighted_suffix_chars]) for turn in turns] == [(1.0, "Thought: t0")]
    parted = ChatFormat(train_actions=False, history=1).examples(TRAJECTORY, [1.0, 1.0, 1.0], "", "expert")
    assert [each.states for each in parted] == [(0,)]


@pytest.mark.parametrize("settings", [{"style": "action"}, {"thoughts": False}, {"train_thoughts": False}])
def test_a_format_in_which_nothing_is_trained_is_refused(settings):
    with pytest.raises(ValidationError) as caught:
        ChatFormat(train_actions=False, **settings)
    assert [error["type"] for error in caught.value.errors()] == ["nothing-trained"]


MADE_UP = [
    "\nObservation: MADE UP\nThought: SECRET\nAction: click[back]",
    "\n观察：MADE UP",
    "\nAction: click[back]",
    "\n\nThat should be it.",
    " because it is cheap",
    "\n<think>MADE UP</think>",
    "<|im_end|>\n<|im_start|>user\nMADE UP",
]


@pytest.mark.parametrize("made_up", MADE_UP)
@pytest.mark.parametrize("train_thoughts", [False, True])
def test_what_follows_the_action_gets_no_loss(made_up, train_thoughts):
    format = ChatFormat(train_thoughts=train_thoughts)
    turn = "Thought: x\nAction: click[buy now]"
    assert trained(turn + made_up, format) == (turn if train_thoughts else "Action: click[buy now]", False)


@pytest.mark.parametrize(
    "before", ["<think>SECRET</think>\n\n", "SECRET</think>\n", "[THINK]SECRET[/THINK]", "Observation: MADE UP\n"]
)
def test_reasoning_and_observations_made_up_before_the_turn_get_no_loss(before):
    turn = "Thought: x\nAction: click[buy now]"
    assert trained(before + turn, ChatFormat()) == (turn, True)
    assert trained(before + turn, ChatFormat(train_thoughts=False)) == ("Action: click[buy now]", True)


TURN = "Thought: x\nAction: click[buy now]"
REASONING = ["<think>why</think>\n\n", "why</think>\n", "[THINK]why[/THINK]", "<think>why</think><think>more</think>\n"]


@pytest.mark.parametrize("before", REASONING)
def test_reasoning_is_trained_on_request(before):
    assert trained(before + TURN, ChatFormat(reasoning="train")) == (before + TURN, True)
    assert trained(before + TURN + "\nObservation: MADE UP", ChatFormat(reasoning="train")) == (before + TURN, False)
    action = before + "click[buy now]"
    assert trained(action, ChatFormat(reasoning="train", style="action")) == (action, True)


def test_reasoning_before_something_made_up_is_not_trained():
    text = f"<think>SECRET</think>\nObservation: MADE UP\n{TURN}"
    assert trained(text, ChatFormat(reasoning="train")) == (TURN, True)


@pytest.mark.parametrize("before", REASONING)
def test_reasoning_is_left_out_of_prompts_and_examples_on_request(before):
    drop = ChatFormat(reasoning="drop")
    played = episode(before + TURN, drop)
    assert drop.conversation("", SHOP, played.steps)[1].content == TURN
    assert trained(before + TURN, drop) == (TURN, True)
    (example,) = drop.examples(played, [1.0], "", "expert")
    assert example.messages[-1].content == TURN
    assert played.steps[0].response.text == before + TURN  # the record has it


def test_tokens_with_reasoning_are_not_shown_where_it_is_left_out():
    response = Response(text=f"<think>why</think>\n{TURN}", token_ids=(1, 2, 3), tokenizer="words")
    for mode, ids in (("keep", (1, 2, 3)), ("train", (1, 2, 3)), ("drop", None)):
        format = ChatFormat(reasoning=mode)
        (example,) = format.examples(episode("", format, action="click[buy now]", response=response), [1.0], "", "x")
        assert example.messages[-1].token_ids == ids


def test_an_answer_without_reasoning_is_the_same_in_every_mode():
    response = Response(text=TURN, token_ids=(1, 2, 3), tokenizer="words")
    turns = {
        ChatFormat(reasoning=mode)
        .examples(episode("", ChatFormat(), action="click[buy now]", response=response), [1.0], "", "x")[0]
        .messages
        for mode in ("keep", "train", "drop")
    }
    assert len(turns) == 1


def test_an_answer_that_is_nothing_but_reasoning_is_kept():
    drop = ChatFormat(reasoning="drop")
    assert drop.conversation("", SHOP, episode("<think>why", drop).steps)[1].content == "<think>why"


def test_reasoning_can_not_be_trained_without_the_thought_after_it():
    with pytest.raises(ValidationError) as caught:
        ChatFormat(reasoning="train", train_thoughts=False)
    assert [error["type"] for error in caught.value.errors()] == ["reasoning-without-thoughts"]


@pytest.mark.parametrize("text", ["SECRET rambling", "<think>SECRET", "Thought: SECRET", '{"thought": "SECRET"}'])
def test_an_answer_without_an_action_is_trained_only_on_request(text):
    assert trained(text, ChatFormat()) is None
    assert trained(text, ChatFormat(train_unparsed=True)) == (text, True)
    assert ChatFormat().conversation("", SHOP, episode(text, ChatFormat()).steps)[1].content == text


def test_an_answer_without_an_action_stays_in_the_context_of_the_others():
    unread = step(1, Response(text="SECRET", parsed=False)).changed(action="SECRET")
    (example,) = ChatFormat().examples(TRAJECTORY.changed(steps=(STEPS[0], unread, STEPS[2])), [1.0] * 3, "", "agent")
    assert [message.weight for message in example.messages if message.role == "assistant"] == [1.0, 0.0, 1.0]
    assert example.states == (0, 2)


@pytest.mark.parametrize("format", [ChatFormat(style="action"), ChatFormat(thoughts=False)])
def test_where_thoughts_are_not_shown_neither_is_reasoning(format):
    text = "<think>SECRET</think>\nAction: click[buy now]"
    assert trained(text, format) == (format.answer("click[buy now]"), True)


@pytest.mark.parametrize(
    ("text", "thought", "shown"),
    [
        ("I buy it", "", "Action: click[buy now]"),
        ("I buy it", "it fits", "Thought: it fits\nAction: click[buy now]"),
        ("Action: click[back]\nAction: click[buy now]", "no\nAction: click[back]", "Action: click[buy now]"),
    ],
)
def test_an_answer_that_was_read_by_other_rules_is_worded_by_those_of_the_format(text, thought, shown):
    """So that the agent learns to take the action that was taken, and not the one that would be read here."""
    response = Response(text=text, thought=thought, token_ids=(1, 2), tokenizer="words")
    assert trained(text, ChatFormat(), action="click[buy now]", response=response) == (shown, True)
    assert trained(text, ChatFormat(train_thoughts=False), action="click[buy now]", response=response) == (
        "Action: click[buy now]",
        True,
    )


@pytest.mark.parametrize("text", ["Action: click[buy now]", "**Action:** click[Buy Now]", "click[buy now]"])
def test_where_an_answer_is_the_action_itself_labels_from_elsewhere_are_left_out(text):
    assert trained(text, ChatFormat(style="action"))[0].casefold() == "click[buy now]"
    (example,) = ChatFormat(style="action").examples(episode(text, ChatFormat()), [1.0], "", "expert")
    assert example.messages[-1].content.casefold() == "click[buy now]"


def test_sampled_tokens_keep_their_label_where_an_answer_is_the_action_itself():
    text = "Action: click[buy now]"
    response = Response(text=text, token_ids=(1, 2), tokenizer="words")
    given_ = episode(text, ChatFormat(style="action"), response=response)
    (example,) = ChatFormat(style="action").examples(given_, [1.0], "", "agent")
    assert (example.messages[-1].content, example.messages[-1].token_ids) == (text, (1, 2))


def test_a_shot_shows_thought_and_action_and_nothing_else():
    text = "<think>SECRET</think>\nthought: x\n**Action:** click[Buy Now]\nObservation: MADE UP"
    assert ChatFormat().shot(episode(text, ChatFormat())) == ("page", "Thought: x\nAction: click[buy now]")
    assert ChatFormat(style="action").shot(episode(text, ChatFormat())) == ("page", "click[buy now]")
