"""Checks of methods before a run: settings that contradict one another, or that a component can't fulfil."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from eef_framework.config.schema import RunConfig
from eef_framework.config.validation import how_to_name
from eef_framework.errors import ConfigError, EefWarning
from eef_framework.interfaces import Expert, Policy, TrainablePolicy, Trainer
from eef_framework.interfaces.expert import cannot_continue
from eef_framework.pipeline.attribution import plan_of
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.pairs import require_whole_episodes
from eef_framework.pipeline.preflight import needs_demonstrations


def check_methods(context: RunContext, variants: Sequence[RunConfig]) -> None:
    """Reject methods that can't work.

    Args:
        context: the run's context.
        variants: the configuration of each method, the run's own first.

    Raises:
        ConfigError: a name or a setting is invalid, or two are incompatible.
    """
    for variant in variants:
        check_method(context, variant)
        _check_weights(context, variant)
    _check_expert(context, variants)
    _check_match(context, variants[0])
    for baseline in variants[1:]:
        if not baseline.iterations and baseline.clone == variants[0].clone:
            message = EefWarning(
                f"baseline {baseline.method!r} adds nothing: it has no iterations, and its clone is the one that all "
                "methods share",
                code="empty-baseline",
                method=baseline.method,
            )
            warnings.warn(message, stacklevel=2)


def check_method(context: RunContext, config: RunConfig) -> None:
    """Reject a method that can't work by itself. Builds its components, so that misspelt names are found, too.

    Args:
        context: the run's context.
        config: the configuration of the method.

    Raises:
        ConfigError: a name or a setting is invalid.
    """
    _check_trainers(context, config)
    if config.clone.on == "marked" and config.format.outcomes is None:
        raise ConfigError(
            f"method {config.method!r} marks failures in the prompt, and format.outcomes, which has the sentences "
            "to mark them with, is null",
            "Set format.outcomes in the run's own configuration, as the recipe nat does: methods that are compared "
            "share it.",
            code="no-marks",
            method=config.method,
        )
    if config.explore.advice and config.iterations and not context.expert.continues:
        raise cannot_continue(context.expert)
    if config.iterations and not _explores(config):
        raise ConfigError(
            f"method {config.method!r} explores, and explore.simulations is 0, with neither attribution nor "
            "explore.alternatives",
            "Set explore.simulations to 1 or more.",
            code="nothing-to-explore",
            method=config.method,
        )
    if config.explore.reflection is not None and config.iterations:
        _check_reflection(config, context.judge(config.explore.reflection))
    _check_scores(context, config)
    context.filters(config)
    constrained = config.explore.sampling.constrain or config.evaluate.sampling.constrain
    if constrained and config.format.style != "action":
        raise ConfigError(
            f"sampling.constrain allows nothing but actions, and format.style is {config.format.style!r}",
            "Set format.style to 'action', or sampling.constrain to false.",
            code="constrained-thoughts",
        )


def _check_scores(context: RunContext, config: RunConfig) -> None:
    """Reject a policy that can't score, if the attributor needs scores. One with weights shows it when loaded."""
    attributor = context.attributor(config)
    if attributor is None or config.explore.attribute == "none" or not attributor.needs_scores:
        return
    if isinstance(context.policy, Policy) and type(context.policy).score is Policy.score:
        name, policy = attributor.component_name(), context.policy.component_name()
        raise ConfigError(
            f"attributor {name!r} needs the agent's log-probabilities, and policy {policy!r} has none of given answers",
            "Use a policy that has them, such as transformers, or another attributor.",
            code="scoring-unsupported",
            attributor=name,
            policy=policy,
        )


def _check_trainers(context: RunContext, config: RunConfig) -> None:
    cloning = context.trainer(config.clone.trainer)
    tuning = context.trainer(config.tune.trainer or config.clone.trainer)
    predicting = context.trainer(config.tune.world_model_trainer(config.clone))
    if config.clone.on != "none":
        _check_policy_of(context, cloning, "clone.trainer")
    if config.iterations:
        _check_policy_of(context, tuning, "tune.trainer" if config.tune.trainer else "clone.trainer")
    if config.select.pairs:
        require_whole_episodes(config.format)
    if cloning.needs_pairs:
        raise ConfigError(
            f"trainer {cloning.component_name()!r} learns from pairs, and cloning the expert has none",
            "Name another in clone.trainer (`sft`), and this one in tune.trainer.",
            code="no-pairs",
        )
    if config.explore.predicts and predicting.needs_pairs:
        raise ConfigError(
            f"trainer {predicting.component_name()!r} learns from pairs, and observations to predict aren't pairs",
            "Name another in tune.world_model (`sft`).",
            code="no-pairs",
        )
    if config.select.step_pairs and config.attributor is None:
        raise ConfigError(
            "select.step_pairs compares actions by verdicts, and there is no attributor",
            "Name one that judges each action, such as montecarlo, or set select.step_pairs to false.",
            code="no-pairs",
        )
    if tuning.needs_pairs and not config.select.learns_pairs:
        raise ConfigError(
            f"trainer {tuning.component_name()!r} learns from pairs, and select.pairs and select.step_pairs are false",
            "Set select.pairs to true, as the recipe eto does, or select.step_pairs, as ipr does.",
            code="no-pairs",
        )


