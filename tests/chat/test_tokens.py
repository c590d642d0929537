"""Masks are proved by what the trained tokens say, for templates of several families."""

from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from eef_framework.chat.parse import parse_answer
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError
from eef_framework.records import Message, Observation

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{{ '<s>' }}{% for m in messages %}"
    "{{ '<|start|>' + m['role'] + '<|end|>\n\n' + m['content'] | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ '<s>' }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + '</s>' }}"
    "{% else %}{{ raise_exception('only user and assistant roles') }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ '<s>' }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<|start|>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ m['content'] | trim + '<|eot|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>model\n' }}{% endif %}"
)
THINKING = (  # strips thoughts from earlier turns and adds an empty one to the last
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% if loop.last and '</think>' not in m['content'] %}{{ '<think>\n\n</think>\n\n' + m['content'] }}"
    "{% elif loop.last %}{{ m['content'] }}{% else %}{{ m['content'].split('</think>')[-1] }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SYSTEM_LAST = (  # puts the system message in front of the latest user's message
    "{% for m in messages %}{% if m['role'] == 'user' %}"
    "{% if messages[0]['role'] == 'system' and (loop.last or loop.index0 == messages | length - 2) %}"
    "{{ '[INST] ' + messages[0]['content'] + '\n\n' + m['content'] + '[/INST]' }}"
    "{% else %}{{ '[INST] ' + m['content'] + '[/INST]' }}{% endif %}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
)
ENDLESS = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|eot|>", "[INST]", "[/INST]"]
TEMPLATES = {"chatml": CHATML, "llama": LLAMA, "mistral": MISTRAL, "gemma": GEMMA}
STOPS = {"chatml": "<|im_end|>", "llama": "<|eot|>", "mistral": "</s>", "gemma": "<|eot|>", "thinking": "<|im_end|>"}
CORPUS = ["Thought: I should search.\nAction: search[red shirt]", "click[buy now] the user assistant model system"] * 9


