"""Words for the actions of a Gymnasium space."""

from __future__ import annotations

from typing import Any, TypeAlias

from pydantic import JsonValue

from eef_framework.errors import ConfigError

Actions: TypeAlias = tuple[str, ...] | dict[str, JsonValue]


def words_of(space: Any, actions: Actions, id: str) -> dict[str, Any]:
    """Return words -> actions of a space; empty if any text is an action.

    Args:
        space: the space of actions.
        actions: the words from the settings: for discrete actions in their order, or a mapping from words to actions.
        id: id of the Gymnasium environment, for messages.

    Raises:
        ConfigError: the space is neither discrete nor text and has no words, or not enough of them.
    """
    import numpy
    from gymnasium import spaces

    if isinstance(actions, dict):
        return {
            word: numpy.asarray(action, space.dtype) if isinstance(action, list) else action
            for word, action in actions.items()
        }
    if isinstance(space, spaces.Discrete):
        numbers = [int(space.start) + index for index in range(int(space.n))]
        words = actions or tuple(map(str, numbers))
        if len(set(words)) != len(numbers):
            raise ConfigError(
                f"{id!r} has {len(numbers)} actions, `actions` has {len(set(words))} different words",
                "Give one word for each action, in their order, or a mapping from words to actions.",
                code="wrong-number-of-words",
                actions=len(numbers),
                words=len(set(words)),
            )
        return dict(zip(words, numbers, strict=True))
    if isinstance(space, spaces.Text) and not actions:
        return {}
    raise ConfigError(
        f"actions of {id!r} are {space}, which have no words",
        "Set `actions` to a mapping from words to actions, in a subclass or in the configuration.",
        code="actions-without-words",
        id=id,
    )
