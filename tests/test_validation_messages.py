from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from eef_framework.validation_messages import dotted, model_at, validation_messages


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rate: float = 0.1
    mode: Literal["fast", "exact"] = "fast"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner = Inner()
    perhaps: Inner | None = None
    several: tuple[Inner, ...] = ()
    size: int

    @model_validator(mode="after")
    def _even(self):
        if self.size % 2:
            raise ValueError("size has to be even")
        return self


def reasons(data):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    return validation_messages(caught.value, Outer, lambda key_path: dotted(key_path) or "settings").splitlines()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"size": 2, "sise": 1}, "sise is unknown; did you mean 'size'?"),
        ({"size": 2, "inner": {"rat": 1}}, "inner.rat is unknown; did you mean 'rate'?"),
        ({"size": 2, "perhaps": {"rat": 1}}, "perhaps.rat is unknown; did you mean 'rate'?"),
        ({"size": 2, "several": [{"rat": 1}]}, "several.0.rat is unknown; did you mean 'rate'?"),
        (
            {"size": 2, "inner": {"mode": "exat"}},
            "inner.mode must be 'fast' or 'exact', not 'exat'; did you mean 'exact'?",
        ),
        ({}, "size is missing"),
        ({"size": 2, "several": "one"}, "several must be a list, not 'one'"),
        ({"size": 3}, "settings: size has to be even"),
    ],
)
def test_mistakes_are_told_in_plain_words(data, expected):
    assert reasons(data) == [expected]


def test_a_wrong_type_is_told_with_the_value_given():
    (reason,) = reasons({"size": "many"})
    assert reason.startswith("size must be a valid integer")
    assert reason.endswith("not 'many'")


class Ordered(BaseModel):
    order: Literal["short", "long"] | Annotated[tuple[Literal["short", "long"], ...], Field(min_length=1)] = "short"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("shrt", "order must be 'short' or 'long', or a list, not 'shrt'; did you mean 'short'?"),
        (3, "order must be 'short' or 'long', or a list, not 3"),
        ({"a": 1}, "order must be 'short' or 'long', or a list, not {'a': 1}"),
        (["short", "lon"], "order.1 must be 'short' or 'long', not 'lon'; did you mean 'long'?"),
        ([], "order must have at least 1 item, not []"),
    ],
)
def test_a_setting_of_several_types_is_told_in_one_line_without_the_types_that_do_not_fit(given, expected):
    with pytest.raises(ValidationError) as caught:
        Ordered(order=given)
    assert validation_messages(caught.value, Ordered, dotted) == expected


def test_the_types_that_do_not_fit_are_told_where_none_fits():
    class Several(BaseModel):
        size: Literal["all"] | float = "all"

    with pytest.raises(ValidationError) as caught:
        Several(size=[1])
    assert len(validation_messages(caught.value, Several, dotted).splitlines()) == 2


def test_there_is_no_model_below_a_plain_value():
    assert model_at(Outer, ("size", "deeper")) is None
    assert model_at(Outer, ("nothing",)) is None
    assert model_at(Outer, ("several", 3)) is Inner
