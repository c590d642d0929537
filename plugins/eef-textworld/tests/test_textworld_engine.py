from __future__ import annotations

from eef_textworld import engine
from eef_textworld.engine import Engine
from eef_textworld.environment import TextWorld
from eef_textworld.messages import ViewOptions


def test_a_second_pass_over_more_games_than_are_cached_generates_only_some_of_them_again(monkeypatch):
    made = []
    make_game = engine.make_game
    monkeypatch.setattr(engine, "make_game", lambda spec: made.append(spec) or make_game(spec))
    tasks = TextWorld(rooms=2, objects=2, shortest=2, longest=2).tasks("train")[:6]
    small = Engine(ViewOptions("compact", ()), cached_games=5)

    for _ in range(3):
        for task in tasks:
            number, _ = small.open(task.info)
            small.close(number)

    assert small.count() == (0, 5)
    assert len({spec.seed for spec in made}) == 6
    assert 6 < len(made) < 12
