"""Porter's stemmer as implemented in Lucene, with Martin Porter's own extensions to the published algorithm.

The rules are those of Porter, "An algorithm for suffix stripping" (1980), with `bli` for `abli` and the additional
`logi` in step 2; words of one or two letters aren't changed.
"""

from __future__ import annotations

from itertools import pairwise

_VOWELS = frozenset("aeiou")

_STEP_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"),
    ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"),
    ("iviti", "ive"), ("biliti", "ble"), ("logi", "log"),
)  # fmt: skip
_STEP_3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
_STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


def stem(word: str) -> str:
    """Return the stem of a word in lower case."""
    if len(word) <= 2:
        return word
    word = _step_1b(_step_1a(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replace_suffix(_replace_suffix(word, _STEP_2), _STEP_3)
    return _step_5(_step_4(word))


def _step_1a(word: str) -> str:
    """Remove plural endings."""
    if not word.endswith("s") or word.endswith("ss"):
        return word
    return word[:-2] if word.endswith(("sses", "ies")) else word[:-1]


def _step_1b(word: str) -> str:
    """Remove `ed` and `ing`."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        if word.endswith(ending) and _has_vowel(word[: -len(ending)]):
            return _step_1b_ending(word[: -len(ending)])
    return word


def _step_1b_ending(word: str) -> str:
    """Restore the end of a stem after the removal of `ed` or `ing`."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _double_consonant(word):
        return word if word[-1] in "lsz" else word[:-1]
    return word + "e" if _measure(word) == 1 and _short(word) else word


def _replace_suffix(word: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Replace the longest suffix of the list if the measure of the rest is above 0 (steps 2 and 3)."""
    fitting = [(suffix, by) for suffix, by in rules if word.endswith(suffix)]
    if not fitting:
        return word
    suffix, by = max(fitting, key=lambda rule: len(rule[0]))
    rest = word[: -len(suffix)]
    return rest + by if _measure(rest) > 0 else word


def _step_4(word: str) -> str:
    """Remove suffixes such as `ance`."""
    fitting = [suffix for suffix in _STEP_4 if word.endswith(suffix)]
    if not fitting:
        return word
    suffix = max(fitting, key=len)
    rest = word[: -len(suffix)]
    if suffix == "ion" and not rest.endswith(("s", "t")):
        return word
    return rest if _measure(rest) > 1 else word


def _step_5(word: str) -> str:
    """Remove a final `e`, and one of two final `l`."""
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _short(word[:-1])):
            word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word


def _consonants(word: str) -> list[bool]:
    """Return for each letter whether it is a consonant. Characters that aren't English letters count as consonants."""
    found: list[bool] = []
    for letter in word:
        found.append(not found or not found[-1] if letter == "y" else letter not in _VOWELS)
    return found


def _measure(word: str) -> int:
    """Return how often a vowel is followed by a consonant."""
    consonants = _consonants(word)
    return sum(after and not before for before, after in pairwise(consonants))


def _has_vowel(word: str) -> bool:
    return not all(_consonants(word))


def _double_consonant(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _consonants(word)[-1]


def _short(word: str) -> bool:
    """Return whether a word ends in consonant, vowel, consonant, and the last one isn't w, x or y."""
    return len(word) >= 3 and _consonants(word)[-3:] == [True, False, True] and word[-1] not in "wxy"
