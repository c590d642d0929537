"""How fast are rollouts? Many episodes in the engine, beside one at a time with transformers' `generate`.

Both sides have the same weights in the same type and play the same tasks with the whole episode as history: those of
the generated shop, few turns and long pages as in WebShop, or of another environment. What is done in them is what a
scripted expert does, so that a model that can't play yet sees the observations of whole episodes. The model answers
every turn with as many tokens as the expert's action has there, or with a fixed number; it can't end an answer itself,
or chance would decide which side has more to write. `generate` has its cache of keys and values within a call, and
starts anew with every turn; of each group of tasks it plays those whose length is nearest to the group's mean. The
engine has as many episodes in flight as it is told until the last ones of a group, as in a run with many tasks. The
sides take turns, every time on other tasks; medians are compared, in wall-clock time and in processor time, which other
programs on the machine change less.

How long the model itself takes, apart for prompts and for further tokens, says where the limit is: an engine that cost
nothing else would take that long.

Tokens through the model are compared with the least there can be: every different beginning once for each group of
episodes.

    python benchmarks/rollout_speed.py                          # smollm2-135m, about 20 minutes on two cores
    python benchmarks/rollout_speed.py --dtype bfloat16 --env '{name: sciworld, types: [boil]}' --expert sciworld-gold
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from common import arguments, finish

from eef_framework import Checkpoint, Policy, Response, Sampling, derive, load_plugins
from eef_framework.chat.format import ChatFormat
from eef_framework.policies import TransformersPolicy
from eef_framework.rollout import demonstrations

FORMAT = ChatFormat(style="action")


def main() -> None:
    args = arguments(
        __doc__,
        {"model": "tiny", "turns": 1, "in_flight": 4, "episodes": 6, "alone": 6, "temperature": 0.0}
        | {"env": "{name: shop, mode: compact}"},
        model=("smollm2-135m", "`tiny`, or whatever policy.model takes"),
        env=("{name: shop, mode: text}", "environment and settings, as YAML"),
        expert=("shopper", "scripted expert and settings, as YAML"),
        dtype=("auto", "auto, float32, bfloat16 or float16"),
        device=("auto", "where to compute"),
        in_flight=(16, "episodes at once in the engine"),
        episodes=(32, "episodes of the engine, in each of its turns"),
        alone=(2, "episodes one after the other, in each turn of that side"),
        turns=(3, "how often each side plays"),
        answer_tokens=(None, "length of every answer; the expert's action's if left out", int),
        temperature=(1.0, "of the answers; at 0 both sides have to give the same ones"),
        threads=(None, "of torch; its own choice if left out", int),
    )
    report = measure(args)
    turns = report["turns"]
    played = [turn for side in turns.values() for turn in side]
    checks = {"every answer had its length": all(turn["sampled"] == turn["wanted"] for turn in played)}
    if args.temperature == 0 and args.dtype in ("auto", "float32"):
        pairs = zip(turns["engine"], turns["generate"], strict=True)
        same = [a["said"].get(key) == said for a, b in pairs for key, said in b["said"].items()]
        checks["the engine answers as `generate` does"] = len(same) > 0 and all(same)
    for turn in played:
        del turn["said"]
    finish(args, report, as_text(report), checks)


def measure(args: Any) -> dict:
    """Play the turns of both sides alternately, and return the report."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    needed = 1 + args.turns * args.episodes
    with tempfile.TemporaryDirectory() as folder:
        environment, demonstrations = played(args.env, args.expert, needed)
        settings = TransformersPolicy(model=args.model, dtype=args.dtype, device=args.device)
        checkpoint = initial_checkpoint(settings, environment, demonstrations, Path(folder))
        engine = settings.load(checkpoint)
        plain = OneAtATime(engine, checkpoint)
        clock = Clock(engine.engine.model, engine.chat.end_ids)
        waiting = iter(demonstrations)
        first = [next(waiting)]
        for policy in (engine, plain):  # both sides warm up
            play(policy, environment, first, args, clock, 1)
        turns: dict[str, list[dict]] = {"engine": [], "generate": []}
        for turn in range(args.turns):
            group = [next(waiting) for _ in range(args.episodes)]
            parts = [
                ("engine", engine, group, args.in_flight),
                ("generate", plain, typical(group, args.alone), 1),
            ]
            for side, policy, part, at_once in parts if turn % 2 == 0 else parts[::-1]:
                turns[side].append(play(policy, environment, part, args, clock, at_once))
    return summary(args, turns, str(engine.engine.model.dtype), torch.get_num_threads())


