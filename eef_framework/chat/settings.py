"""Settings of the chat format."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from eef_framework.chat.tool_calls import ACT
from eef_framework.records import Tool


class Outcomes(BaseModel):
    """Sentences in the prompt that say how the episode ends."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    success: str = Field(default="Act so that the task is completed.", min_length=1)
    """In all prompts of the agent, and in examples."""
    failure: str = Field(default="Act so that the task is not completed.", min_length=1)
    """In examples of failed demonstrations instead, with `clone.on: marked`."""


class FormatSettings(BaseModel):
    """How an episode is presented to a language model, and how its answers are parsed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    style: Literal["react", "action", "tools"] = "react"
    """`react`: an answer is `Thought: ...` and `Action: ...` on separate lines (arXiv 2210.03629). `action`: an
    answer is the action itself, which constrained sampling requires. `tools`: an answer is a thought and a tool call,
    `<tool_call>{"name": "act", "arguments": {"action": ...}}</tool_call>`, and observations are tool results; the
    notations of Qwen, Llama and Mistral models are read, and a template with a notation of its own writes an answer
    that is nothing but a call."""
    tools: tuple[Tool, ...] | None = None
    """With the style `tools`, the tools that the chat template or the server tells the model about; null for those that
    the environment declares, or if it declares none, `act`, which takes any action."""
    history: int | None = Field(default=None, gt=0)
    """Number of latest observations shown, with the turns between them; null for the whole episode. 1 shows only the
    current observation."""
    instructions: bool = True
    """Prepend the environment's instructions as a system message."""
    outcomes: Outcomes | None = None
    """Sentences at the end of the system message that tell successes from failures (NAT, arXiv 2402.11651): the agent
    learns from both, and is asked for successes. null for none."""
    shots: tuple[tuple[str, ...], ...] = ()
    """Solved episodes shown after the instructions, each as alternating observations and answers; in a recipe also the
    path of a file of trajectories, with all its episodes shown."""
    thoughts: bool = True
    """Show thoughts. Otherwise turns consist only of their action."""
    train_thoughts: bool = True
    """Apply the loss to thoughts, if they are shown. Otherwise a turn has loss from its action on, label included. Text
    after the action never has loss."""
    train_actions: bool = True
    """Apply the loss to actions. Otherwise only thoughts have loss, and reasoning if it is trained. Turns without a
    thought then stay in the context, without loss."""
    reasoning: Literal["keep", "train", "drop"] = "keep"
    """Reasoning before an answer, such as `<think>...</think>`. `keep`: later prompts show it, and it has no loss (in a
    format without thoughts, it isn't shown). `train`: it is shown and has loss. `drop`: it is left out of prompts and
    examples, as many chat templates leave out the reasoning of earlier turns; the agent then learns to answer without.
    An answer that is nothing but reasoning is kept. Trajectories always have the whole answer."""
    train_unparsed: bool = False
    """Apply the loss to whole answers in which no action was found. Otherwise they only stay in the context."""

    @field_validator("shots")
    @classmethod
    def _shots_end_with_an_answer(cls, shots: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for number, shot in enumerate(shots):
            if not shot or len(shot) % 2:
                raise PydanticCustomError(
                    "shot-without-answer",
                    "shot {number} has {texts} texts; expected observation, answer, observation, answer, ..., with an "
                    "answer last",
                    {"number": number, "texts": len(shot)},
                )
            if not all(answer.strip() for answer in shot[1::2]):
                raise PydanticCustomError(
                    "blank-answer",
                    "shot {number} has a blank answer; each text in even place answers",
                    {"number": number},
                )
        return shots

    @field_validator("tools")
    @classmethod
    def _names_are_clear(cls, tools: tuple[Tool, ...] | None) -> tuple[Tool, ...] | None:
        names = [tool.name for tool in tools or ()]
        for tool in tools or ():
            if names.count(tool.name) > 1:
                raise PydanticCustomError(
                    "tool-name-taken",
                    "{count} tools have the name {name}; give each a name of its own",
                    {"name": tool.name, "count": names.count(tool.name)},
                )
            if tool.name == ACT.name and tool.action != ACT.action:
                raise PydanticCustomError(
                    "tool-name-taken",
                    "tool {name}: its action is {given}, but a tool with this name takes any action ({action}); choose "
                    "another name",
                    {"name": tool.name, "given": tool.action, "action": ACT.action},
                )
        return tools

    @model_validator(mode="after")
    def _reasoning_is_trained_with_thoughts(self) -> Self:
        if self.reasoning == "train" and not self.train_thoughts:
            raise PydanticCustomError(
                "reasoning-without-thoughts",
                "reasoning is 'train' and train_thoughts is false: a thought between reasoning and action has the loss "
                "of both; set train_thoughts to true",
            )
        return self

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if not self.train_actions and not (self.train_thoughts and self.shows_thoughts):
            raise PydanticCustomError(
                "nothing-trained",
                "train_actions is false, and thoughts have no loss either: set train_thoughts and thoughts to true, "
                "and style to 'react' or 'tools'",
            )
        return self

    @property
    def shows_thoughts(self) -> bool:
        """Whether turns have thoughts."""
        return self.style != "action" and self.thoughts
