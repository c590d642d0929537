"""The words that a model built from scratch knows."""

import asyncio

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.pipeline.vocabulary import vocabulary
from eef_framework.policies.loading import load_tokenizer
from eef_framework.policies.tiny import TinyModel
from eef_framework.records import Tool
from eef_framework.rollout import demonstrations
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert


@pytest.mark.filterwarnings("ignore:the chat template writes no tools")
@pytest.mark.parametrize(
    ("style", "tools"), [("action", None), ("tools", None), ("tools", [Tool(name="walk", action="go[{direction}]")])]
)
def test_what_is_shown_and_trained_has_no_unknown_words(tmp_path, style, tools):
    outcomes = {"success": "It works.", "failure": "It fails."}
    corridor, format = Corridor(), ChatFormat(style=style, tools=tools, outcomes=outcomes)

    async def gather():
        tasks = corridor.tasks("train")[:9]
        return [each async for each in demonstrations(CorridorExpert(), corridor, tasks, 0)]

    found = asyncio.run(gather())
    model = TinyModel().build(vocabulary(found, corridor.instructions, format), tmp_path / "tiny", 0)
    chat = ChatTokenizer(load_tokenizer(str(model.path)))
    for trajectory in found:
        weights = [1.0] * len(trajectory.steps)
        for failed in (False, True):
            for example in format.examples(trajectory, weights, corridor.instructions, "expert", failed):
                assert chat.tokenizer.unk_token_id not in chat.encode(example.messages).token_ids
    action = found[0].actions[0]
    read = format.parse(chat.text(chat.answer_ids(format.answer(action))), found[0].initial)
    assert (read.action, read.parsed) == (action, True)
