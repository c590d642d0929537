"""Models of all kinds: what they answer and what they lose in training is what transformers itself computes."""

import asyncio
import json
import shutil

import pytest
import torch
import transformers as hf

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError
from eef_framework.interfaces import Sampling
from eef_framework.policies import TransformersPolicy
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.records import Checkpoint, Example, Message, Observation
from eef_framework.training import SftTrainer

MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
STATES = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
LINEAR = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
ATTENTION = {"packing": True, "padding": True, "gaps": True}
UNPACKED = ATTENTION | {"packing": False}
WINDOW = ATTENTION | {"gaps": False}
STATE = {"packing": False, "padding": False, "gaps": False}
KINDS = {
    # name: class of the configuration, its settings, what is expected of the model
    "shared keys": ("LlamaConfig", {}, ATTENTION),
    "tied embeddings": ("LlamaConfig", {"tie_word_embeddings": True}, ATTENTION),
    "one head of keys": ("LlamaConfig", {"num_key_value_heads": 1}, ATTENTION),
    "learned positions": ("GPT2Config", {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}, ATTENTION),
    "learned positions with an offset": (
        "OPTConfig",
        {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
        UNPACKED,
    ),
    "ALiBi by mask": ("BloomConfig", {}, UNPACKED),
    "ALiBi by index": (
        "MptConfig",
        {"d_model": 32, "n_heads": 4, "n_layers": 2, "expansion_ratio": 2},
        WINDOW | {"packing": False},
    ),
    "sliding window": ("MistralConfig", {"sliding_window": 16}, WINDOW),
    "windows and capped logits": ("Gemma2Config", {"head_dim": 8, "sliding_window": 16}, WINDOW),
    "windows in some layers": ("Gemma3TextConfig", {"head_dim": 8, "sliding_window": 16}, WINDOW),
    "local attention by mask": (
        "GPTNeoConfig",
        {"attention_types": [[["global", "local"], 1]], "num_heads": 4},
        WINDOW,
    ),
    "experts": ("MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}, ATTENTION),
    "shared experts": ("Qwen2MoeConfig", {**MOE, "shared_expert_intermediate_size": 16}, ATTENTION),
    "states": ("MambaConfig", {"state_size": 8}, STATE),
    "states in heads": ("Mamba2Config", {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1}, STATE),
    "receptance": ("RwkvConfig", {"attention_hidden_size": 32}, STATE),
    "states and attention": (
        "JambaConfig",
        {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "num_experts": 2,
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
        },
        STATE,
    ),
    "states beside attention": ("FalconH1Config", {**STATES, "mamba_d_ssm": 64}, STATE),
    "recurrence and windows": (
        "RecurrentGemmaConfig",
        {"num_hidden_layers": 3, "num_key_value_heads": 1, "attention_window_size": 16, "lru_width": 32},
        STATE,
    ),
    "linear attention": (
        "Qwen3NextConfig",
        {**MOE, **LINEAR, "head_dim": 8, "shared_expert_intermediate_size": 16}
        | {"layer_types": ["linear_attention", "full_attention"]},
        STATE,
    ),
    "convolutions": ("Lfm2Config", {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}, STATE),
}
COMMON = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "initializer_range": 0.4}
COMMON |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}


@pytest.fixture(params=KINDS)
def model(request, checkpoint, tmp_path):
    """A tiny model with random weights of one kind, with the tokenizer of another, and what is expected of it."""
    name, settings, able = KINDS[request.param]
    make = getattr(hf, name, None)
    if make is None:
        pytest.skip(f"this transformers has no {name}")
    tokenizer = load_tokenizer(checkpoint.path)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": tokenizer.eos_token_id}
    config = make(**{**COMMON, "vocab_size": len(tokenizer), **special, **settings})
    torch.manual_seed(0)
    hf.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    for file in checkpoint.path.glob("*t*ken*"):
        shutil.copy(file, tmp_path / "model")
    shutil.copy(checkpoint.path / "chat_template.jinja", tmp_path / "model")
    return Checkpoint(path=tmp_path / "model"), able


