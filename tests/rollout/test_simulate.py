import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.pipeline.costs import cost_of
from eef_framework.pipeline.episodes import without_replaced
from eef_framework.records import SuccessRule, Trajectory
from eef_framework.rollout import EpisodeRunner, Simulator, demonstrations
from eef_framework.rollout.episode_costs import with_lost_costs
from eef_framework.rollout.simulate import TrajectorySimulate, start_of
from eef_framework.runs import JsonlFile
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.queue_policy import ScriptedPolicy
from eef_framework.testing.simulate import demonstration


def simulator(rows: JsonlFile[Trajectory], corridor: Corridor, concurrency: int = 8) -> Simulator:
    runner = EpisodeRunner(corridor, ScriptedPolicy(), "agent/test", ChatFormat(), Sampling(), concurrency)
    return Simulator(runner.play, rows, "eef/1", 5, SuccessRule())


async def demonstrated(corridor: Corridor, count: int) -> list[Trajectory]:
    return [t async for t in demonstrations(CorridorExpert(), corridor, corridor.tasks("train")[:count], 0)]


def test_asking_twice_gives_the_same_simulations_and_plays_them_once(tmp_path: Path) -> None:
    corridor = Corridor()

    async def ask(rows: JsonlFile[Trajectory]) -> tuple[Sequence[Trajectory], Sequence[Trajectory]]:
        source = next(t for t in await demonstrated(corridor, 9) if len(t.steps) > 2)
        simulate = TrajectorySimulate(simulator(rows, corridor), source)
        return tuple(await asyncio.gather(simulate(1, 2), simulate(1, 3)))  # type: ignore[return-value]

    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        two, three = asyncio.run(ask(rows))
        assert list(three[:2]) == list(two)
        assert len(rows.rows) == 3


def test_simulations_from_the_initial_state_are_those_of_plain_exploration(tmp_path: Path) -> None:
    corridor = Corridor()

    async def ask(rows: JsonlFile[Trajectory]) -> None:
        source = (await demonstrated(corridor, 1))[0]
        both = simulator(rows, corridor)
        assert list(await TrajectorySimulate(both, source)(0)) == list(await both.initial(source.task, 1))

    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        asyncio.run(ask(rows))
        assert len(rows.rows) == 1


def test_recorded_simulations_are_not_played_again(tmp_path: Path) -> None:
    corridor = Corridor()
    for expected in (4, 4):
        with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
            asyncio.run(simulator(rows, corridor).initial(corridor.tasks("train")[0], 4))  # type: ignore[arg-type]
            assert len(rows.rows) == expected


def test_what_was_lost_to_a_failure_is_played_again_and_never_handed_out(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with JsonlFile(path, Trajectory) as rows:
        broken = Corridor(fault="raise")
        assert asyncio.run(simulator(rows, broken).initial(broken.tasks("train")[0], 2)) == ()  # type: ignore[arg-type]
        assert [row.ending for row in rows.rows] == ["error", "error"]
    with JsonlFile(path, Trajectory) as rows:
        whole = Corridor()
        assert len(asyncio.run(simulator(rows, whole).initial(whole.tasks("train")[0], 2))) == 2  # type: ignore[arg-type]


def test_a_state_that_no_simulation_can_set_out_from_is_refused(tmp_path: Path) -> None:
    corridor = Corridor()

    async def ask(rows: JsonlFile[Trajectory]) -> None:
        source = (await demonstrated(corridor, 1))[0]
        with pytest.raises(IndexError):
            await TrajectorySimulate(simulator(rows, corridor), source)(len(source.steps))

    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        asyncio.run(ask(rows))


def test_a_state_is_named_by_any_kind_of_integer_and_by_nothing_else() -> None:
    class Number:
        """Stands for an integer of numpy, which isn't an int."""

        def __index__(self) -> int:
            return 1

    source = demonstration(3)
    assert start_of(source, Number()) == start_of(source, 1) == source.at(1)
    with pytest.raises(TypeError):
        start_of(source, 1.0)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        start_of(source, 3)


def test_concurrency_never_changes_a_simulation(tmp_path: Path) -> None:
    corridor = Corridor()
    found = []
    for concurrency in (1, 3, 100):
        with JsonlFile(tmp_path / f"{concurrency}.jsonl", Trajectory) as rows:

            async def everything(played: Simulator) -> None:
                tasks = corridor.tasks("train")
                await asyncio.gather(*(played.initial(task, 2) for task in tasks))

            asyncio.run(everything(simulator(rows, corridor, concurrency)))
            found.append({row.id: row.model_copy(update={"seconds": 0.0}) for row in rows.rows})
    assert found[0] == found[1] == found[2]


class Endless(ScriptedPolicy):
    """Waits until it is let go."""

    name: ClassVar[str] = "endless"
    asked: ClassVar[int] = 0

    async def act(self, conversation, observation, sampling, seed):  # type: ignore[no-untyped-def]
        Endless.asked += 1
        await asyncio.Event().wait()


class Slow(ScriptedPolicy):
    """Lets others go first."""

    name: ClassVar[str] = "slow"

    async def act(self, conversation, observation, sampling, seed):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.001)
        return await super().act(conversation, observation, sampling, seed)


