"""From answers to a training set: what is trained is what was shown and sampled, token by token."""

import asyncio

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.interfaces import Sampling
from eef_framework.policies import TransformersPolicy
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Checkpoint, FreeText, Observation, Step, Task, Trajectory
from eef_framework.training import SftTrainer

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def bytes_model(tmp_path_factory):
    """A model with a byte-level vocabulary and a ChatML template, as released ones have, but small and random."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.train_from_iterator(
        ["Thought: search for a shirt\nAction: search[red shirt] click[buy now]"] * 9,
        trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    folder = tmp_path_factory.mktemp("bytes")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=384,  # more than there are tokens, as in many released models
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return Checkpoint(path=folder)


async def play(policy, format, number):
    """Play an episode of four steps in a world that only counts."""
    initial = Observation(text=f"episode {number}: page 0")
    steps = []
    for state in range(4):
        conversation = format.conversation("You are in a shop.", initial, steps)
        latest = steps[-1].observation if steps else initial
        response = await policy.act(conversation, latest, Sampling(max_tokens=9), seed=10 * number + state)
        answer = format.parse(response.text, latest)
        response = response.changed(thought=answer.thought, parsed=answer.parsed)
        page = Observation(text=f"page {state + 1} after {answer.action!r}")
        steps.append(Step(action=answer.action, observation=page, response=response))
    task = Task(id=str(number), environment="pages")
    return Trajectory(id=str(number), task=task, actor="agent", initial=initial, steps=tuple(steps))


@pytest.mark.parametrize("history", [None, 1, 2])
@pytest.mark.parametrize("kind", ["bytes", "tiny"])
def test_the_trained_tokens_are_the_sampled_ones(bytes_model, start, kind, history):
    checkpoint = bytes_model if kind == "bytes" else start
    format = ChatFormat(history=history, train_unparsed=True)  # the models say nothing that makes sense
    chat = ChatTokenizer(load_tokenizer(checkpoint.path))
    with TransformersPolicy().load(checkpoint) as policy:

        async def together():
            return await asyncio.gather(*(play(policy, format, number) for number in range(5)))

        episodes = asyncio.run(together())
        assert [asyncio.run(play(policy, format, number)) for number in range(5)] == episodes
    for episode in episodes:
        weights = [1.0, 0.0, 0.5, 1.0]
        examples = format.examples(episode, weights, "You are in a shop.", "agent")
        for example in examples:
            ids, loss = chat.encode(example.messages)
            for state in example.states:
                response = episode.steps[state].response
                shown = format.conversation("You are in a shop.", episode.initial, episode.steps[:state])
                prompt = chat.prompt_ids(shown)
                assert response.prompt_tokens == len(prompt)
                end = len(prompt) + len(response.token_ids)
                assert ids[:end] == [*prompt, *response.token_ids]
                assert loss[len(prompt) : end] == [weights[state]] * len(response.token_ids)
            trained = sum(len(episode.steps[state].response.token_ids) for state in example.states)
            assert sum(weight > 0 for weight in loss) == trained


@pytest.mark.slow
def test_an_ordinary_model_is_trained_and_answers(bytes_model, tmp_path):
    format = ChatFormat(train_unparsed=True)
    with TransformersPolicy(model=str(bytes_model.path)).load(bytes_model) as policy:
        episodes = [asyncio.run(play(policy, format, number)) for number in range(3)]
    examples = [example for episode in episodes for example in format.examples(episode, [1.0] * 4, "rules", "agent")]
    trainer = SftTrainer(steps=2, batch_size=2, device="cpu")
    trainer.train(examples, bytes_model, tmp_path / "out", 0, lambda *note: None)
    checkpoint = Checkpoint(path=tmp_path / "out")
    with TransformersPolicy().load(checkpoint) as policy:
        assert asyncio.run(play(policy, format, 1)).steps


def test_a_constrained_answer_of_an_ordinary_model_is_admissible(bytes_model):
    format = ChatFormat(style="action")
    page = Observation(
        text="a page",
        actions=("click[buy now]", "click[back]", "look"),
        free=(FreeText(prefix="search[", suffix="]"), FreeText(prefix="say ", suffix="")),
    )
    sampling = Sampling(temperature=20.0, max_tokens=12, constrain=True)
    with TransformersPolicy().load(bytes_model) as policy:

        async def ask(seed):
            conversation = format.conversation("", page, ())
            return (await policy.act(conversation, page, sampling, seed)).text

        async def together():
            return await asyncio.gather(*map(ask, range(60)))

        texts = asyncio.run(together())
    assert [text for text in texts if not page.admits(format.parse(text, page).action)] == []
    assert {text.split("[")[0].split(" ")[0] for text in texts} == {"click", "look", "search", "say"}