@pytest.mark.slow
def test_answers_are_those_that_transformers_generates(model, questions, shop):
    checkpoint, able = model
    asked = [*questions[:10], *[(*q, Message(role="assistant", content="word1"), *q) for q in questions[:3]]]
    free = Observation(text="")

    async def play(policy):
        greedy = Sampling(temperature=0.0, max_tokens=6)
        first = [policy.act(question, free, greedy, 0) for question in asked]
        again = [policy.act(question, free, greedy, 0) for question in reversed(asked)]
        return await asyncio.gather(*first, *again)

    # Logits are not cached, so that the second answers come from cached keys and values.
    with TransformersPolicy(device="cpu", logits_cache_mb=0).load(checkpoint) as policy:
        found = policy.engine.able._asdict()
        answers = [list(response.token_ids) for response in asyncio.run(play(policy))]
    assert (found["padding"], found["gaps"]) == (able["padding"], able["gaps"])
    plain, chat = load_model(checkpoint.path, "float32", "cpu").eval(), ChatTokenizer(load_tokenizer(checkpoint.path))
    wanted = []
    for question in asked:
        ids = torch.tensor([chat.prompt_ids(question)])
        new = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        wanted.append(new[0, ids.shape[1] :].tolist())
    assert answers == [*wanted, *reversed(wanted)]


@pytest.mark.slow
def test_actions_of_several_tokens_do_not_depend_on_the_batch(model, questions, shop):
    """Tokens that must follow go through the model together, and not equally many of each conversation."""
    checkpoint, _ = model
    sampling = Sampling(max_tokens=12, constrain=True)

    async def play(policy, at_once):
        acts = [policy.act(question, shop, sampling, seed) for seed, question in enumerate(questions[:16])]
        responses = []
        for start in range(0, len(acts), at_once):
            responses += await asyncio.gather(*acts[start : start + at_once])
        return [response.text for response in responses]

    def answers(at_once):
        with TransformersPolicy(device="cpu", logits_cache_mb=0, kv_cache_mb=0).load(checkpoint) as policy:
            return asyncio.run(play(policy, at_once))

    alone = answers(1)
    assert alone == answers(16)
    assert len(set(alone)) > 3


@pytest.mark.slow
def test_scores_are_the_logprobs_of_sampled_answers(model, questions, shop):
    checkpoint, _ = model
    asked = questions[:8]

    async def both(policy, sampling):
        answers = await asyncio.gather(*(policy.act(each, shop, sampling, seed) for seed, each in enumerate(asked)))
        pairs = zip(asked, answers, strict=True)
        scores = await asyncio.gather(*(policy.score(each, shop, sampling, [answer]) for each, answer in pairs))
        return [each.logprob for each in answers], [score.logprob for (score,) in scores]

    with TransformersPolicy(device="cpu").load(checkpoint) as policy:
        for constrain in (False, True):
            sampled, scored = asyncio.run(both(policy, Sampling(max_tokens=6, constrain=constrain)))
            assert scored == pytest.approx(sampled, abs=2e-3, rel=1e-3)  # other processors round otherwise


@pytest.mark.slow
def test_losses_are_those_of_transformers(model, questions, tmp_path):
    checkpoint, able = model
    examples = [
        Example(
            id=f"e{index}", messages=(*question, Message(role="assistant", content=f"word{index} word7", weight=1.0))
        )
        for index, question in enumerate(questions[:5])
    ]
    plain, chat = load_model(checkpoint.path, "float32", "cpu").eval(), ChatTokenizer(load_tokenizer(checkpoint.path))
    encoded = [chat.encode(example.messages) for example in examples]
    longest = max(len(each.token_ids) for each in encoded)
    ids = torch.tensor([each.token_ids + [0] * (longest - len(each.token_ids)) for each in encoded])
    mask = torch.tensor([[1] * len(each.token_ids) + [0] * (longest - len(each.token_ids)) for each in encoded])
    learned = torch.tensor([each.loss_weights + [0.0] * (longest - len(each.loss_weights)) for each in encoded]) > 0
    with torch.inference_mode():
        wanted = plain(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(~learned, -100)).loss.item()

    def loss(folder, **settings):
        trainer = SftTrainer(device="cpu", trackers=(), steps=1, batch_size=5, **settings)
        trainer.train(examples, checkpoint, tmp_path / folder, 0, lambda *_: None)
        return json.loads((tmp_path / folder / "training.jsonl").read_text())["loss"]

    assert loss("padded") == pytest.approx(wanted, rel=1e-4)
    if able["packing"]:
        assert loss("packed", packing=True, max_batch_tokens=4096) == pytest.approx(wanted, rel=1e-4)
    else:
        with pytest.raises(ConfigError) as caught:
            loss("packed", packing=True, max_batch_tokens=4096)
        assert caught.value.code == "packing-unsupported"
