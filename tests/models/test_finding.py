"""Names on the hub are asked for once and briefly, of a server that stands for it."""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from eef_framework.errors import UnknownName
from eef_framework.models.finding import find_model

ASK = """
import json, sys
from eef_framework.errors import ConfigError
from eef_framework.models import finding
from eef_framework.policies import TransformersPolicy
finding.HUB_TIMEOUT_S = 0.5
try:
    TransformersPolicy(model=sys.argv[1]).preflight()
    print(json.dumps("fine"))
except ConfigError as error:
    print(json.dumps(error.code))
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""


@pytest.fixture
def hub():
    """A server that has `mine/model`, gives `mine/gated` to nobody, and never answers for `mine/slow`."""
    asked = []
    done = threading.Event()

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            name = "/".join(self.path.split("/")[1:3])
            if name == "mine/slow":
                done.wait()
                return
            errors = {"mine/gated": (403, "GatedRepo"), "mine/other": (404, "EntryNotFound"), "mine/model": (200, "")}
            status, code = errors.get(name, (404, "RepoNotFound"))
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("ETag", '"0"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", "2")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()


def ask(name, endpoint, home, offline="0"):
    """Return what a process of its own finds: the hub's library reads these variables when it is loaded."""
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline}
    command = [sys.executable, "-c", ASK, name]
    answer = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code", "times"),
    [
        ("mine/model", "fine", 1),
        ("mine/gated", "model-gated", 1),
        ("mine/other", "model-incomplete", 2),
        ("mine/nothing", "no-such-model", 1),
        ("nothing", "no-such-model", 1),
        ("mine/slow", "hub-unreachable", 1),
        ("smollm2-135", "no-such-model", 0),
        ("a--b/..", "no-such-model", 0),
    ],
)
def test_the_hub_is_asked_once_for_a_name(hub, tmp_path, name, code, times):
    endpoint, asked = hub
    assert ask(name, endpoint, tmp_path) == code
    assert len(asked) == times


def test_a_hub_that_is_switched_off_is_not_asked(hub, tmp_path):
    endpoint, asked = hub
    assert ask("mine/model", endpoint, tmp_path, offline="1") == "model-not-cached"
    assert not asked


def test_a_hub_that_cannot_be_reached_is_reported(tmp_path):
    assert ask("mine/model", "http://127.0.0.1:9", tmp_path) == "hub-unreachable"


@pytest.mark.slow
def test_a_model_that_was_downloaded_needs_no_hub(hub, base, tmp_path):
    endpoint, asked = hub
    snapshot = tmp_path / "hub/models--mine--model/snapshots/0"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("0")
    config = json.loads((base / "config.json").read_text())
    (snapshot / "config.json").write_text(json.dumps(config))
    assert ask("mine/model", endpoint, tmp_path) == "fine"
    (snapshot / "config.json").write_text(json.dumps({**config, "is_encoder_decoder": True}))
    assert ask("mine/model", endpoint, tmp_path) == "not-a-causal-model"
    assert not asked


def test_a_misspelt_name_gets_the_nearest_known_one():
    with pytest.raises(UnknownName) as caught:
        find_model("smollm2-135")
    assert caught.value.code == "no-such-model"
    assert "smollm2-135m" in caught.value.details["known"]
