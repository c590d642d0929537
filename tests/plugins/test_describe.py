from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from eef_framework.plugins.describe import settings_of, summary_of, summary_of_recipe, type_name


class Inner(BaseModel):
    pass


class Sample(BaseModel):
    """What it is, on a line
    or two.

    The rest.
    """

    model_config = {"use_attribute_docstrings": True}

    required: int
    """A number,
    and a line break."""
    perhaps: str | None = None
    flag: bool = True
    inner: Inner = Inner()
    made: list[int] = Field(default_factory=lambda: [1])


def test_settings_are_listed_with_type_default_and_meaning():
    assert settings_of(Sample) == [
        ("required", "int", "required", "A number, and a line break."),
        ("perhaps", "str or null", "null", ""),
        ("flag", "bool", "true", ""),
        ("inner", "Inner", "", ""),
        ("made", "list of int", "[1]", ""),
    ]


def test_a_summary_is_the_first_paragraph_on_one_line():
    assert summary_of(Sample) == "What it is, on a line or two."


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (Literal["a", "b"], "'a' | 'b'"),
        (tuple[str, ...], "list of str"),
        (tuple[str, ...] | None, "list of str or null"),
        (dict[str, int], "dict"),
        (Annotated[int, "x"], "int"),
        (Any, "Any"),
    ],
)
def test_types_are_written_as_a_person_would(annotation, name):
    assert type_name(annotation) == name


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("# Does this. And that.\nseed: 1\n", "Does this"),
        ("# Does this and\n# that.\n\n# Not this.\n", "Does this and that"),
        ("seed: 1\n# no head\n", ""),
    ],
)
def test_a_recipes_summary_is_the_first_sentence_of_its_head(tmp_path, text, summary):
    (tmp_path / "r.yaml").write_text(text)
    assert summary_of_recipe(tmp_path / "r.yaml") == summary