@lru_cache
def vocabulary(kind):
    """Return a tokenizer trained on a few words: bytes with merges, or pieces that carry the space before them."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=kind == "pieces"))
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)] if kind == "pieces" else pre_tokenizers.ByteLevel.alphabet()
    if kind == "pieces":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=[*SPECIAL, *alphabet], show_progress=False)
    else:
        tokenizer.normalizer = normalizers.Sequence([])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


@lru_cache
def chat(template, kind="bytes"):
    return ChatTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=vocabulary(kind),
            eos_token="</s>",
            bos_token="<s>",
            additional_special_tokens=SPECIAL[2:],
            chat_template=template,
        )
    )


def user(text):
    return Message(role="user", content=text)


def agent(text, weight=1.0, **more):
    return Message(role="assistant", content=text, weight=weight, **more)


texts = st.text(max_size=30) | st.sampled_from(["Thought: I should.\nAction: click[buy now]", "search[red shirt]"])
turns = st.tuples(texts, texts, st.sampled_from([0.0, 0.5, 1.0]))


@st.composite
def conversations(draw):
    system = [Message(role="system", content="You are in a shop.")] if draw(st.booleans()) else []
    pairs = draw(st.lists(turns, min_size=1, max_size=4))
    return tuple(system + [message for asked, said, weight in pairs for message in (user(asked), agent(said, weight))])


def reference(chat, messages):
    """Return what the template itself writes, with the system message folded in where it refuses one."""
    plain = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return chat.tokenizer.apply_chat_template(plain, tokenize=False)
    except Exception:
        system = plain.pop(0)["content"]
        plain[0]["content"] = f"{system}\n\n{plain[0]['content']}"
        return chat.tokenizer.apply_chat_template(plain, tokenize=False)


def decoded(chat, ids):
    return chat.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=60)
@given(messages=conversations())
def test_trained_tokens_say_the_weighted_turns_and_their_stop_tokens(name, messages):
    tokens = chat(TEMPLATES[name])
    ids, weights = tokens.encode(messages)
    trimmed = name in ("llama", "gemma")
    lead = " " if name == "mistral" else ""
    for weight in (0.5, 1.0):
        turns = [m.content for m in messages if m.role == "assistant" and m.weight == weight]
        wanted = "".join(f"{lead}{turn.strip() if trimmed else turn}{STOPS[name]}" for turn in turns)
        assert decoded(tokens, [token for token, w in zip(ids, weights, strict=True) if w == weight]) == wanted


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=60)
@given(messages=conversations())
def test_all_tokens_together_say_what_the_template_writes(name, messages):
    tokens = chat(TEMPLATES[name])
    assert decoded(tokens, tokens.encode(messages).token_ids) == reference(tokens, messages).removesuffix("\n")


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=40)
@given(messages=conversations())
def test_prompts_are_prefixes_of_what_is_trained(name, messages):
    tokens = chat(TEMPLATES[name])
    ids, weights = tokens.encode(messages)
    for index, message in enumerate(messages):
        if message.role == "assistant":
            prompt = tokens.prompt_ids(messages[:index])
            assert ids[: len(prompt)] == prompt
            assert weights[len(prompt)] == message.weight


@pytest.mark.parametrize("name", TEMPLATES)
def test_tokens_are_those_of_the_whole_text(name):
    """Joining pieces must not invent tokens: after special tokens, pieces are tokenised as in the whole text."""
    messages = (
        user("find a red shirt"),
        agent("Thought: x\nAction: search[red shirt]"),
        user("page"),
        agent("click[x]"),
    )
    for kind in ("bytes", "pieces"):
        tokens = chat(TEMPLATES[name], kind)
        text = reference(tokens, messages).removesuffix("\n")
        assert tokens.encode(messages).token_ids == tokens.tokens(text)


sampled = st.lists(st.integers(min_value=20, max_value=300), min_size=1, max_size=6)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=40)
@given(first=sampled, second=sampled, stops=st.booleans())
def test_sampled_tokens_are_trained_as_they_are(name, first, second, stops):
    tokens = chat(TEMPLATES[name])
    stop = list(tokens.stop_ids)

    def turn(ids, weight):
        return agent(tokens.text(ids), weight, token_ids=tuple(ids), tokenizer=tokens.fingerprint)

    first = first + stop if stops else first
    messages = (user("a"), turn(first, 0.5), user("b"), turn(second + stop, 1.0))
    ids, weights = tokens.encode(messages)
    assert [token for token, weight in zip(ids, weights, strict=True) if weight == 0.5] == first
    assert [token for token, weight in zip(ids, weights, strict=True) if weight == 1.0] == second + stop
    prompt = tokens.prompt_ids(messages[:1])
    after = ids[len(prompt) + len(first) :]
    assert stops or after[: len(stop)] == stop  # a turn that was cut off is closed, without loss
    assert ids[: len(tokens.prompt_ids(messages[:3]))] == tokens.prompt_ids(messages[:3])


def test_tokens_of_another_tokenizer_are_not_used():
    tokens = chat(CHATML)
    turn = agent("click[x]", token_ids=(1, 2, 3), tokenizer="another")
    assert tokens.encode((user("a"), turn)) == tokens.encode((user("a"), agent("click[x]")))


def test_another_end_of_sequence_ends_a_turn_too():
    tokens = chat(CHATML)
    end = tokens.tokenizer.eos_token_id
    turn = agent("x", token_ids=(30, end), tokenizer=tokens.fingerprint)
    ids = tokens.prompt_ids((user("a"), turn, user("b")))
    assert tokens.stop_ids[0] not in ids[ids.index(end) : ids.index(end) + 2]
    assert tokens.end_ids == {end, *tokens.stop_ids}


def test_the_generation_prompt_has_no_weight():
    tokens = chat(CHATML)
    ids, weights = tokens.encode((user("a"), agent("click[x]")))
    prompt = len(tokens.prompt_ids((user("a"),)))
    assert decoded(tokens, ids[:prompt]).endswith("<|im_start|>assistant\n")
    assert not any(weights[:prompt])
    assert all(weights[prompt:])


def test_a_template_that_adds_to_the_last_turn_works_for_one_turn_and_for_plain_histories():
    tokens = chat(THINKING)
    messages = (user("a"), agent("click[x]"), user("b"), agent("click[y]"))
    ids, weights = tokens.encode(messages)
    trained = decoded(tokens, [token for token, weight in zip(ids, weights, strict=True) if weight])
    assert trained == "click[x]<|im_end|><think>\n\n</think>\n\nclick[y]<|im_end|>"
    assert tokens.text(tokens.answer_ids("click[y]")) == "click[y]"


def test_a_template_that_strips_thoughts_from_earlier_turns_is_refused_where_it_would_matter():
    tokens = chat(THINKING)
    thinking = agent("<think>hm</think>click[x]")
    assert tokens.encode((user("a"), thinking)).token_ids
    with pytest.raises(ConfigError) as caught:
        tokens.encode((user("a"), thinking, user("b"), agent("click[y]")))
    assert caught.value.code == "template-changes-answer"
    assert caught.value.details == {"answer": "<think>hm</think>click[x]", "rendered": "click[x]"}


def test_instructions_that_a_template_would_move_stay_before_the_first_observation():
    tokens = chat(SYSTEM_LAST)
    system = Message(role="system", content="rules")
    merged = (user("rules\n\na"), agent("x"), user("b"), agent("y"))
    assert tokens.encode((system, user("a"), *merged[1:])) == tokens.encode(merged)
    assert decoded(tokens, tokens.prompt_ids((system, user("a"), agent("x"), user("b")))).count("rules") == 1


def test_a_template_that_rewrites_earlier_messages_is_refused_even_if_their_length_stays():
    shouting = CHATML.replace("m['content'] +", "(m['content'] | upper if not loop.last else m['content']) +")
    assert chat(shouting).prompt_ids((user("a page"),))
    with pytest.raises(ConfigError) as caught:
        chat(shouting).prompt_ids((user("a page"), agent("X"), user("B")))
    assert caught.value.code == "template-changes-history"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (ENDLESS, "template-without-turns"),
        ("{{ 'nothing' }}", "template-without-turns"),
        ("{{ raise_exception('no') }}", "template-failed"),
        (None, "template-failed"),
    ],
)
def test_templates_without_exact_turns_are_refused(template, code):
    with pytest.raises(ConfigError) as caught:
        chat(template)
    assert caught.value.code == code


def test_a_system_message_is_folded_where_the_template_refuses_one():
    ids = chat(GEMMA).prompt_ids((Message(role="system", content="rules"), user("a")))
    assert decoded(chat(GEMMA), ids) == "<s><|start|>user\nrules\n\na<|eot|>\n<|start|>model\n"


def test_texts_stay_whole_where_the_tokenizer_was_saved_with_truncation():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary("bytes"), eos_token="</s>", chat_template=CHATML)
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    tokens = ChatTokenizer(tokenizer)
    assert decoded(tokens, tokens.tokens("a text of some words")) == "a text of some words"


def test_long_conversations_are_no_problem():
    pair = (user("a page"), agent("click[x]"))
    once, often = (chat(CHATML).encode(pair * times).loss_weights for times in (1, 150))
    assert sum(weight > 0 for weight in often) == 150 * sum(weight > 0 for weight in once)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=30)
@given(
    thought=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).map(str.strip)
    | st.sampled_from(sorted(set(STOPS.values())))
)
def test_an_unweighted_prefix_has_no_loss_and_the_rest_has(name, thought):
    tokens, prefix = chat(TEMPLATES[name]), f"Thought: {thought}.\n"
    messages = (
        user("a"),
        agent(prefix + "Action: click[x]", unweighted_prefix_chars=len(prefix)),
        user("b"),
        agent("Action: y"),
    )
    ids, weights = tokens.encode(messages)
    learned = decoded(tokens, [token for token, weight in zip(ids, weights, strict=True) if weight])
    lead = " " if name == "mistral" else ""
    assert learned == f"Action: click[x]{STOPS[name]}{lead}Action: y{STOPS[name]}"


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("sampled", [False, True])
@settings(max_examples=20)
@given(
    thought=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12).map(str.strip),
    made_up=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12).map(str.strip),
    blank=st.sampled_from(["", "\n", " \n"]),
)
def test_what_is_made_up_after_the_action_has_no_loss_nor_has_the_stop_token(name, sampled, thought, made_up, blank):
    tokens = chat(TEMPLATES[name])
    prefix, action, end = (
        f"{blank}Thought: {tokens.escape_special_tokens(thought)}.\n",
        "行动：click[x]",
        f"\nObservation: {made_up}.",
    )
    ids = (*tokens.tokens(prefix), *tokens.tokens(action), *tokens.tokens(end), *tokens.stop_ids)
    known = {"token_ids": ids, "tokenizer": tokens.fingerprint} if sampled else {}
    content = tokens.text(ids) if sampled else prefix + action + end
    turn = agent(
        content, unweighted_prefix_chars=len(content) - len(action + end), unweighted_suffix_chars=len(end), **known
    )
    ids, weights = tokens.encode((user("a"), turn, user("b"), agent("Action: y")))
    learned = decoded(tokens, [token for token, weight in zip(ids, weights, strict=True) if weight])
    lead = " " if name == "mistral" else ""
    assert learned == f"{action}{lead}Action: y{STOPS[name]}"


def test_an_unweighted_suffix_leaves_the_template_s_own_words_and_what_comes_before_alone():
    tokens = chat(THINKING)
    ids, weights = tokens.encode((user("a"), agent("Action: x\nand so on", unweighted_suffix_chars=len("\nand so on"))))
    learned = decoded(tokens, [token for token, weight in zip(ids, weights, strict=True) if weight])
    assert learned == "<think>\n\n</think>\n\nAction: x"
    ids, weights = tokens.encode(
        (user("a"), agent("Thought: a\nAction: x", unweighted_prefix_chars=len("Thought: a\n")))
    )
    learned = decoded(tokens, [token for token, weight in zip(ids, weights, strict=True) if weight])
    assert learned == "Action: x<|im_end|>"


def test_special_tokens_that_mark_reasoning_are_part_of_an_answer_and_others_are_not():
    special = [*SPECIAL[2:], "[THINK]", "[/THINK]", "<|channel|>", "<|message|>"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary("bytes"), eos_token="</s>", chat_template=CHATML)
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokens = ChatTokenizer(tokenizer)
    said = "[THINK]a[/THINK]click[x]"
    assert tokens.text(tokens.tokens(said + "<|eot|><|im_end|></s>")) == said
    said = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>click[x]"
    kept = tokens.text(tokens.tokens(said + "<|im_end|>"))
    assert kept == said.replace("<|end|><|start|>", "")
    answer = parse_answer(kept, Observation(text=""), labelled=False)
    assert (answer.action, len(answer.reasoning)) == ("click[x]", 1)


def test_a_long_turn_takes_no_longer_for_its_unweighted_parts():
    """A hundred times the characters take about a hundred times as many look-ups of tokens, not ten thousand times."""
    tokens = chat(CHATML)
    read = []
    decode = tokens.tokenizer.decode
    for length in (50, 5000):
        count = [0]

        def counted(ids, count=count, **options):
            count[0] += len(ids)
            return decode(ids, **options)

        tokens.tokenizer.decode = counted
        try:
            content = "a b " * length
            tokens.encode(
                (
                    user("a"),
                    agent(
                        content, unweighted_prefix_chars=len(content) // 2, unweighted_suffix_chars=len(content) // 4
                    ),
                )
            )
        finally:
            del tokens.tokenizer.decode
        read.append(count[0])
    assert read[1] < 400 * read[0]


def test_drift_is_a_difference_from_the_tokens_of_the_whole_text():
    """Where a template's newline and an answer's are one token in the text as a whole, they are two turn by turn."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet, vocab_size=280)
    tokenizer.train_from_iterator(["\n\n"] * 50, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=CHATML)
    wrapped.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    tokens = ChatTokenizer(wrapped)
    plain, drifting = (user("a"), agent("x")), (user("a"), agent("\nx"))
    assert not tokens.differs_from_full_tokenization(plain, tokens.encode(plain).token_ids)
    assert tokens.differs_from_full_tokenization(drifting, tokens.encode(drifting).token_ids)
    assert decoded(tokens, tokens.encode(drifting).token_ids).endswith("assistant\n\nx<|im_end|>")