class Clock:
    """Measures how long a model takes, and makes ends of answers impossible.

    Args:
        model: whose calls to measure.
        ends: the tokens that end an answer.
    """

    def __init__(self, model, ends) -> None:
        self._ends = sorted(ends)
        self.reset()
        model.register_forward_pre_hook(self._begin, with_kwargs=True)
        model.register_forward_hook(self._end, with_kwargs=True)

    def reset(self) -> None:
        """Begin anew."""
        self.seconds = {"prompts": 0.0, "further tokens": 0.0}
        self.calls = {"prompts": 0, "further tokens": 0}

    def _begin(self, model, args, kwargs) -> None:
        self._began = time.perf_counter()

    def _end(self, model, args, kwargs, output):
        part = "further tokens" if kwargs["input_ids"].shape[1] == 1 else "prompts"
        self.seconds[part] += time.perf_counter() - self._began
        self.calls[part] += 1
        output.logits[..., self._ends] = -1e4
        return output


def typical(group: list, count: int) -> list:
    """Return the episodes whose length is nearest to the mean."""
    mean = statistics.mean(len(each.steps) for each in group)
    return sorted(group, key=lambda each: abs(len(each.steps) - mean))[:count]


def played(environment: str, expert: str, count: int):
    """Return an environment and a scripted expert's episodes there."""
    registry = load_plugins()
    world, who = (
        registry.build(kind, spec if isinstance(spec := yaml.safe_load(text), dict) else {"name": spec})
        for kind, text in (("environment", environment), ("expert", expert))
    )

    tasks = list(world.tasks("train")[:count])
    if len(tasks) < count:
        raise SystemExit(
            f"{environment} has {len(tasks)} training tasks, {count} are needed: lower --episodes or --turns"
        )

    async def collect():
        return [trajectory async for trajectory in demonstrations(who, world, tasks, 0)]

    return world, asyncio.run(collect())


def initial_checkpoint(settings, environment, demonstrations, folder: Path) -> Checkpoint:
    """Write a checkpoint whose vocabulary fits the demonstrations."""
    conversations = [FORMAT.conversation(environment.instructions, each.initial, each.steps) for each in demonstrations]
    return settings.initial_checkpoint(conversations, folder, seed=0)


class OneAtATime(Policy):
    """What a straightforward script does: `generate` for each turn, with the whole prompt.

    Args:
        engine: whose weights and tokenizer to use.
        checkpoint: where they came from.
    """

    name = "one-at-a-time"

    def __init__(self, engine: Policy, checkpoint: Checkpoint) -> None:
        super().__init__()
        object.__setattr__(self, "_parts", (engine.engine.model, engine.chat))

    async def act(self, conversation, observation, sampling, seed) -> Response:
        """Answer the last message."""
        import torch

        model, chat = self._parts
        prompt = chat.prompt_ids(conversation)
        torch.manual_seed(seed % 2**63)
        chance = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode():
            ids = torch.tensor([prompt], device=model.device)
            whole = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=sampling.max_tokens,
                eos_token_id=sorted(chat.end_ids),
                pad_token_id=chat.stop_ids[-1],
                **(chance if sampling.temperature else {"do_sample": False}),
            )
        new = whole[0, len(prompt) :].tolist()
        return Response(text=chat.text(new), token_ids=tuple(new), tokenizer=chat.fingerprint)


def play(policy: Policy, environment, demonstrations, args, clock: Clock, at_once: int) -> dict:
    """Play episodes, so many at once: where one ends, the next begins. Returns figures."""
    clock.reset()
    engine = getattr(policy, "engine", None)
    before = (engine.statistics.tokens, engine.statistics.recomputed) if engine else (0, 0)
    seen: list[tuple[int, ...]] = []
    wall, processor = time.perf_counter(), time.process_time()
    answers = asyncio.run(all_of(policy, environment, demonstrations, args, at_once))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    figures = {
        "episodes": len(demonstrations),
        "answers": len(answers),
        "sampled": sum(len(new) for _, new, _ in answers),
        "wanted": sum(wanted for *_, (_, wanted) in answers),
        "said": {key: new for _, new, (key, _) in answers},
        "seconds": round(wall, 2),
        "processor_seconds": round(processor, 2),
        "in_model": {part: round(seconds, 2) for part, seconds in clock.seconds.items()},
        "calls": dict(clock.calls),
    }
    if engine:
        seen = [(*prompt, *new[:-1]) for prompt, new, _ in answers]
        figures["tokens"] = engine.statistics.tokens - before[0]
        figures["recomputed"] = engine.statistics.recomputed - before[1]
        figures["unavoidable"] = different_beginnings(seen)
    return figures


