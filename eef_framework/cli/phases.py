"""Commands for single phases, from files to files: `eef collect`, `base`, `explore`, `attribute`, `select`, ..."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console

from eef_framework.cli.options import Assignments, EnvironmentName, PluginList, Recipe, Seed, compose, say
from eef_framework.errors import storage
from eef_framework.evaluation.formatting import count, duration, percent, plural, plus_minus
from eef_framework.interfaces import TrackedRun, TrainablePolicy
from eef_framework.paths import expand
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.method_checks import check_method
from eef_framework.pipeline.phase import GivenWeights, Weights
from eef_framework.pipeline.phases import (
    Attribute,
    Collect,
    Evaluate,
    ExplorationFiles,
    Explore,
    InitialCheckpoint,
    Select,
    Train,
)
from eef_framework.pipeline.progress import display_on
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.tracking import Tracking
from eef_framework.records import Attribution, Example, Trajectory, fingerprint
from eef_framework.runs import Recorded, check_not_input, check_output, claim_folder, content_id
from eef_framework.runs.training_record import TrainingRecord, check_untrained

Demonstrations = Annotated[Path, typer.Option(metavar="FILE", help="The expert's trajectories (.jsonl).")]
Model = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Checkpoint of the agent. Default: the policy's initial one (policy.model)."),
]
OutFile = Annotated[Path, typer.Option("--out", metavar="FILE", help="Output file (.jsonl).")]
OutFolder = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Output folder.")]

FIGURES = "-figures"
"""Ending of the folder for files of trackers, next to a phase's output."""

COMMANDS: list[Callable[..., None]] = []
"""The commands, in the order of phases."""


def _command(phase: Callable[..., str]) -> Callable[..., str]:
    """Make a command of a function that runs a phase and returns the message to print.

    The function's first parameter is the run context. Instead of it, the command has options from which the context
    is made.
    """

    def command(
        recipe: str, plugins: str | None, env: str | None, assignments: list[str] | None, seed: int | None, **own: Any
    ) -> None:
        config, registry = compose(recipe, plugins, env, seed, assignments)
        with RunContext(config, registry, display_on(Console(stderr=True))) as context:
            check_method(context, config)
            with _tracking(context, own["out"]):
                said = phase(context, **own)
            say(said)

    types = get_type_hints(phase, include_extras=True)
    own = [p.replace(annotation=types[p.name]) for p in list(inspect.signature(phase).parameters.values())[1:]]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, kind, default in (
            ("recipe", Recipe, inspect.Parameter.empty),
            ("plugins", PluginList, None),
            ("env", EnvironmentName, None),
            ("assignments", Assignments, None),
            ("seed", Seed, None),
        )
    ]
    parameters = [shared[0], *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *shared[1:]]
    command.__name__, command.__doc__ = phase.__name__, phase.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    COMMANDS.append(command)
    return phase


@contextmanager
def _tracking(context: RunContext, out: Path) -> Iterator[None]:
    """Send the figures of a single phase to the trackers, if any are configured.

    In a tracker, the phase is a run with the name of its output, which is continued if the command is repeated.
    Trackers with files write them to the folder OUT-figures.
    """
    if not context.config.trackers:
        yield
        return
    trackers = context.trackers()
    context.preflight(trackers)
    path = expand(out).resolve()
    folder = path.with_name(f"{path.name}{FIGURES}")
    with storage(folder, "creating"):
        folder.mkdir(parents=True, exist_ok=True)
    config = context.resolved()
    run = TrackedRun(id=fingerprint(str(path)), name=path.stem, group=path.parent.name, folder=folder, config=config)
    with Tracking(trackers, run) as context.tracking:
        yield
    with suppress(OSError):  # not empty
        folder.rmdir()


@_command
def collect(context: RunContext, out: OutFile) -> str:
    """Collect the expert's demonstrations of the training tasks. Resumes an existing file with the same settings."""
    phase = Collect(tasks=context.config.collect.tasks, demonstrations=Rows(out, Trajectory))
    phase.run(context)
    found = phase.collected(context)
    return f"{out}: {plural(len(found), 'trajectory')}, {plural(_successes(context, found), 'success')}"


@_command
def base(context: RunContext, out: OutFolder, demonstrations: Demonstrations) -> str:
    """Make the initial checkpoint, or load it (policy.model)."""
    claim_folder(out)
    check_untrained(out)
    phase = InitialCheckpoint(demonstrations=Rows(demonstrations, Trajectory), folder=out)
    phase.run(context)
    return f"{phase.checkpoint.path}: initial checkpoint of {context.config.policy['name']}"


@_command
def explore(context: RunContext, out: OutFolder, demonstrations: Demonstrations, model: Model = None) -> str:
    """Simulate from initial states and from states of demonstrations, and attribute the demonstrations."""
    files = ExplorationFiles(out)
    check_not_input(files.simulations.path, demonstrations)
    check_not_input(files.alternatives.path, demonstrations)
    check_output(files.attributions.path, Attribution, demonstrations)
    known = Rows(demonstrations, Trajectory)
    with _weights(context, model) as weights:
        Explore(variant=context.config, demonstrations=known, weights=weights, files=files).run(context)
    found, attributed = files.simulations.read(), files.attributions.read_if_there()
    solved = plural(_successes(context, found), "success")
    if context.config.explore.alternatives:
        found = [*found, *files.alternatives.read()]
    return f"{out}: {plural(len(found), 'simulation')}, {solved}, {plural(len(attributed), 'attribution')}"


