import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from eef_framework.errors import ConfigError
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.policies.tiny import TinyModel
from eef_framework.records import Message

TALK = (
    Message(role="system", content="You shop."),
    Message(role="user", content="find a red shirt [Search] click[next >] 23.50"),
    Message(role="assistant", content="search[red shirt]"),
)


def test_it_is_an_ordinary_folder_of_transformers(tmp_path):
    checkpoint = TinyModel().build([TALK], tmp_path / "tiny", seed=0)
    model, tokenizer = load_model(checkpoint.path, "auto", "cpu"), load_tokenizer(checkpoint.path)
    assert (tmp_path / "tiny" / "model.safetensors").is_file()
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.vocab_size == len(tokenizer)
    assert 0.6e6 < sum(weights.numel() for weights in model.parameters()) < 0.7e6


def test_an_action_is_one_token_and_the_rest_are_words(tmp_path):
    tokenizer = load_tokenizer(TinyModel().build([TALK], tmp_path, seed=0).path)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("find click[next >] search[red shirt] unheard")["input_ids"])
    assert tokens == ["find", "click[next >]", "search[", "red", "shirt", "]", "<unk>"]


def test_a_conversation_takes_one_token_for_each_role(tmp_path):
    tokenizer = load_tokenizer(TinyModel().build([TALK], tmp_path, seed=0).path)
    messages = [{"role": message.role, "content": message.content} for message in TALK]
    ids = tokenizer.apply_chat_template(messages, return_dict=False)
    assert " ".join(tokenizer.convert_ids_to_tokens(ids)) == (
        "<|system|> You shop. <|user|> find a red shirt [Search ] click[next >] 23.50 "
        "<|assistant|> search[ red shirt ] <|end|>"
    )


def test_which_actions_are_one_token_is_a_setting(tmp_path):
    tokenizer = load_tokenizer(TinyModel(actions=r"search\[[^\]]*\]").build([TALK], tmp_path, seed=0).path)
    assert tokenizer.convert_ids_to_tokens(tokenizer("search[red shirt]")["input_ids"]) == ["search[red shirt]"]


def test_rare_words_go_where_the_vocabulary_is_small(tmp_path):
    talk = [Message(role="user", content="often often often sometimes sometimes once")]
    tokenizer = load_tokenizer(TinyModel(words=2).build([tuple(talk)], tmp_path, seed=0).path)
    assert tokenizer.convert_ids_to_tokens(tokenizer("often sometimes once")["input_ids"]) == [
        "often",
        "sometimes",
        "<unk>",
    ]


def test_weights_depend_on_the_seed_alone(tmp_path):
    def embeddings(name, seed):
        path = TinyModel().build([TALK], tmp_path / name, seed).path
        return load_file(path / "model.safetensors")["model.embed_tokens.weight"]

    assert embeddings("a", 1).equal(embeddings("b", 1))
    assert not embeddings("a", 1).equal(embeddings("c", 2))


def test_without_conversations_there_is_no_vocabulary(tmp_path):
    with pytest.raises(ConfigError) as caught:
        TinyModel().build([], tmp_path, seed=0)
    assert caught.value.code == "no-conversations"


def test_a_pattern_that_is_none_is_refused_at_once():
    assert refused(actions="click[") == {"actions"}


def refused(**settings):
    """Return the settings that an error names; the model's own name where it is about several of them."""
    with pytest.raises(ValidationError) as caught:
        TinyModel(**settings)
    return {".".join(map(str, error["loc"])) for error in caught.value.errors()}


@pytest.mark.parametrize(
    "name", ["hidden", "layers", "heads", "feed_forward", "initializer_range", "positions", "words"]
)
@pytest.mark.parametrize("value", [0, -1, 10**9])
def test_absurd_sizes_are_refused_by_name(name, value):
    assert refused(**{name: value}) == {name}


@pytest.mark.parametrize("sizes", [{"hidden": 130}, {"hidden": 12}, {"hidden": 8192, "layers": 128}])
def test_sizes_that_do_not_go_together_are_refused(sizes):
    assert refused(**sizes) == {""}
