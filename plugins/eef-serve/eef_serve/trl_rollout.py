"""Rollouts for TRL's `GRPOTrainer`: its model plays episodes in an environment, such as one that `eef serve` serves."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from eef_framework.chat import ChatFormat, ChatTokenizer
from eef_framework.errors import EnvironmentFailure, boundary
from eef_framework.interfaces import Environment, Session
from eef_framework.records import Response, Step
from eef_serve.whole_episodes import check_whole

AT_ONCE = 32
"""Maximum number of environment steps at a time."""

Sample = tuple[list[int], list[float]]
"""Tokens of an answer, its stop token included, and the log-probability of each."""


class TrlRollout:
    """A `rollout_func` of TRL's `GRPOTrainer`. Prompts of its data set are ids of tasks; see `rows`.

    An episode is one completion: the model's answers, with the observations between them, which have no loss
    (`env_mask`). Pass `episode_reward` as the reward function.

    Args:
        environment: the environment. It isn't closed.
        split: the tasks' split.
        format: how states become conversations. All observations have to be shown, since an episode is one sequence.
        answer_tokens: maximum length of one answer. The trainer's `max_completion_length` limits the episode: it ends
            before an answer that could exceed this.

    Raises:
        ConfigError: the format doesn't show whole episodes (`format-not-whole`).
    """

    def __init__(
        self, environment: Environment, split: str = "train", format: ChatFormat | None = None, answer_tokens: int = 64
    ) -> None:
        self.environment = environment
        self.tasks = {task.id: task for task in environment.tasks(split)}
        self.format = check_whole(format or ChatFormat()).for_environment(environment)
        self.answer_tokens = answer_tokens

    @property
    def rows(self) -> list[dict[str, str]]:
        """Rows of the trainer's data set, one for each task."""
        return [{"prompt": id} for id in self.tasks]

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """Play an episode for each prompt.

        Args:
            prompts: ids of tasks.
            trainer: the `GRPOTrainer`.

        Returns:
            Tokens of prompts and completions, `logprobs` and `env_mask` for each token of a completion (0 where the
            model didn't sample it), and `episode_reward`, which is None if the environment failed.
        """
        chat = ChatTokenizer(trainer.processing_class)
        limit = self.environment.max_sessions or len(prompts)
        episodes: list[_Episode] = []
        for start in range(0, len(prompts), limit):
            with ExitStack() as stack:
                sessions = (self.environment.open(self.tasks[id]) for id in prompts[start : start + limit])
                group = [_Episode(self, chat, stack.enter_context(session)) for session in sessions]
                self._play(group, chat, trainer)
                episodes += group
        return {
            "prompt_ids": [episode.prompt for episode in episodes],
            "completion_ids": [episode.completion for episode in episodes],
            "logprobs": [episode.logprobs for episode in episodes],
            "env_mask": [episode.mask for episode in episodes],
            "episode_reward": [episode.reward for episode in episodes],
        }

    def _play(self, episodes: Sequence[_Episode], chat: ChatTokenizer, trainer: Any) -> None:
        longest = trainer.args.max_completion_length or float("inf")
        with ThreadPoolExecutor(AT_ONCE) as threads:
            while True:
                waiting = [each for each in episodes if each.asks and each.next_length <= longest]
                if not waiting:
                    return
                answers = sample(trainer, chat, [each.asks for each in waiting], self.answer_tokens)
                list(threads.map(_Episode.answer, waiting, answers))


class _Episode:
    """An episode under way.

    Attributes:
        prompt: the first prompt, `(prompt,)`.
        completion: what follows it, `(completion,)`; `mask` and `logprobs` are of the same length.
        asks: the tokens to be continued by an answer; empty once the episode is over.
        reward: the reward so far; None if the environment failed.
    """

    def __init__(self, rollout: TrlRollout, chat: ChatTokenizer, session: Session) -> None:
        self.rollout, self.chat, self.session = rollout, chat, session
        self.steps: list[Step] = []
        self.completion: list[int] = []
        self.mask: list[int] = []
        self.logprobs: list[float] = []
        self.reward: float | None = session.reward
        self.prompt = self.asks = self._next_prompt()

    @property
    def next_length(self) -> int:
        """Length of the completion after an answer of maximum length."""
        return len(self.asks) - len(self.prompt) + self.rollout.answer_tokens

    def answer(self, sampled: Sample) -> None:
        """Record an answer, and carry out its action."""
        ids, logprobs = sampled
        context = self.asks[len(self.prompt) + len(self.completion) :]
        self.completion += [*context, *ids]
        self.mask += [0] * len(context) + [1] * len(ids)
        self.logprobs += [0.0] * len(context) + logprobs
        text = self.chat.text(ids)
        action = self.rollout.format.parse(text, self.session.observation).action
        try:
            with boundary(
                EnvironmentFailure, self.rollout.environment, f"taking {action!r} in {self.session.task.id!r}"
            ):
                step = self.session.step(action)
        except EnvironmentFailure:
            self.asks, self.reward = [], None
            return
        response = Response(text=text, token_ids=tuple(ids), tokenizer=self.chat.fingerprint)
        self.steps.append(step.changed(response=response))
        self.reward = self.session.reward
        self.asks = [] if self.session.done else self._next_prompt()

    def _next_prompt(self) -> list[int]:
        instructions = self.rollout.environment.instructions
        return self.chat.prompt_ids(self.rollout.format.conversation(instructions, self.session.initial, self.steps))


def sample(trainer: Any, chat: ChatTokenizer, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Sample]:
    """Return an answer of the trainer's model to each prompt, at the trainer's temperature."""
    import torch
    from transformers import GenerationConfig
    from trl.models.utils import unwrap_model_for_generation

    longest, padding = max(map(len, prompts)), chat.stop_ids[-1]
    padded = [[padding] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    shown = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    settings = {
        "do_sample": True,
        "temperature": trainer.args.temperature,
        "top_k": 0,
        "top_p": 1.0,
        "max_new_tokens": max_tokens,
        "eos_token_id": sorted(chat.end_ids),
        "pad_token_id": padding,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    device = trainer.accelerator.device
    with (
        unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator, generation_kwargs=settings) as model,
        torch.no_grad(),
    ):
        found = model.generate(
            input_ids=torch.tensor(padded, device=device),  # (batch, seq)
            attention_mask=torch.tensor(shown, device=device),  # (batch, seq)
            generation_config=GenerationConfig(**settings),
        )
        scores = model.compute_transition_scores(found.sequences, found.scores, normalize_logits=True)  # (batch, new)
    return [
        _until_end(ids, logprobs, chat.end_ids)
        for ids, logprobs in zip(found.sequences[:, longest:].tolist(), scores.tolist(), strict=True)
    ]


def _until_end(ids: list[int], logprobs: list[float], end_ids: frozenset[int]) -> Sample:
    length = next((place + 1 for place, token in enumerate(ids) if token in end_ids), len(ids))
    return ids[:length], logprobs[:length]


def episode_reward(episode_reward: Sequence[float | None], **_: Any) -> list[float | None]:
    """Return the episodes' rewards: a reward function of TRL for `TrlRollout`."""
    return list(episode_reward)
