"""Definitions of the terms used in the report, for readers who know neither the method nor the code."""

from __future__ import annotations

from eef_framework.report.html import Element, tag

GLOSSARY: dict[str, tuple[str, str]] = {
    "task": ("task", "One thing to do in an environment, such as buying a product that fits a description."),
    "environment": (
        "environment",
        "The program the agent acts in. It describes its state as text and takes actions.",
    ),
    "agent": ("agent", "The language model that is trained. It reads observations and answers with actions."),
    "expert": (
        "expert",
        "The source of demonstrations: a stronger model, a script or recordings. It often fails, too.",
    ),
    "demonstration": ("demonstration", "One attempt of the expert at a training task. It may have failed."),
    "trajectory": ("trajectory", "The observations and actions of one attempt at a task, step by step."),
    "step": ("step", "One action, and the observation that follows."),
    "state": ("state", "The situation after a number of actions. State 0 is the start of the task."),
    "reward": ("reward", "The environment's score of an attempt, usually from 0 to 1 (task fully solved)."),
    "success": ("success", "An attempt whose reward reaches the threshold stated with the results."),
    "held-out": ("held-out tasks", "Tasks kept for evaluation. The agent wasn't trained on them."),
    "interval": (
        "95 % interval",
        "The range in which the true value plausibly lies, given the number of tasks. Smaller differences between "
        "two results may be due to chance.",
    ),
    "difference": (
        "difference on the same tasks",
        "How many more of a hundred tasks one agent solves than another, on the same tasks. If the interval includes "
        "0, either may be better.",
    ),
    "clone": (
        "clone",
        "The agent after behaviour cloning: it imitates the expert's demonstrations, usually the successful ones only. "
        "Methods start from it, unless they have a clone of their own or start from the initial model.",
    ),
    "eef": (
        "EEF, Exploring Expert Failures",
        "The method of arXiv:2504.13145. The agent also starts from states in the middle of the expert's "
        "demonstrations, including failed ones. If it fails from one state and succeeds from a later one, the "
        "expert's actions in between are worth learning.",
    ),
    "rft": (
        "RFT, rejection-sampling fine-tuning",
        "A method in which the agent attempts the training tasks from the start and learns from its own successes.",
    ),
    "sft": (
        "SFT, supervised fine-tuning",
        "Training a model to reproduce given examples, here the expert's turns of a conversation.",
    ),
    "nat": (
        "NAT",
        "A baseline that also learns from failed demonstrations, which are marked as failures in the prompt.",
    ),
    "eto": ("ETO", "A baseline that learns to prefer a successful attempt to a failed one at the same task."),
    "dagger": (
        "DAgger",
        "A baseline in which the expert says what it would do in the states that the agent comes to, and the agent "
        "learns that.",
    ),
    "early-experience": (
        "Early Experience",
        "A baseline that learns to predict what follows the agent's and the expert's actions, then to imitate the "
        "expert.",
    ),
    "ipr": (
        "IPR",
        "A baseline that learns to prefer the better of two actions in the same state, the expert's and the agent's, "
        "as simulations after each show.",
    ),
    "iteration": ("iteration", "One round of exploring with the current agent and then training it on the results."),
    "exploration": ("exploration", "The agent's attempts at training tasks, to find successes to learn from."),
    "simulation": (
        "simulation",
        "An attempt of the agent at a training task, from its start or from a later state, such as one of a "
        "demonstration: the expert's actions up to that state are repeated, then the agent acts.",
    ),
    "attempts": (
        "agent's attempts",
        "How often the agent attempted training tasks, from the start and from probes: its number of simulations. "
        "Papers compare methods at equal numbers of them.",
    ),
    "probe": (
        "probe",
        "A state of a demonstration from which the agent continued, to see whether it succeeds from there. Probes are "
        "numbered along the demonstration; 0 is the start of the task.",
    ),
    "verdict": ("verdict", "The effect of a segment of the expert's actions on the agent's success."),
    "beneficial": (
        "beneficial",
        "The agent fails from the state before these actions and succeeds from the state after them.",
    ),
    "harmful": (
        "harmful",
        "The agent succeeds from the state before these actions and fails from the state after them. It has to learn "
        "to recover.",
    ),
    "neutral": ("neutral", "The agent's success is the same before and after these actions."),
    "unknown": ("unknown", "Not probed, or the results don't allow a verdict."),
    "value": (
        "value",
        "The attributor's estimate of the agent's chance of success from a state of the demonstration, with a 95 % "
        "interval.",
    ),
    "credit": (
        "credit",
        "How much a segment of the expert's actions changed the agent's chance of success: the value after it minus "
        "the value before it, from -1 to 1.",
    ),
    "learned": (
        "learned from",
        "Training raises the probability of these actions. The other steps are context only (they have no loss).",
    ),
    "source-expert": ("expert example", "A successful demonstration of the expert, imitated as a whole."),
    "source-agent": ("agent example", "An attempt of the agent that succeeded from the start of the task."),
    "source-continuation": (
        "continuation example",
        "A task that the agent solved only from a state of the demonstration: it learns the expert's beneficial "
        "actions and its own continuation.",
    ),
    "source-recovery": (
        "recovery example",
        "The agent's continuation from a state that harmful actions of the expert had led to.",
    ),
    "source-advice": (
        "advice example",
        "An episode of the agent up to a state, and what the expert would do there, which is learned.",
    ),
    "source-reflection": (
        "reflection example",
        "An action of the expert, after a thought that a language model wrote: why it is better than the alternatives.",
    ),
    "advice": ("advice", "What the expert said it would do in a state that the agent came to. It wasn't done there."),
    "alternative": (
        "alternative",
        "An action that the agent tried in a state of the expert's success, and what it observed then. It learned to "
        "predict that, or from a comparison with the expert's action.",
    ),
    "reflection": (
        "reflection",
        "What a language model wrote on an action of the expert: why it is better than the agent's alternatives. It is "
        "learned as the thought before the action.",
    ),
    "loss": (
        "training loss",
        "The mean negative log-likelihood of the actions that are learned. It falls during training.",
    ),
    "tokens": (
        "tokens",
        "The units of text that the model processed while acting and training: a measure of computing cost.",
    ),
    "lost": (
        "lost episode",
        "An attempt that ended with an infrastructure error, such as a timeout. It counts as a failure in the results "
        "and is never evidence about an action.",
    ),
    "invalid": ("invalid action", "An action that the environment doesn't accept. It has no effect."),
    "unparsed": ("unparsed answer", "An answer of the model in which no action was found."),
    "kind": ("kind of task", "A group of similar tasks, as defined by the environment."),
    "matched": (
        "matched",
        "The baseline gets as many attempts as the main method, so that a difference isn't due to more attempts.",
    ),
}
"""Key -> the term and its definition."""

_METHODS = ("eef", "rft", "sft", "nat", "eto", "ipr", "dagger", "early-experience")


def term(key: str, text: str | None = None) -> Element:
    """Return a term that shows its definition on hover, focus or tap."""
    return tag("button", text or GLOSSARY[key][0], type="button", class_="term", data_term=key)


def method_term(name: str) -> Element:
    """Return a method's name, with its definition if it is a known method or named after one (`rft-matched`)."""
    key = next((key for key in _METHODS if f"{name.lower()}-".startswith(f"{key}-")), "")
    return term(key, name) if key else tag("b", name)


def glossary_list() -> Element:
    """Return a list of all terms and their definitions."""
    entries = [
        tag("div", tag("dt", name), tag("dd", meaning), id=f"term-{k}") for k, (name, meaning) in GLOSSARY.items()
    ]
    return tag("dl", entries, class_="glossary")
