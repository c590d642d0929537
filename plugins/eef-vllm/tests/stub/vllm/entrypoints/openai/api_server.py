"""A small server with vLLM's interface, as far as the policy uses it, that answers with a transformers model.

Started as a module, it takes the same arguments as vLLM's; in tests it also runs in a thread.
"""

import argparse
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from eef_framework.chat import ChatTokenizer
from eef_framework.models.adapter import with_adapters
from eef_framework.policies.loading import load_model, load_tokenizer


class Server:
    """The server.

    Attributes:
        requests: bodies of all completion requests.
        loads: names and folders of all adapters that were loaded.
        fault: returns an HTTP status for a completion request's body, or a number of seconds to wait as a float.
        stale: whether it says that it has loaded an adapter, and answers with the weights of the last one.
        sees: whether it sees a folder.
        runtime_lora: whether adapters can be loaded while it runs.
        version: what it says of its version; empty for a server that doesn't tell it.
    """

    def __init__(self, model, name="base", key="", max_model_len=256, port=0, max_lora_rank=64):
        self.path, self.name, self.key, self.max_model_len, self.port = str(model), name, key, max_model_len, port
        self.max_lora_rank = max_lora_rank
        self.models = {name: load_model(model, "float32", "cpu").eval()}
        self.chat = ChatTokenizer(load_tokenizer(model))
        self.requests, self.loads, self.unloads = [], [], []
        self.fault, self.stale, self.sees, self.runtime_lora = lambda body: None, False, Path.exists, True
        self.version = ""
        self._lock = threading.Lock()
        self._http = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self):
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._http = _Listener(("127.0.0.1", self.port), handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self, forget=True):
        """Stop listening. A server that is started again has lost its adapters."""
        http, self._http = self._http, None
        if http is not None:
            http.shutdown()
            http.server_close()
        if forget:
            self.models = {self.name: self.models[self.name]}

    __enter__ = start

    def __exit__(self, *exception):
        self.stop()

    def listed(self):
        base = {"id": self.name, "parent": None, "root": self.path, "max_model_len": self.max_model_len}
        adapters = [{"id": name, "parent": self.name, "root": name} for name in self.models if name != self.name]
        return {"object": "list", "data": [base, *adapters]}

    def load(self, name, folder):
        if name in self.models:
            return 400, f"The lora adapter '{name}' has already been loaded."
        path = Path(folder)
        if not self.sees(path):
            return 404, f"Loading lora {name} failed: No adapter found for {folder}"
        if json.loads((path / "adapter_config.json").read_text())["r"] > self.max_lora_rank:
            return 400, f"LoRA rank is greater than max_lora_rank {self.max_lora_rank}."
        self.loads.append((name, folder))
        latest = list(self.models.values())[-1]
        self.models[name] = (
            latest if self.stale else with_adapters(load_model(self.path, "float32", "cpu"), path).eval()
        )
        return 200, ""

    def complete(self, body):
        self.requests.append(body)
        prompt, limit = body["prompt"], body["max_tokens"]
        if len(prompt) + limit > self.max_model_len:
            return 400, f"This model's maximum context length is {self.max_model_len} tokens."
        model = self.models.get(body["model"])
        if model is None:
            return 404, f"The model `{body['model']}` does not exist."
        found = self.fault(body)
        if isinstance(found, float):
            time.sleep(found)
        elif found:
            return found, "a fault"
        with self._lock, torch.inference_mode():
            ids, logprobs = self._sample(model, body)
        choice = {"index": 0, "token_ids": ids, "logprobs": {"token_logprobs": logprobs}, "text": ""}
        return 200, {"choices": [choice]}

    def _sample(self, model, body):
        generator = torch.Generator().manual_seed(body["seed"] % 2**63)
        ids, logprobs, allowed = [], [], body.get("allowed_token_ids")
        forced = []
        if choices := body.get("structured_outputs", {}).get("choice"):
            forced = [*self.chat.answer_ids(choices[body["seed"] % len(choices)]), *self.chat.stop_ids]
        while len(ids) < body["max_tokens"]:
            logits = model(torch.tensor([[*body["prompt"], *ids]])).logits[0, -1]
            chances = logits.log_softmax(-1)
            if allowed or forced:
                token = allowed[0] if allowed else forced[len(ids)]
            elif body["temperature"] == 0:
                token = int(chances.argmax())
            else:
                scaled = (logits / body["temperature"]).softmax(-1)
                token = int(torch.multinomial(scaled, 1, generator=generator))
            ids.append(token)
            logprobs.append(float(chances[token]))
            if token in body.get("stop_token_ids", ()) or (forced and len(ids) == len(forced)):
                break
        return ids, logprobs


class _Listener(ThreadingHTTPServer):
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if self.path == "/v1/models" and self._refused():
            return
        if self.path == "/v1/models":
            self._answer(200, self.server_state.listed())
        elif self.path == "/version" and self.server_state.version:
            self._answer(200, {"version": self.server_state.version})
        else:
            self._answer(200 if self.path == "/health" else 404, {})

    def do_POST(self):
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self._refused():
            return
        if self.path == "/v1/completions":
            self._answer(*state.complete(body))
        elif self.path == "/v1/load_lora_adapter" and state.runtime_lora:
            self._answer(*state.load(body["lora_name"], body["lora_path"]))
        elif self.path == "/v1/unload_lora_adapter":
            state.unloads.append(body["lora_name"])
            known = state.models.pop(body["lora_name"], None)
            self._answer(200 if known else 404, "" if known else "cannot be found")
        else:
            self._answer(404, {"detail": "Not Found"})

    def _refused(self):
        key = self.server_state.key
        refused = key and self.headers.get("authorization") != f"Bearer {key}"
        if refused:
            self._answer(401, {"error": "Unauthorized"})
        return refused

    def _answer(self, status, found):
        if isinstance(found, str) and status != 200:
            found = {"error": {"message": found, "type": "Error", "code": status}}
        data = json.dumps(found).encode()
        if self.server is not self.server_state._http:  # it was stopped: connections end without an answer
            self.close_connection = True
            return
        try:
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # the client gave up
            self.close_connection = True


def main():
    parser = argparse.ArgumentParser()
    for name in ("--model", "--served-model-name", "--host", "--port", "--dtype", "--generation-config"):
        parser.add_argument(name)
    parser.add_argument("--max-lora-rank", type=int, default=16)
    parser.add_argument("--max-loras")
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-model-len", type=int, default=256)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--children", default="")
    given = parser.parse_args()
    if given.fail:
        raise SystemExit("this server can't start")
    if given.children:  # as vLLM does, whose engine is a process of its own
        with Path(given.children).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if os.fork() == 0:
            with Path(given.children).open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(600)
            os._exit(0)
    torch.set_num_threads(1)
    key = os.environ.get("VLLM_API_KEY", "")
    server = Server(given.model, given.served_model_name, key, given.max_model_len, int(given.port))
    server.max_lora_rank = given.max_lora_rank
    server.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