def test_one_who_gives_up_takes_a_shared_simulation_from_nobody(tmp_path: Path) -> None:
    corridor = Corridor()
    task = corridor.tasks("train")[0]

    async def ask(played: Simulator) -> Sequence[Trajectory]:
        hasty = asyncio.create_task(played.initial(task, 1))
        patient = asyncio.create_task(played.initial(task, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        hasty.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hasty
        return await patient

    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        runner = EpisodeRunner(corridor, Slow(), "agent/test", ChatFormat(), Sampling(), 8)
        played = Simulator(runner.play, rows, "eef/1", 5, SuccessRule())
        assert len(asyncio.run(played.until(ask(played)))) == 1
        assert len(rows.rows) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_what_nobody_waits_for_any_more_ends_with_the_phase(tmp_path: Path, fails: bool) -> None:
    corridor = Corridor()

    async def give_up(played: Simulator) -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await played.initial(corridor.tasks("train")[0], 3)
        if fails:
            raise ValueError("an attributor of its own")
        return "judged"

    async def phase(played: Simulator) -> None:
        if fails:
            with pytest.raises(ValueError, match="of its own"):
                await played.until(give_up(played))
        else:
            assert await played.until(give_up(played)) == "judged"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        runner = EpisodeRunner(corridor, Endless(), "agent/test", ChatFormat(), Sampling(), 8)
        asyncio.run(phase(Simulator(runner.play, rows, "eef/1", 5, SuccessRule())))
        assert Endless.asked >= 3
        assert rows.rows == []


def test_a_failure_that_nobody_waited_for_is_not_left_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corridor = Corridor()

    class Failing(Slow):
        async def act(self, conversation, observation, sampling, seed):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.001)
            raise PolicyFailure("gone")

    async def leave(played: Simulator) -> None:
        asking = asyncio.create_task(played.initial(corridor.tasks("train")[0], 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.sleep(0.05)

    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        runner = EpisodeRunner(corridor, Failing(), "agent/test", ChatFormat(), Sampling(), 8)
        played = Simulator(runner.play, rows, "eef/1", 5, SuccessRule())
        asyncio.run(played.until(leave(played)))
    gc.collect()
    assert caplog.records == []  # such as "Task exception was never retrieved"


def test_the_costs_of_attempts_that_were_lost_stay_with_the_episode_that_replaces_them(tmp_path: Path) -> None:
    corridor = Corridor()
    task = corridor.tasks("train")[0]

    async def play(source: Simulator) -> None:
        await source.initial(task, 1)

    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        asyncio.run(play(simulator(rows, corridor)))
        (first,) = rows.rows
    spent = cost_of([first], by_agent=True)
    assert spent.computed_tokens > 0
    for lost_tokens, attempts in ((7, 1), (0, 2)):
        lost = first.changed(ending="error", error="gone", lost_tokens=lost_tokens, lost_usd=0.5, lost_unknown=2)
        with JsonlFile(tmp_path / f"{attempts}.jsonl", Trajectory) as rows:
            for _ in range(attempts):
                again = with_lost_costs(lost, rows.rows[-1] if rows.rows else None)
                rows.append(again)
            asyncio.run(play(simulator(rows, corridor)))
            cost = cost_of(without_replaced(rows.rows), by_agent=True)
        assert cost.computed_tokens == (attempts + 1) * spent.computed_tokens + attempts * lost_tokens
        assert cost.prompt_tokens == (attempts + 1) * spent.prompt_tokens
        assert cost.steps == (attempts + 1) * spent.steps
        assert cost.answers_of_unknown_cost == attempts * 2
        assert cost.usd == attempts * 0.5
        assert (cost.episodes, cost.simulations) == (1, 1)