@_command
def attribute(
    context: RunContext,
    out: OutFile,
    demonstrations: Demonstrations,
    simulations: Annotated[Path, typer.Option(metavar="FILE", help="Simulations, as `eef explore` writes them.")],
) -> str:
    """Attribute demonstrations, using recorded simulations."""
    check_output(out, Attribution, demonstrations, simulations)
    phase = Attribute(
        variant=context.config,
        demonstrations=Rows(demonstrations, Trajectory),
        simulations=Rows(simulations, Trajectory),
        attributions=Rows(out, Attribution),
    )
    phase.run(context)
    found = phase.attributions.read()
    verdicts = Counter(segment.verdict for attribution in found for segment in attribution.segments)
    counts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
    return f"{out}: {len(found)} attributions; segments: {counts or 'none'}"


@_command
def select(
    context: RunContext,
    out: OutFile,
    demonstrations: Demonstrations,
    explored: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Folder of `eef explore`. Repeatable, in order. Without it: cloning."),
    ] = None,
) -> str:
    """Select training examples from demonstrations and explorations.

    If observations are to be predicted (explore.alternatives), they go to the file NAME.predictions.jsonl next to
    the output.
    """
    files = [ExplorationFiles(folder) for folder in explored or ()]
    read = [rows.path for each in files for rows in each.all]
    check_output(out, Example, demonstrations, *read)
    predictions = out.with_name(f"{out.stem}.predictions.jsonl") if context.config.explore.predicts and files else None
    if predictions is not None:
        check_output(predictions, Example, demonstrations, *read)
    phase = Select(
        variant=context.config,
        demonstrations=Rows(demonstrations, Trajectory),
        explorations=files,
        examples=Rows(out, Example),
        predictions=None if predictions is None else Rows(predictions, Example),
    )
    phase.run(context)
    found = phase.examples.read()
    turns = sum(example.trained_turns for example in found)
    said = f"{out}: {plural(len(found), 'example')} with {plural(turns, 'turn')} to train on"
    if phase.predictions is None:
        return said
    return f"{said}\n{predictions}: {plural(len(phase.predictions.read()), 'observation')} to predict"


@_command
def train(
    context: RunContext,
    out: OutFolder,
    examples: Annotated[Path, typer.Option(metavar="FILE", help="Examples, as `eef select` writes them.")],
    model: Annotated[Path, typer.Option(metavar="FOLDER", help="Initial checkpoint.")],
) -> str:
    """Train a model on a file of examples. Resumes an interrupted training with the same settings.

    A finished one stays as it is.
    """
    claim_folder(out, model)
    trainer = context.config.tune.trainer or context.config.clone.trainer
    phase = Train(trainer=trainer, examples=Rows(examples, Example), start=GivenWeights(model), folder=out)
    record = TrainingRecord(out, *_recorded_training(context, phase))
    result = record.begin()
    if result is None:
        phase.run(context)
        result = phase.result
        record.finish(result)
    else:
        context.display.skipped(phase.title)
    tokens = f", {count(result.trained_tokens)} tokens" if result.trained_tokens else ""  # not all trainers count them
    loss = "" if result.final_loss is None else f", final loss {result.final_loss:.4g}"
    return f"{out}: {plural(result.steps, 'step')}{tokens} in {duration(result.seconds)}{loss}"


def _recorded_training(context: RunContext, phase: Train) -> Recorded:
    """Return what a training depends on. The trainer's settings are the same in either section of the configuration."""
    section = "tune" if context.config.tune.trainer else "clone"
    settings = {
        "seed": context.config.seed,
        "trainer": context.resolved()[section]["trainer"],
        "examples": content_id(phase.examples.path),
        "model": content_id(phase.start.checkpoint.path),
    }
    return Recorded(settings, context.leeway().within(section))


@_command
def evaluate(context: RunContext, out: OutFile, model: Model = None) -> str:
    """Evaluate the agent on the tasks of the evaluation. Resumes an existing file with the same settings."""
    with _weights(context, model) as weights:
        phase = Evaluate(tasks=context.config.evaluate.tasks, weights=weights, played=Rows(out, Trajectory))
        phase.run(context)
    result = phase.evaluation(context)
    numbers = f"success {percent(result.success)} %, reward {plus_minus(result.reward)}"
    return f"{out}: {result.episodes} {result.split} tasks; {numbers}"


@contextmanager
def _weights(context: RunContext, given: Path | None) -> Iterator[Weights | None]:
    """Provide the agent's weights: a given checkpoint, or the model of the policy's settings, if it has one."""
    if given is not None:
        yield GivenWeights(given)
    elif isinstance(context.policy, TrainablePolicy):
        with TemporaryDirectory() as folder:
            base = InitialCheckpoint(demonstrations=None, folder=Path(folder) / "base")
            base.run(context)
            yield base
    else:
        yield None


def _successes(context: RunContext, rows: Sequence[Trajectory]) -> int:
    return sum(map(context.config.success.holds, rows))
