"""YAML with the position of every key; rejects common mistakes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eef_framework.errors import ConfigError, storage
from eef_framework.validation_messages import KeyPath

HINTS = {
    "'\\t'": "Indent with spaces, not tabs.",
    "mapping values are not allowed": "Put a value that contains `: ` in quotes, or check the indentation.",
    "could not find expected ':'": "Write `key: value`, with a space after the colon.",
    "found undefined alias": "Put a value that begins with `*` in quotes.",
    "cannot start any token": "Put a value that begins with a special character in quotes.",
    "quoted scalar": "Close the quotes.",
    "could not determine a constructor": "Remove the tag that begins with `!`: only plain values are read.",
}
"""Part of PyYAML's message -> how to fix it."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values: `on` and `no` are words, `1e-5` is a number, `010` and `1:30` are text."""


_Loader.yaml_implicit_resolvers = {}

for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


@dataclass
class YamlSource:
    """Settings from one source.

    Attributes:
        data: nested mappings.
        origins: path of every key -> position in the source, for error messages.
    """

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)


def origins_of(data: Any, origin: str, key_path: KeyPath = ()) -> dict[KeyPath, str]:
    """Return the same origin for every key below a key path."""
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    found: dict[KeyPath, str] = {}
    for key, value in items:
        found[(*key_path, key)] = origin
        found |= origins_of(value, origin, (*key_path, key))
    return found


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML file.

    Raises:
        StorageError: the file can't be read.
        ConfigError: it isn't text in UTF-8 (`not-utf8`), isn't YAML (`yaml-tab`, `yaml-syntax`, `yaml-too-deep`), isn't
            a mapping (`not-settings`), or has a duplicate key (`duplicate-key`) or one that isn't text
            (`key-not-text`). The details have `path`, and where known, `line` and `column`, counted from 1.
    """
    with storage(path, "reading"):
        content = path.read_bytes()
    encoding = _other_encoding(content)
    if encoding:
        raise ConfigError(
            f"{path} isn't text in UTF-8 but in {encoding}",
            f"Save it as UTF-8, for example with: iconv -f {encoding} -t UTF-8 {path} > NEW.yaml",
            code="not-utf8",
            path=str(path),
            encoding=encoding,
        )
    try:
        return parse_yaml(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as cause:
        line = content.count(b"\n", 0, cause.start) + 1
        raise ConfigError(
            f"{path}, line {line} isn't text in UTF-8: {cause.reason} (byte 0x{content[cause.start]:02x})",
            "Save the file as UTF-8, if it is a text file.",
            code="not-utf8",
            path=str(path),
            line=line,
            column=cause.start - content.rfind(b"\n", 0, cause.start),
        ) from cause


def parse_yaml(text: str, source: str) -> YamlSource:
    """Read YAML text whose top level is a mapping (or empty).

    Args:
        text: the text.
        source: its name in messages, such as the name of its file.

    Raises:
        ConfigError: as `read_yaml`.
    """
    result = YamlSource()
    data = _read(text, source, result.origins)
    if data is not None and not isinstance(data, dict):
        raise ConfigError(
            f"{source} holds {data!r:.60}, expected settings",
            "Write `key: value` lines.",
            code="not-settings",
            path=source,
        )
    result.data = data or {}
    return result


def parse_value(text: str, source: str) -> Any:
    """Read a single YAML value, such as the one after `--set key=`.

    Raises:
        ConfigError: as `read_yaml`.
    """
    return _read(text, source, {})


def _read(text: str, source: str, origins: dict[KeyPath, str]) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else _Reader(loader, source, origins).value(node, ())
    except yaml.MarkedYAMLError as cause:
        raise _syntax_error(cause, source) from cause
    except yaml.reader.ReaderError as cause:
        line = text.count("\n", 0, cause.position) + 1
        raise ConfigError(
            f"{source}, line {line}: not YAML: {cause.reason} ({cause.character!r})",
            "Remove the character; if there are many, save the file as UTF-8.",
            code="yaml-syntax",
            path=source,
            line=line,
            column=cause.position - text.rfind("\n", 0, cause.position),
        ) from cause
    except RecursionError as cause:
        raise ConfigError(
            f"{source} is nested too deeply, or refers to itself",
            "Remove the alias (`*name`) that refers to what contains it, or some levels.",
            code="yaml-too-deep",
            path=source,
        ) from cause


def _syntax_error(cause: yaml.MarkedYAMLError, source: str) -> ConfigError:
    mark, problem = cause.problem_mark or cause.context_mark, _problem(cause)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return ConfigError(
        f"{source}{where}: not YAML: {problem}",
        _hint(cause),
        code="yaml-tab" if "'\\t'" in problem else "yaml-syntax",
        path=source,
        line=mark.line + 1 if mark else None,
        column=mark.column + 1 if mark else None,
    )


def _other_encoding(content: bytes) -> str:
    """Return UTF-16 or UTF-32 if a text is in one of them, with or without a byte order mark; empty otherwise."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    # Without the mark: every second byte of a text that is mostly ASCII is 0.
    start = content[:64]
    for encoding, zeros in (("UTF-16LE", start[1::2]), ("UTF-16BE", start[::2])):
        if zeros and not any(zeros):
            return encoding
    return ""


@dataclass
class _Reader:
    """Turns nodes into plain data and records the line of every key."""

    loader: _Loader
    source: str
    origins: dict[KeyPath, str]

    def value(self, node: yaml.Node, key_path: KeyPath) -> Any:
        """Return a node as plain data.

        Raises:
            ConfigError: a key isn't text, or is given twice.
        """
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, key_path)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*key_path, index)) for index, item in enumerate(node.value)]
        return self.loader.construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode, key_path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.value(key_node, key_path)
            origin = f"{self.source}, line {key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise ConfigError(
                    f"{origin}: the key {key!r} isn't text",
                    "Put it in quotes, if it is a key.",
                    code="key-not-text",
                    path=self.source,
                    **_position(key_node),
                )
            if key in data:
                first = self.origins[(*key_path, key)]
                raise ConfigError(
                    f"{origin}: {key!r} appears twice; first in {first}",
                    "Remove one of them.",
                    code="duplicate-key",
                    path=self.source,
                    key=key,
                    **_position(key_node),
                )
            self.origins[(*key_path, key)] = origin
            data[key] = self.value(value_node, (*key_path, key))
        return data


def _position(node: yaml.Node) -> dict[str, int]:
    return {"line": node.start_mark.line + 1, "column": node.start_mark.column + 1}


def _problem(error: yaml.MarkedYAMLError) -> str:
    return " ".join(part for part in (error.context, error.problem) if part)


def _hint(error: yaml.MarkedYAMLError) -> str:
    problem = _problem(error)
    return next(
        (hint for part, hint in HINTS.items() if part in problem),
        "Check indentation and quotes there and a line above.",
    )
