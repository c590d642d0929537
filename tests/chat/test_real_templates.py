"""The templates that models really come with, as TRL ships them: what is trained is what the agent said, and no more.

Tokens are followed all the way into batches: many examples in one piece or each by itself, padded or packed, whole or
cut.
"""

import json
from collections import Counter
from functools import lru_cache
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from eef_framework.chat.format import PREDICT, ChatFormat
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.chat.tool_calls import as_call
from eef_framework.errors import ConfigError, EefWarning
from eef_framework.records import Example, Message, Observation, Response, Step, Task, Tool, Trajectory
from eef_framework.training.batches import micro_batches
from eef_framework.training.collate import collate
from eef_framework.training.dataset import TokenizedDataset
from eef_framework.training.packing import collate_packed, packed_rows

SPECIAL = {
    "cohere": ["<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|CHATBOT_TOKEN|>"],
    "gemma": ["<start_of_turn>", "<end_of_turn>"],
    "gemma3": ["<start_of_turn>", "<end_of_turn>"],
    "llama3": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "llama3_2": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "phi3": ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"],
    "phi3_5": ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"],
    "qwen2_5": ["<|im_start|>", "<|im_end|>"],
    "qwen3_instruct_2507": ["<|im_start|>", "<|im_end|>"],
    "mistral": ["[INST]", "[/INST]"],
}
"""Families, and the special tokens their templates write besides the beginning and the end of a text."""

MISTRAL = (  # TRL has none of this kind
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + '[/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('after the optional system message, roles take turns') }}{% endif %}{% endfor %}"
)

MISTRAL_V3 = (  # the notation of Mistral 7B v0.3 and its successors, in few words
    "{{ bos_token }}{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{% set asked = messages|selectattr('role', 'equalto', 'user')|list %}"
    "{% for m in (messages[1:] if system else messages) %}{% if m['role'] == 'user' %}"
    "{% if tools and m == asked[-1] %}{{ '[AVAILABLE_TOOLS] ' + tools|tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}"
    "{{ '[INST] ' + (system + '\n\n' if loop.last and system else '') + m['content'] + '[/INST]' }}"
    "{% elif m['role'] == 'tool' %}{{ '[TOOL_RESULTS] {\"content\": ' + m['content']|tojson + ', \"call_id\": \"'"
    " + m['tool_call_id'] + '\"}[/TOOL_RESULTS]' }}"
    "{% elif m['tool_calls'] is defined %}{{ '[TOOL_CALLS] [' }}{% for c in m['tool_calls'] %}"
    "{{ '{\"name\": \"' + c['function']['name'] + '\", \"arguments\": ' + c['function']['arguments']|tojson }}"
    "{% if c['id']|length != 9 %}{{ raise_exception('ids of calls have nine characters') }}{% endif %}"
    "{{ ', \"id\": \"' + c['id'] + '\"}' }}{% endfor %}{{ ']' + eos_token }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('no other roles') }}{% endif %}{% endfor %}"
)
MISTRAL_MARKS = [
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
]
MARKS = SPECIAL | {"qwen3": SPECIAL["qwen2_5"], "llama3_1": SPECIAL["llama3"], "mistral_v3": MISTRAL_MARKS}

OWN_NOTATION = {
    "llama3_1": ('{"name": "act", "parameters": {"action": "%s"}}', 'ipython<|end_header_id|>\n\n"%s"<|eot_id|>'),
    "llama3_2": ('{"name": "act", "parameters": {"action": "%s"}}', 'ipython<|end_header_id|>\n\n"%s"<|eot_id|>'),
    "mistral_v3": (
        '[TOOL_CALLS] [{"name": "act", "arguments": {"action": "%s"}, "id": "call%05d"}]',
        '[TOOL_RESULTS] {"content": "%s", "call_id": ',
    ),
}
"""Families whose templates write calls and results in notations of their own: both with the text in place of `%s`."""

WORDS = ["Thought: I should search.\nAction: search[red shirt]", "click[buy now] user assistant model system"] * 9


