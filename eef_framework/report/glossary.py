"""Every term the page uses, explained to someone who knows neither the method nor the code."""

from __future__ import annotations

from eef_framework.report.html import Element, tag

GLOSSARY: dict[str, tuple[str, str]] = {
    "task": ("task", "One thing to do in a text world, such as buying a product that fits a description."),
    "world": ("world", "The program the agent acts in. It describes in words what there is to see, and takes actions."),
    "agent": ("agent", "The language model that is being trained. It reads what it sees and answers with an action."),
    "expert": (
        "expert",
        "What showed the agent how tasks are done: a stronger model, a script or recordings. It often fails too.",
    ),
    "demonstration": ("demonstration", "One attempt of the expert at a training task. It may have failed."),
    "trajectory": (
        "trajectory",
        "Everything that happened in one attempt at a task: what was seen and what was done, step by step.",
    ),
    "step": ("step", "One action, and what the world showed in reply."),
    "state": ("state", "Where an attempt stands after some actions. State 0 (s0) is the start of the task."),
    "reward": ("reward", "The world's own mark for an attempt, usually from 0 (nothing right) to 1 (all right)."),
    "success": ("success", "An attempt whose reward reaches the threshold that is stated with the results."),
    "held-out": ("held-out tasks", "Tasks kept for testing. The agent never practised on them."),
    "interval": (
        "95 % interval",
        "The range in which the true value plausibly lies, given how few tasks were played. Where two results differ "
        "by less than such ranges, chance can be the reason.",
    ),
    "difference": (
        "difference on the same tasks",
        "How many more tasks, of each hundred, one agent solves than another when both play the same tasks. If its "
        "interval includes 0, either may be the better one.",
    ),
    "clone": (
        "clone",
        "The agent after its first training: it only imitates the expert's successful demonstrations. All methods "
        "go on from it.",
    ),
    "eef": (
        "EEF, Exploring Expert Failures",
        "The method of arXiv 2504.13145. The agent also starts from states in the middle of the expert's "
        "demonstrations, failed ones included. Where that makes the difference between failing and succeeding, the "
        "expert's actions up to there are worth learning.",
    ),
    "rft": (
        "RFT, rejection-sampling fine-tuning",
        "The usual method: the agent tries the training tasks from their start and learns from its own successes.",
    ),
    "sft": (
        "SFT, supervised fine-tuning",
        "Training a model to repeat given examples, here: good turns of a dialogue.",
    ),
    "nat": ("NAT", "A baseline that also learns from failed demonstrations, which its prompt marks as failures."),
    "eto": ("ETO", "A baseline that learns to prefer a successful attempt over a failed one at the same task."),
    "iteration": ("iteration", "One round of exploring with the current agent and then training on what was found."),
    "exploration": ("exploration", "The agent's own attempts at training tasks, to find successes to learn from."),
    "simulation": (
        "simulation",
        "An attempt of the agent that starts in the middle of an expert's demonstration: the expert's actions up to "
        "there are repeated, then the agent goes on alone.",
    ),
    "attempts": (
        "agent's attempts",
        "How often the agent played training tasks, from their start and from probes alike. Papers compare methods at "
        "equal numbers of these, which they call simulations.",
    ),
    "probe": (
        "probe",
        "A state of a demonstration from which the agent was let go on, to see whether it succeeds from there. Probes "
        "are numbered along the demonstration; 0 is the start of the task.",
    ),
    "verdict": ("verdict", "What a stretch of the expert's actions did to the agent's chances of success."),
    "beneficial": (
        "beneficial",
        "The agent fails from the state before these actions and succeeds from the one after.",
    ),
    "harmful": (
        "harmful",
        "The agent succeeds from the state before these actions and fails from the one after, which needs recovery.",
    ),
    "neutral": ("neutral", "The agent fares the same before and after these actions."),
    "unknown": ("unknown", "Not tried out, or the tries don't allow a verdict."),
    "learned": (
        "learned from",
        "Training raises the probability of these very actions. All other steps are shown to the model as context "
        "only (they get no loss).",
    ),
    "source-expert": ("expert example", "A successful demonstration of the expert, imitated as a whole."),
    "source-agent": ("agent example", "An attempt of the agent itself that succeeded from the start of the task."),
    "source-continuation": (
        "continuation example",
        "A task the agent only solved from a state the expert had brought it to: the expert's useful actions and the "
        "agent's own continuation are learned.",
    ),
    "source-recovery": (
        "recovery example",
        "How the agent got out of a state that harmful actions of the expert had led to.",
    ),
    "loss": (
        "training loss",
        "How surprised the model is by the actions it is to learn. It falls while it learns them.",
    ),
    "tokens": (
        "tokens",
        "The pieces of words a model reads and writes, here all that went through it: a measure of computing cost.",
    ),
    "lost": (
        "lost episode",
        "An attempt that ended in a technical failure, such as a time-out. It counts as a failure in the results and "
        "is never used as evidence about an action.",
    ),
    "invalid": ("invalid action", "An action the world didn't understand. It changes nothing."),
    "unparsed": ("unreadable answer", "An answer of the model in which no action could be found."),
    "kind": ("kind of task", "A group of similar tasks, as the world names them."),
    "matched": (
        "matched",
        "The baseline gets as many attempts as the main method, so that the difference isn't due to more tries.",
    ),
}
"""Key -> the term, and what it means."""

_METHODS = ("eef", "rft", "sft", "nat", "eto")


def term(key: str, text: str | None = None) -> Element:
    """Return a term that explains itself when it is pointed at, focused or tapped."""
    return tag("button", text or GLOSSARY[key][0], type="button", class_="term", data_term=key)


def method_term(name: str) -> Element:
    """Return a method's name, explained if it is a known method or named after one (`rft-matched`)."""
    key = name.partition("-")[0].lower()
    return term(key, name) if key in _METHODS else tag("b", name)


def glossary_list() -> Element:
    """Return all terms with what they mean."""
    entries = [
        tag("div", tag("dt", name), tag("dd", meaning), id=f"term-{k}") for k, (name, meaning) in GLOSSARY.items()
    ]
    return tag("dl", entries, class_="glossary")