def _check_policy_of(context: RunContext, trainer: Trainer, setting: str) -> None:
    trains = isinstance(context.policy, TrainablePolicy)  # one without weights is refused elsewhere
    if trains and trainer.policies and not isinstance(context.policy, tuple(trainer.policies)):
        names = [policy.component_name() for policy in trainer.policies]
        name, policy = trainer.component_name(), context.policy.component_name()
        raise ConfigError(
            f"trainer {name!r} is for policy {' or '.join(map(repr, names))}, and the policy is {policy!r}",
            f"Name another trainer in {setting}, or another policy.",
            code="trainer-for-another-policy",
            trainer=name,
            policy=policy,
            policies=names,
        )


def _explores(config: RunConfig) -> bool:
    explore = config.explore
    attributes = config.attributor is not None and explore.attribute != "none"
    return bool(explore.simulations or explore.alternatives or explore.matched or explore.schedule or attributes)


def _check_reflection(config: RunConfig, judge: Expert) -> None:
    """Check that reflections can be written and learned.

    Args:
        config: of the method.
        judge: writes them.

    Raises:
        ConfigError: there is nothing to compare with, the format has no thoughts, or the expert can't answer.
    """
    if not config.explore.alternatives:
        raise ConfigError(
            f"method {config.method!r} reflects on alternatives (explore.reflection), and explore.alternatives is 0",
            "Set explore.alternatives to 1 or more, or explore.reflection to null.",
            code="nothing-to-reflect-on",
            method=config.method,
        )
    format = config.format
    if format.style == "action" or not (format.thoughts and format.train_thoughts):
        raise ConfigError(
            "reflections (explore.reflection) are learned as thoughts, and the format has none: format.style is "
            f"{format.style!r}, format.thoughts {format.thoughts} and format.train_thoughts {format.train_thoughts}",
            "Set format.style to react or tools, and format.thoughts and format.train_thoughts to true.",
            code="reflection-without-thoughts",
            style=format.style,
            thoughts=format.thoughts,
            train_thoughts=format.train_thoughts,
        )
    if config.select.learns_pairs:
        raise ConfigError(
            "reflections (explore.reflection) are examples, and select.pairs or select.step_pairs is true: nothing but "
            "pairs is learned",
            "Set select.pairs and select.step_pairs to false, or explore.reflection to null.",
            code="reflection-with-pairs",
            method=config.method,
        )
    if type(judge).open_policy is Expert.open_policy:
        judge.open_policy()  # raises


def _check_weights(context: RunContext, variant: RunConfig) -> None:
    if variant.clone.on != "none" and not isinstance(context.policy, TrainablePolicy):
        name = context.policy.component_name()
        raise ConfigError(
            f"policy {name!r} has no weights, so method {variant.method!r} can't train it",
            "Name another policy. Or set clone.on to none, so that nothing is trained: the recipe `untrained` "
            "evaluates the agent as it is.",
            code="policy-without-weights",
            policy=name,
            method=variant.method,
        )


def _check_expert(context: RunContext, variants: Sequence[RunConfig]) -> None:
    config = context.config
    demonstrations = needs_demonstrations(context, variants) and config.collect.trajectories is None
    if config.expert is None and demonstrations:
        advice = " Or give its demonstrations (collect.trajectories)."
        fix = how_to_name("expert", context.registry) + advice
        raise ConfigError("expert is missing", fix, code="expert-missing")


def _check_match(context: RunContext, main: RunConfig) -> None:
    """A baseline gets the budget that the main method spent; a main method can only get what an attributor plans."""
    attributor = context.attributor(main)
    by_plan = main.explore.matched and main.explore.schedule is None  # a schedule has a budget of its own
    if by_plan and main.iterations and (attributor is None or plan_of(attributor, 1) is None):
        name = attributor.component_name() if attributor else None
        raise ConfigError(
            f"method {main.method!r} matches the simulations that an attributor plans, and attributor {name!r} has no "
            "plan",
            "Run it as a baseline of the method to match (baselines: [rft-matched]): it then gets what that one spent. "
            "Or set explore.matched to false and explore.simulations to a number.",
            code="nothing-to-match",
            method=main.method,
            attributor=name,
        )