async def all_of(policy: Policy, environment, demonstrations, args, at_once: int) -> list[tuple]:
    """Play episodes side by side. Returns prompt, sampled tokens, and name and wanted length of every answer."""
    places = asyncio.Semaphore(at_once)
    chat = policy._parts[1] if isinstance(policy, OneAtATime) else policy.chat

    async def episode(trajectory) -> list[tuple]:
        answers, steps = [], []
        async with places:
            for turn, step in enumerate(trajectory.steps):
                conversation = FORMAT.conversation(environment.instructions, trajectory.initial, steps)
                seed = derive(0, trajectory.id, turn)
                # The token after the action is the one that would end the answer.
                length = args.answer_tokens or 1 + len(chat.answer_ids(FORMAT.answer(step.action)))
                sampling = Sampling(temperature=args.temperature, max_tokens=length)
                response = await policy.act(conversation, trajectory.observation(turn), sampling, seed)
                steps.append(step.changed(response=response))
                what = (f"{trajectory.id}/{turn}", length)
                answers.append((tuple(chat.prompt_ids(conversation)), response.token_ids, what))
        return answers

    found = await asyncio.gather(*(episode(trajectory) for trajectory in demonstrations))
    return [answer for answers in found for answer in answers]


def different_beginnings(sequences: list[tuple[int, ...]]) -> int:
    """Count the nodes of the tree that has the sequences as its paths."""
    total, last = 0, ()
    for ids in sorted(sequences):
        common = next((i for i, (a, b) in enumerate(zip(ids, last, strict=False)) if a != b), min(len(ids), len(last)))
        total, last = total + len(ids) - common, ids
    return total


def summary(args: Any, turns: dict[str, list[dict]], dtype: str, threads: int) -> dict:
    """Return medians over turns, and ratios of the two sides."""

    def rate(side: str, clock: str) -> float:
        # By answers, as the typical episodes are not quite as long as the mean.
        return statistics.median(60 * turn["answers"] / length / turn[clock] for turn in turns[side])

    length = sum(turn["answers"] for turn in turns["engine"]) / sum(turn["episodes"] for turn in turns["engine"])

    report: dict = {
        "model": args.model,
        "environment": args.env,
        "turns_an_episode": length,
        "dtype": dtype,
        "threads": threads,
        "in_flight": args.in_flight,
        "answer_tokens": sum(t["sampled"] for t in turns["engine"]) / sum(t["answers"] for t in turns["engine"]),
        "turns": turns,
    }
    for clock in ("seconds", "processor_seconds"):
        rates = {side: rate(side, clock) for side in turns}
        report[f"episodes_per_minute, {clock}"] = rates
        report[f"times as fast, {clock}"] = rates["engine"] / rates["generate"]
    for side, played in turns.items():
        for part in ("prompts", "further tokens"):
            seconds = sum(turn["in_model"][part] for turn in played)
            report[f"{side}: {part}, ms an answer"] = 1e3 * seconds / sum(turn["answers"] for turn in played)
            report[f"{side}: {part}, ms a call"] = 1e3 * seconds / max(1, sum(turn["calls"][part] for turn in played))
        report[f"{side}: in the model"] = sum(sum(turn["in_model"].values()) for turn in played) / sum(
            turn["seconds"] for turn in played
        )
    engine = turns["engine"]
    report["tokens_to_unavoidable"] = sum(turn["tokens"] for turn in engine) / sum(t["unavoidable"] for t in engine)
    report["tokens_per_answer"] = sum(turn["tokens"] for turn in engine) / sum(turn["answers"] for turn in engine)
    report["recomputed_per_1000"] = 1e3 * sum(t["recomputed"] for t in engine) / sum(t["sampled"] for t in engine)
    return report


def as_text(report: dict) -> str:
    """Return the report as lines of text."""
    lines = [
        f"{report['environment']}, {report['turns_an_episode']:.1f} turns an episode, "
        f"{report['answer_tokens']:.1f} tokens an answer; "
        f"{report['model']}, {report['dtype']}, {report['threads']} threads, {report['in_flight']} in flight"
    ]
    for clock, words in (("seconds", "wall clock"), ("processor_seconds", "processor time")):
        rates = report[f"episodes_per_minute, {clock}"]
        lines.append(
            f"{words}: engine {rates['engine']:.2f} episodes/min, generate {rates['generate']:.2f}: "
            f"{report[f'times as fast, {clock}']:.1f} times as fast (medians of {len(report['turns']['engine'])})"
        )
    lines += [
        f"{side}: {100 * report[f'{side}: in the model']:.0f} % of the time in the model; an answer takes "
        f"{report[f'{side}: prompts, ms an answer']:.0f} ms for its prompt and "
        f"{report[f'{side}: further tokens, ms an answer']:.0f} ms for further tokens "
        f"({report[f'{side}: further tokens, ms a call']:.0f} ms a call)"
        for side in ("engine", "generate")
    ]
    lines.append(
        f"tokens through the model: {report['tokens_per_answer']:.0f} per answer, "
        f"{report['tokens_to_unavoidable']:.3f} times the unavoidable; "
        f"{report['recomputed_per_1000']:.2f} of 1,000 choices made again"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
