"""Settings that contradict one another are refused."""

import pytest
from pydantic import ValidationError

from eef_framework.config.schema import Select


@pytest.mark.parametrize(
    ("solution", "later"),
    [
        (("random", "fewest-steps"), "'fewest-steps'"),
        (["least-expert", "random", "fewest-steps", "most-probable"], "'fewest-steps', 'most-probable'"),
        (("random", "random"), "'random'"),
    ],
)
def test_a_random_choice_leaves_nothing_to_prefer(solution, later):
    with pytest.raises(ValidationError) as caught:
        Select(solution=solution)
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"], error["ctx"]) == ("random-not-last", ("solution",), {"later": later})


@pytest.mark.parametrize("solution", ["random", ("random",), ("fewest-steps", "random"), ("fewest-steps",)])
def test_a_random_choice_may_be_the_last_one(solution):
    assert Select(solution=solution).solution == solution