def template(family):
    if family.startswith("mistral"):
        return MISTRAL if family == "mistral" else MISTRAL_V3
    return files("trl").joinpath(f"chat_templates/{family}.jinja").read_text(encoding="utf-8")


@lru_cache
def chat(family):
    """Return a tokenizer of bytes with a few merges, and the family's template and special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = MARKS[family]
    special = ["<s>", "</s>", *marks]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    return ChatTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<s>",
            eos_token="</s>",
            additional_special_tokens=marks,
            chat_template=template(family),
        )
    )


said = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=25).map(lambda text: f"Action: {text.strip()}.")
turns = st.tuples(st.text(max_size=25).map(lambda text: f"page {text}"), said, st.sampled_from([0.0, 0.5, 1.0]))


@st.composite
def conversations(draw):
    """Make conversations in which at least one turn is learned."""
    head = [Message(role="system", content="You are in a shop.")] if draw(st.booleans()) else []
    pairs = draw(st.lists(turns, min_size=1, max_size=4).filter(lambda pairs: any(weight for *_, weight in pairs)))
    for asked, answer, weight in pairs:
        head += [Message(role="user", content=asked), Message(role="assistant", content=answer, weight=weight)]
    return Example(id="e", messages=tuple(head))


def wanted(tokens, examples):
    """Return how often each token should be learned, and what the learned turns say."""
    learned = [
        tokens.escape_special_tokens(m.content) for example in examples for m in example.messages if m.weight > 0
    ]
    return Counter(token for text in learned for token in (*tokens.answer_ids(text), *tokens.stop_ids)), learned


def learned(batch):
    return batch.targets[batch.loss_weights > 0].tolist()


def texts_in(tokens, batch):
    """Return the texts of the turns that are learned in a batch. The stop tokens are learned with every turn."""
    turns, turn = [], []
    for token in learned(batch):
        turn.append(token)
        if turn[-len(tokens.stop_ids) :] == list(tokens.stop_ids):
            turns.append(tokens.text(turn))
            turn = []
    assert turn == []
    return turns


@pytest.mark.parametrize("family", SPECIAL)
@settings(max_examples=25)
@given(examples=st.lists(conversations(), min_size=1, max_size=4), max_tokens=st.sampled_from([1, 200, 100000]))
def test_the_trained_tokens_are_those_of_the_wanted_turns(family, examples, max_tokens):
    tokens = chat(family)
    counted, texts = wanted(tokens, examples)
    tokenized = TokenizedDataset.from_examples(examples, tokens, max_tokens=100000).examples
    padded = map(collate, micro_batches(tokenized, max_tokens))
    packed = map(collate_packed, packed_rows(tokenized, max_tokens))
    for batches in map(list, (padded, packed)):
        assert sum((Counter(learned(batch)) for batch in batches), Counter()) == counted
        assert sorted(text for batch in batches for text in texts_in(tokens, batch)) == sorted(texts)


def episode_of(turns, tokens=None):
    """Return an episode with an answer and a thought for each action; with sampled tokens if a tokenizer is given."""
    steps = []
    for number, (action, (text, thought)) in enumerate(turns.items()):
        response = Response(text=text, thought=thought)
        if tokens is not None:
            ids = (*tokens.answer_ids(text), *tokens.stop_ids)
            response = response.changed(token_ids=ids, tokenizer=tokens.fingerprint)
        steps.append(Step(action=action, observation=Observation(text=f"page {number}"), response=response))
    task = Task(id="t", environment="shop")
    return Trajectory(id="x", task=task, initial=Observation(text="start"), steps=tuple(steps))


ACTIONS = ("search[lamp]", "click[buy now]")
THINKING = {
    action: (f"<think>\nreason {n}\n</think>\n\nThought: thought {n}\nAction: {action}", f"thought {n}")
    for n, action in enumerate(ACTIONS)
}
"""Turns with reasoning."""
CALLING = {action: (f"Step {n}.\n{as_call(action)}", f"Step {n}.") for n, action in enumerate(ACTIONS)}
"""Turns whose actions are tool calls."""


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("reasoning", ["keep", "train", "drop"])
@pytest.mark.parametrize("family", [*SPECIAL, "qwen3"])
def test_reasoning_is_shown_and_trained_as_set(family, reasoning, sampled):
    tokens = chat(family)
    format = ChatFormat(reasoning=reasoning)
    episode = episode_of(THINKING, tokens if sampled else None)
    if family == "qwen3" and reasoning != "drop" and not sampled:
        # Its template leaves out the reasoning of earlier turns by itself.
        with pytest.raises(ConfigError) as caught:
            tokens.encode(format.examples(episode, [1.0, 1.0], "", "x")[0].messages)
        assert caught.value.code == "template-changes-answer"
        return
    (example,) = format.examples(episode, [1.0, 1.0], "", "x")
    ids, weights = tokens.encode(example.messages)
    text = tokens.tokenizer.decode(ids)
    trained = tokens.tokenizer.decode([token for token, weight in zip(ids, weights, strict=True) if weight])
    for number in range(2):
        assert (f"reason {number}" in text) == (reasoning != "drop")
        assert (f"reason {number}" in trained) == (reasoning == "train")
        assert f"Thought: thought {number}\nAction: " in trained
    assert "page 0" not in trained
    # What is trained follows exactly the prompt that the agent got.
    for state, step in enumerate(episode.steps):
        prompt = tokens.prompt_ids(format.conversation("", episode.initial, episode.steps[:state]))
        if sampled and reasoning != "drop":
            assert ids[: len(prompt) + len(step.response.token_ids)] == [*prompt, *step.response.token_ids]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("thoughts", [False, True])
@pytest.mark.parametrize("family", [*SPECIAL, "qwen3"])
def test_tool_calls_are_trained_exactly(family, thoughts, sampled):
    tokens = chat(family)
    episode = episode_of(CALLING, tokens if sampled else None)
    (example,) = ChatFormat(style="tools", train_thoughts=thoughts).examples(episode, [1.0, 1.0], "", "x")
    ids, weights = tokens.encode(example.messages)
    trained = tokens.tokenizer.decode([token for token, weight in zip(ids, weights, strict=True) if weight])
    stop = tokens.tokenizer.decode(tokens.stop_ids)
    turns = [
        (f"Step {number}.\n" if thoughts else "") + as_call(action)
        for number, action in enumerate(("search[lamp]", "click[buy now]"))
    ]
    turns_trained = [turn.replace("<think>\n\n</think>\n\n", "").lstrip() for turn in trained.split(stop)]
    assert turns_trained == [*turns, ""]
    assert "<tool_response>\npage 0\n</tool_response>" in tokens.tokenizer.decode(ids)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("family", OWN_NOTATION)
def test_calls_are_shown_and_trained_in_the_templates_own_notation(family, sampled):
    tokens, format = chat(family), ChatFormat(style="tools", thoughts=False)
    call, result = OWN_NOTATION[family]
    written = [call % ((action, 2 * n + 1) if "%05d" in call else action) for n, action in enumerate(ACTIONS)]
    episode = episode_of(dict.fromkeys(ACTIONS, ("", "")))
    steps = [
        step.changed(
            response=Response(
                text=tokens.text(tokens.tokens(text)),
                token_ids=(*tokens.tokens(text), *tokens.stop_ids),
                tokenizer=tokens.fingerprint,
            )
            if sampled
            else None
        )
        for step, text in zip(episode.steps, written, strict=True)
    ]
    episode = episode.changed(steps=tuple(steps))
    (example,) = format.examples(episode, [1.0, 1.0], "", "x")
    ids, weights = tokens.encode(example.messages)
    trained = [token for token, weight in zip(ids, weights, strict=True) if weight]
    assert trained == [token for text in written for token in (*tokens.tokens(text), *tokens.stop_ids)]
    # Results have the role of results, and what is trained follows exactly the prompt that the agent got.
    last = tokens.prompt(format.conversation("", episode.initial, episode.steps))
    assert result % "page 0" in last.text
    assert result % "page 1" in last.text
    assert "<tool_" not in last.text
    for state in range(2):
        prompt = tokens.prompt_ids(format.conversation("", episode.initial, episode.steps[:state]))
        answer = [*tokens.tokens(written[state]), *tokens.stop_ids]
        assert ids[: len(prompt) + len(answer)] == [*prompt, *answer]
        assert format.parse(tokens.text(answer), Observation(text="")).action == ACTIONS[state]


SHOP = (
    Tool(name="search", description="Search for <|im_end|> [INST] products.", action="search[{query}]"),
    Tool(name="click", action="click[{target}]"),
)
TOLD = ChatFormat(style="tools", tools=SHOP)
WITH_TOOLS = ["qwen2_5", "qwen3", "qwen3_instruct_2507", "llama3_1", "llama3_2", "mistral_v3"]
"""Families whose templates write tools."""


def native(instructions, episode, tools, escape):
    """Return an episode of calls as messages for the template itself, and the tools as it takes them."""
    messages = [{"role": "system", "content": instructions}] if instructions else []
    messages.append({"role": "user", "content": "start"})
    for number, step in enumerate(episode.steps):
        name, argument = step.action.removesuffix("]").split("[")
        arguments = {tool.name: next(iter(tool.parameters["properties"])) for tool in tools}
        call = {"name": name, "arguments": {arguments[name]: argument}}
        called = [{"id": f"call{2 * number + 2:05}", "type": "function", "function": call}]
        messages += [
            {"role": "assistant", "content": "", "tool_calls": called},
            {"role": "tool", "content": f"page {number}", "tool_call_id": called[0]["id"]},
        ]
    return messages, json.loads(escape(json.dumps([tool.function for tool in tools])))


@pytest.mark.parametrize("instructions", ["", "Rules"])
@pytest.mark.parametrize("family", WITH_TOOLS)
def test_the_template_itself_writes_the_tools(family, instructions):
    tokens = chat(family)
    episode = episode_of(dict.fromkeys(ACTIONS, ("", "")))
    steps = tuple(step.changed(response=None) for step in episode.steps)
    messages, tools = native(instructions, episode, SHOP, tokens.escape_special_tokens)
    if family == "mistral_v3" and instructions:
        messages = [{"role": "user", "content": f"{instructions}\n\nstart"}, *messages[2:]]
    for state in range(3):
        shown = messages[: len(messages) - 2 * (2 - state)]
        text = tokens.tokenizer.apply_chat_template(shown, tools=tools, tokenize=False, add_generation_prompt=True)
        assert tokens.prompt(TOLD.conversation(instructions, episode.initial, steps[:state])).text == text


@pytest.mark.parametrize("family", WITH_TOOLS)
@settings(max_examples=25)
@given(
    said=st.lists(st.sampled_from(["call", "thought", "text"]), min_size=1, max_size=4),
    instructions=st.sampled_from(["", "Rules"]),
    sampled=st.booleans(),
    history=st.sampled_from([None, 1, 2]),
)
def test_with_tools_what_is_trained_follows_exactly_what_was_shown(family, said, instructions, sampled, history):
    tokens, format = chat(family), TOLD.model_copy(update={"history": history})
    written = {
        "call": TOLD.answer("search[lamp]"),
        "thought": TOLD.answer("click[buy now]", "I buy."),
        "text": "hm",
    }
    steps, initial = [], Observation(text="start")
    for number, kind in enumerate(said):
        answer = format.parse(written[kind], initial)
        known = {}
        if sampled:
            ids = (*tokens.answer_ids(written[kind]), *tokens.stop_ids)
            known = {"token_ids": ids, "tokenizer": tokens.fingerprint}
        response = Response(text=written[kind], thought=answer.thought, parsed=answer.parsed, **known)
        steps.append(Step(action=answer.action, observation=Observation(text=f"page {number}"), response=response))
    task = Task(id="t", environment="shop")
    episode = Trajectory(id="x", task=task, initial=initial, steps=tuple(steps))
    examples = format.examples(episode, [1.0] * len(said), instructions, "x")
    trained = [state for state, kind in enumerate(said) if kind != "text"]
    assert [state for example in examples for state in example.states] == trained
    for example in examples:
        ids, weights = tokens.encode(example.messages)
        trained = [place for place, weight in enumerate(weights) if weight]
        for state in example.states:
            prompt = tokens.prompt(format.conversation(instructions, initial, steps[:state]))
            assert prompt.text.count("Search for") == 1
            if history is not None and state != example.states[-1]:
                continue
            start = len(prompt.ids)
            assert list(prompt.ids) == ids[:start]
            end = next(place + 1 for place in range(start, len(ids)) if ids[place] == tokens.stop_ids[-1])
            assert trained[: end - start] == list(range(start, end))
            trained = trained[end - start :]
            read = format.parse(tokens.text(ids[start:end]).removeprefix("<think>\n\n</think>\n\n"), initial)
            assert (read.action, read.thought) == (steps[state].action, steps[state].response.thought)
        assert trained == []


@pytest.mark.parametrize("family", [family for family in SPECIAL if family not in WITH_TOOLS])
def test_a_template_without_tools_is_warned_of(family):
    conversation = TOLD.conversation("Rules", Observation(text="start"), [])
    with pytest.warns(EefWarning) as caught:
        prompt = chat(family).prompt(conversation)
    assert {warning.message.code for warning in caught} == {"template-without-tools"}
    assert prompt.text == chat(family).prompt((conversation[0].changed(tools=()), *conversation[1:])).text


@pytest.mark.parametrize("family", OWN_NOTATION)
def test_special_tokens_in_the_arguments_of_a_call_are_escaped(family):
    tokens, format = chat(family), ChatFormat(style="tools", thoughts=False)
    special = MARKS[family][-1]
    step = Step(action=f"search[{special}]", observation=Observation(text=f"no {special} found"))
    task = Task(id="t", environment="shop")
    episode = Trajectory(id="x", task=task, initial=Observation(text="start"), steps=(step,))
    (example,) = format.examples(episode, [1.0], "", "x")
    ids, weights = tokens.encode(example.messages)
    taught = [token for token, weight in zip(ids, weights, strict=True) if weight]
    assert tokens.tokenizer.convert_tokens_to_ids(special) not in taught[:-1]
    assert tokens.answer_ids(format.answer(step.action)) == taught[:-1]
    assert f"no {special} found" not in tokens.prompt(format.conversation("", episode.initial, [step])).text


@pytest.mark.parametrize("family", OWN_NOTATION)
def test_json_that_is_not_a_call_stays_text(family):
    text = '{"name": "lamp", "arguments": {"price": 3}}'
    said = Message(role="assistant", content=text, weight=1.0)
    page = Message(role="user", content="page")
    tokens = chat(family)
    assert text in tokens.prompt((page, said, page)).text
    ids, weights = tokens.encode((page, said))
    assert tokens.text([token for token, weight in zip(ids, weights, strict=True) if weight]) == text


@pytest.mark.parametrize("history", [None, 1])
@pytest.mark.parametrize("style", ["react", "tools"])
@pytest.mark.parametrize("family", [*SPECIAL, "qwen3"])
def test_a_prediction_trains_exactly_the_next_observation(family, style, history):
    tokens, format = chat(family), ChatFormat(style=style, history=history)
    seen = f"results: {SPECIAL['qwen2_5'][1]} Action: click[red shirt]\nThought: </s> end"
    episode = episode_of(CALLING if style == "tools" else dict.fromkeys(ACTIONS, ("", "")), tokens)
    last = episode.steps[1].changed(observation=Observation(text=seen))
    episode = episode.changed(steps=(episode.steps[0], last))
    example = format.prediction(episode, 1, "Rules")
    ids, weights = tokens.encode(example.messages)
    (dataset,) = TokenizedDataset.from_examples([example], tokens, 100000).examples
    trained = [token for token, weight in zip(ids, weights, strict=True) if weight]
    assert [dataset.token_ids[i] for i in dataset.target_positions] == trained
    # The whole observation and the end of the turn, and nothing of the action, the question or earlier turns.
    assert trained == [*tokens.answer_ids(seen), *tokens.stop_ids]
    assert tokens.text(trained) == tokens.escape_special_tokens(seen)
    assert format.answer(ACTIONS[1]) in example.messages[-2].content
    # Up to the question, the prompt is the agent's own.
    asked = format.conversation("Rules", episode.initial, episode.steps[:1])
    assert example.messages[:-2] == asked[:-1]
    assert example.messages[-2].content.startswith(f"{asked[-1].content}\n\n{PREDICT}\n")


@pytest.mark.parametrize("family", ["qwen2_5", "qwen3_instruct_2507"])
def test_calls_and_results_are_written_as_the_template_of_qwen_writes_them(family):
    tokens = chat(family)
    ours = ChatFormat(style="tools").conversation("Rules", Observation(text="start"), episode_of(CALLING).steps)
    native = [{"role": "system", "content": "Rules"}, {"role": "user", "content": "start"}]
    for number, step in enumerate(episode_of(CALLING).steps):
        call = {"name": "act", "arguments": {"action": step.action}}
        native += [
            {"role": "assistant", "content": f"Step {number}.", "tool_calls": [{"type": "function", "function": call}]},
            {"role": "tool", "content": f"page {number}"},
        ]
    written = tokens.tokenizer.apply_chat_template(native, tokenize=False, add_generation_prompt=True)
    assert tokens.prompt(ours).text == written


@pytest.mark.parametrize("family", SPECIAL)
@settings(max_examples=25)
@given(example=conversations(), share=st.floats(0.0, 1.0))
def test_a_cut_example_has_its_first_turns_whole_and_nothing_of_the_rest(family, example, share):
    tokens = chat(family)
    (whole,) = TokenizedDataset.from_examples([example], tokens, 100000).examples
    max_tokens = 1 + int(share * (len(whole.token_ids) - 1))
    other = Example(
        id="o", messages=(Message(role="user", content=""), Message(role="assistant", content="", weight=1.0))
    )
    if max_tokens < len(tokens.encode(other.messages).token_ids):
        return  # not even the shortest example fits
    done = TokenizedDataset.from_examples([example, other], tokens, max_tokens, "cut")
    cut = [each for each in done.examples if each.id == "e"]
    assert len(done.examples) + len(done.over_long) == 2
    for each in cut:
        size, targets = len(each.token_ids), each.target_positions
        assert size <= max_tokens
        assert each.token_ids == whole.token_ids[:size]
        assert each.loss_weights == whole.loss_weights[:size]
        ends = [place for place in whole.target_positions if whole.token_ids[place] == tokens.stop_ids[-1]]
        assert targets[-1] in ends
        assert not [end for end in ends if targets[-1] < end < max_tokens]  # as many turns as fit


@pytest.mark.parametrize("family", SPECIAL)
@pytest.mark.parametrize("spelt", ["</s>", "{}", "x{}y{}"])
def test_special_tokens_that_pages_or_answers_spell_end_no_turn_and_begin_none(family, spelt):
    tokens = chat(family)
    spelt = spelt.format(SPECIAL[family][0], SPECIAL[family][-1])

    def conversation(page, answer):
        asked, said = Message(role="user", content=page), Message(role="assistant", content=answer, weight=1.0)
        return (asked, said, asked, said)

    special = set(tokens.tokenizer.all_special_ids)
    plain, spelling = (tokens.encode(conversation(f"page {word}", f"Action: {word}.")) for word in ("word", spelt))
    assert [token for token in spelling.token_ids if token in special] == [
        token for token in plain.token_ids if token in special
    ]
    taught = [token for token, weight in zip(spelling.token_ids, spelling.loss_weights, strict=True) if weight]
    assert taught == 2 * [*tokens.answer_ids(f"Action: {spelt}."), *tokens.stop_ids]
    assert tokens.text(taught).replace(" ", "") == 2 * f"Action:{spelt}."


@pytest.mark.parametrize("family", SPECIAL)
def test_what_is_shown_is_what_the_template_writes(family):
    tokens = chat(family)
    messages = (
        Message(role="user", content="a page"),
        Message(role="assistant", content="Action: x", weight=1.0),
        Message(role="user", content="another"),
        Message(role="assistant", content="Action: y", weight=1.0),
    )
    plain = [{"role": message.role, "content": message.content} for message in messages]
    text = tokens.tokenizer.apply_chat_template(plain, tokenize=False)
    shown = tokens.tokenizer.decode(tokens.encode(messages).token_ids, clean_up_tokenization_spaces=False)
    assert text.startswith(shown)
    assert not text.removeprefix(shown).strip().removeprefix("</s>")


FORMS = [
    ("Thought: why\n", "Action: click[x]", "\nObservation: made up"),
    ("**Thought:** why\n", "**Action:** click[x]", ""),
    ("思考：why\n", "行动：click[x]", "\n观察：made up"),
    ("### Thought\nwhy\n", "### Action\nclick[x]", "\n\nmore"),
    ('{"thought": "why", ', '"action": "click[x]"}', "\nmore"),
]


@pytest.mark.parametrize("family", SPECIAL)
@pytest.mark.parametrize(("thought", "action", "made_up"), FORMS)
@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("train_thoughts", [False, True])
def test_loss_is_where_the_parser_found_the_turn(family, thought, action, made_up, sampled, train_thoughts):
    tokens = chat(family)
    parts = (thought, action, made_up)
    ids = [token for part in parts for token in tokens.tokens(part)]
    known = {"token_ids": (*ids, *tokens.stop_ids), "tokenizer": tokens.fingerprint} if sampled else {}
    page, following = Observation(text="page", actions=("click[x]",)), Observation(text="next")
    step = Step(action="click[x]", observation=following, response=Response(text="".join(parts), **known))
    steps = (step.changed(observation=page), step)
    played = Trajectory(id="t", task=Task(id="a", environment="e"), actor="agent", initial=page, steps=steps)
    (example,) = ChatFormat(train_thoughts=train_thoughts).examples(played, [1.0, 1.0], "rules", "agent")
    ids, weights = tokens.encode(example.messages)
    learned = [token for token, weight in zip(ids, weights, strict=True) if weight]
    stop = tokens.tokenizer.decode(tokens.stop_ids) if not made_up else ""
    said = tokens.tokenizer.decode(learned, clean_up_tokenization_spaces=False)
    lead = " " if family == "mistral" and train_thoughts and not sampled else ""  # the template's own
    assert said == 2 * (lead + (thought if train_thoughts else "") + action + stop)


@pytest.mark.parametrize("family", SPECIAL)
@pytest.mark.parametrize(("thought", "action", "made_up"), [form for form in FORMS if form[0]])
@pytest.mark.parametrize("sampled", [False, True])
def test_thoughts_alone_are_trained_up_to_their_last_token(family, thought, action, made_up, sampled):
    tokens = chat(family)
    parts = (thought.rstrip(), thought[len(thought.rstrip()) :], action, made_up)
    ids = [token for part in parts for token in tokens.tokens(part)]
    known = {"token_ids": (*ids, *tokens.stop_ids), "tokenizer": tokens.fingerprint} if sampled else {}
    page = Observation(text="page", actions=("click[x]",))
    step = Step(action="click[x]", observation=page, response=Response(text=thought + action + made_up, **known))
    played = Trajectory(id="t", task=Task(id="a", environment="e"), initial=page, steps=(step, step))
    (example,) = ChatFormat(train_actions=False).examples(played, [1.0, 1.0], "rules", "agent")
    ids, weights = tokens.encode(example.messages)
    learned = [token for token, weight in zip(ids, weights, strict=True) if weight]
    lead = " " if family == "mistral" and not sampled else ""  # the template's own
    said = tokens.tokenizer.decode(learned, clean_up_tokenization_spaces=False)
    assert said == 2 * (lead + thought.rstrip())
