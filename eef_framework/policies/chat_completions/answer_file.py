"""Answers kept on disk: an answer that was received is never requested again, and what it cost stays counted."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import ValidationError

from eef_framework.policies.chat_completions.answer import Completion, UnreadableAnswer, read_completion
from eef_framework.policies.chat_completions.error_response import RequestRejected
from eef_framework.policies.chat_completions.settings import ServerSettings
from eef_framework.records import Conversation, VersionedRecord
from eef_framework.runs import ANSWERS_FOLDER, JsonlFile


class AnswerRow(VersionedRecord):
    """A request that the server may charge for, and its answer: a line of a file of answers."""

    key: str
    """Identifies the request: server, model, conversation, sampling and seed."""
    model: str
    answer: str | None = None
    """Body of the response; None if the answer was lost."""
    prompt_tokens: int = 0
    """Length of the prompt, including cached tokens."""
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    """Price of the request in US dollars, at the prices of that time."""
    estimated: bool = False
    """Whether the server didn't report the tokens, so that they and the price are upper estimates."""
    time: float = 0.0
    """When it was received or lost, in seconds since 1970."""


class Spent(NamedTuple):
    """Tokens and dollars. Can be added up with `plus`."""

    tokens: int = 0
    """Prompt and answer, including cached tokens."""
    usd: float = 0.0

    def plus(self, other: Spent, sign: int = 1) -> Spent:
        """Return the sum, or with sign -1 the difference."""
        return Spent(self.tokens + sign * other.tokens, self.usd + sign * other.usd)


class Earlier(NamedTuple):
    """What a file of answers has about a request."""

    answer: Completion | None
    lost: Sequence[AnswerRow]
    """Requests whose answer was lost."""


class AnswerFile:
    """The answers of a server, and what they cost. Shared by all policies in this process that use the file.

    Args:
        path: the file; None to keep only the costs, in memory.

    Attributes:
        spent: cost of everything in the file.
        estimated: the part of it that is estimated.
        requests: number of requests in the file.
        reserved: estimated cost of the requests under way.
        under_way: number of requests under way.

    Raises:
        CorruptFile, StorageError: as for `JsonlFile`.
        RunConflict: another process writes to it.
    """

    _open: ClassVar[dict[Path, tuple[AnswerFile, int]]] = {}

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.spent = self.estimated = self.reserved = Spent()
        self.requests = self.under_way = 0
        self._answers: dict[str, str] = {}
        self._lost: dict[str, list[AnswerRow]] = defaultdict(list)
        self._waiting: list[asyncio.Future[None]] = []
        self._file = JsonlFile(path, AnswerRow) if path is not None else None
        for row in self._file.rows if self._file else ():
            self._count(row)
        self._forget_rows()

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None) -> Iterator[AnswerFile]:
        """Provide a file of answers. Within a process, a path has one object, so that two policies can share it."""
        if path is None:
            yield cls(None)
            return
        path = path.expanduser().resolve()
        file, users = cls._open[path] if path in cls._open else (cls(path), 0)
        cls._open[path] = file, users + 1
        try:
            yield file
        finally:
            _, users = cls._open[path]
            cls._open[path] = file, users - 1
            if users == 1:
                del cls._open[path]
                file.close()

    def earlier(self, key: str) -> Earlier:
        """Return the answer to a request, and its requests that were lost."""
        body = self._answers.get(key)
        try:
            answer = read_completion(body.encode()) if body is not None else None
        except (UnreadableAnswer, RequestRejected, ValidationError):  # written by another version
            answer = None
        return Earlier(answer, self._lost.get(key, ()))

    def add(self, row: AnswerRow) -> None:
        """Record a request.

        Raises:
            StorageError: the disk is full.
        """
        self._count(row)
        if self._file is not None:
            self._file.append(row)
            self._forget_rows()

    def reserve(self, cost: Spent) -> None:
        """Count a request that is sent now."""
        self.under_way += 1
        self.reserved = self.reserved.plus(cost)

    def release(self, cost: Spent) -> None:
        """Count a request that has ended, and wake up those that wait for it."""
        self.under_way -= 1
        self.reserved = self.reserved.plus(cost, -1) if self.under_way else Spent()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        """Wait until a request ends."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def close(self) -> None:
        """Close the file. Requests that are cancelled later are no longer written."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _count(self, row: AnswerRow) -> None:
        cost = Spent(row.prompt_tokens + row.completion_tokens, row.usd)
        self.requests += 1
        self.spent = self.spent.plus(cost)
        if row.estimated:
            self.estimated = self.estimated.plus(cost)
        if self.path is None:
            return
        if row.answer is not None:
            self._answers[row.key] = row.answer
        else:
            self._lost[row.key].append(row)

    def _forget_rows(self) -> None:
        if self._file is not None:
            self._file.rows.clear()  # each answer is held once


def answer_file_of(settings: ServerSettings) -> Path | None:
    """Return the file of a server's answers: the one in the settings, else one in the folder of the current run.

    None without either: then answers aren't kept.
    """
    folder = ANSWERS_FOLDER.get()
    if settings.answers is not None or folder is None:
        return settings.answers
    name = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in settings.model)[-60:].strip(".")
    return folder / f"{name}-{_digest([settings.base_url, settings.model])[:8]}.jsonl"


def request_key(
    settings: ServerSettings, conversation: Conversation, fields: dict[str, object], limit: int | None, seed: int
) -> str:
    """Return the key of a request in a file of answers.

    Args:
        settings: the server's.
        conversation: the messages.
        fields: the rest of the request's body that affects answers, without the limit of its length and the seed.
        limit: maximum length of the answer, in tokens.
        seed: differs between attempts; part of the key even if the server takes no seed.
    """
    messages = [[message.role, message.content] for message in conversation]
    return _digest([settings.base_url, settings.model, messages, fields, limit, seed])


def _digest(value: object) -> str:
    data = json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()
