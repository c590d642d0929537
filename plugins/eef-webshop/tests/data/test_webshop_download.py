from __future__ import annotations

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import eef_webshop.data.download as _download
import pytest
from eef_webshop.data.official import VARIANTS
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import StorageError

NAMES = [file.name for file in VARIANTS["small"]]
CONTENT = {name: b'[{"a": "%s"}]' % name.encode() for name in NAMES}


class Server:
    """A web server that answers with what a function of the path returns: status, headers, body."""

    def __init__(self, answer):
        self.asked = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                status, headers, body = answer(self.path)
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def filled(tmp_path):
    folder = tmp_path / "from"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


def file_server(path):
    name = path.strip("/")
    return (200, {}, CONTENT[name]) if name in CONTENT else (404, {}, b"no")


def test_a_folder_s_files_are_copied_and_their_checksums_noted(filled, tmp_path):
    fetched = _download.download("small", tmp_path / "to", str(filled))
    assert [file.path.name for file in fetched] == NAMES
    assert all(file.new and file.path.read_bytes() == CONTENT[file.path.name] for file in fetched)
    assert _download.read_sums(tmp_path / "to" / "SHA256SUMS") == {
        name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()
    }


def test_checksums_of_somebody_elses_files_stay_as_they_are(filled, tmp_path):
    (tmp_path / "to").mkdir()
    mine = f"# my files\n{'a' * 64} *thesis.tex"
    (tmp_path / "to" / "SHA256SUMS").write_text(mine)
    for _ in range(2):
        _download.download("small", tmp_path / "to", str(filled))
    written = (tmp_path / "to" / "SHA256SUMS").read_text()
    assert written.startswith(f"{mine}\n")
    assert len(written.splitlines()) == 2 + len(NAMES)


def test_compressed_files_are_accepted(filled, tmp_path):
    (filled / NAMES[0]).unlink()
    (filled / f"{NAMES[0]}.gz").write_bytes(gzip.compress(CONTENT[NAMES[0]]))
    fetched = _download.download("small", tmp_path / "to", str(filled))
    assert fetched[0].path.name == f"{NAMES[0]}.gz"


def test_files_that_are_there_are_kept(filled, tmp_path):
    _download.download("small", tmp_path / "to", str(filled))
    for name in NAMES:
        (filled / name).unlink()
    assert [file.new for file in _download.download("small", tmp_path / "to", str(filled))] == [False] * 3


def test_a_file_that_was_changed_later_is_recognized(filled, tmp_path):
    _download.download("small", tmp_path / "to", str(filled))
    (tmp_path / "to" / NAMES[1]).write_bytes(b"[]")
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to", str(filled))
    assert (caught.value.code, caught.value.details["file"]) == ("wrong-checksum", NAMES[1])


def test_files_of_a_folder_with_checksums_are_checked_against_them(filled, tmp_path):
    (filled / "SHA256SUMS").write_text(f"{'0' * 64}  {NAMES[0]}\n")
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to", str(filled))
    assert (caught.value.code, caught.value.details["expected"]) == ("wrong-checksum", "0" * 64)
    assert not (tmp_path / "to" / NAMES[0]).exists()


def test_a_file_missing_in_the_folder_is_named(filled, tmp_path):
    (filled / NAMES[2]).unlink()
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to", str(filled))
    assert (caught.value.code, caught.value.details["file"]) == ("no-official-file", NAMES[2])


def test_a_mirror_serves_the_files_and_its_checksums_are_asked_for(serve, tmp_path):
    server = serve(file_server)
    progress = []
    _download.download("small", tmp_path / "to", server.address + "/", lambda *step: progress.append(step))
    assert server.asked == ["/SHA256SUMS", *(f"/{name}" for name in NAMES)]
    assert progress[0] == (NAMES[0], len(CONTENT[NAMES[0]]), len(CONTENT[NAMES[0]]))


def test_a_mirror_with_compressed_files_works_too(serve, tmp_path):
    def answer(path):
        name = path.strip("/").removesuffix(".gz")
        return (200, {}, gzip.compress(CONTENT[name])) if path.endswith(".gz") else (404, {}, b"")

    fetched = _download.download("small", tmp_path / "to", serve(answer).address)
    assert [file.path.name for file in fetched] == [f"{name}.gz" for name in NAMES]


def test_a_download_that_breaks_off_leaves_no_file(serve, tmp_path):
    server = serve(lambda path: (200, {"Content-Length": "1000"}, b"[1"))
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to", server.address)
    assert caught.value.code in ("connection-lost", "download-truncated")
    assert not (tmp_path / "to" / NAMES[0]).exists()


def test_a_page_in_the_place_of_a_file_is_refused(serve, tmp_path):
    server = serve(lambda path: (200, {}, b"<html>sorry</html>"))
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to", server.address)
    assert (caught.value.code, caught.value.details["start"]) == ("not-the-file", "<html>sorry</html>")
    assert not (tmp_path / "to" / NAMES[0]).exists()


def test_a_server_s_refusal_is_passed_on(serve, tmp_path):
    server = serve(lambda path: (403, {}, b""))
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to", server.address)
    assert (caught.value.code, caught.value.details["origin"]) == ("download-failed", server.address)
    assert caught.value.__cause__.code == 403
    assert "--from FOLDER" in caught.value.fix


def test_google_drive_s_question_is_answered(serve, tmp_path, monkeypatch):
    form = (
        b'<html><form id="download-form" action="%s/really" method="get"><input type="hidden" name="id" value="x">'
        b'<input type="hidden" name="uuid" value="123"><input type="submit" value="Download anyway"></form></html>'
    )

    def answer(path):
        if path.startswith("/really"):
            assert "uuid=123" in path
            return 200, {"Content-Type": "application/octet-stream"}, b"[1]"
        return 200, {"Content-Type": "text/html; charset=utf-8"}, form % server.address.encode()

    server = serve(answer)
    monkeypatch.setattr(_download, "DRIVE", f"{server.address}/download")
    fetched = _download.download("small", tmp_path / "to")
    assert [file.path.read_bytes() for file in fetched] == [b"[1]"] * 3
    assert VARIANTS["small"][0].drive_id in server.asked[0]


def test_google_drive_s_refusal_says_what_to_do(serve, tmp_path, monkeypatch):
    server = serve(lambda path: (200, {"Content-Type": "text/html"}, b"Quota exceeded"))
    monkeypatch.setattr(_download, "DRIVE", f"{server.address}/download")
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to")
    assert caught.value.code == "drive-refused"
    assert VARIANTS["small"][0].page in caught.value.fix
    assert "--from" in caught.value.fix


def test_without_internet_all_files_and_the_way_around_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "DRIVE", "http://127.0.0.1:9/download")
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("full", tmp_path / "to")
    assert all(file.page in caught.value.fix for file in VARIANTS["full"])
    assert "--from FOLDER" in caught.value.fix


def test_a_folder_that_cannot_be_written_is_explained(filled, tmp_path):
    (tmp_path / "to").write_text("a file")
    with pytest.raises(StorageError):
        _download.download("small", tmp_path / "to", str(filled))


def test_a_missing_origin_is_explained(tmp_path):
    with pytest.raises(_download.DownloadError) as caught:
        _download.download("small", tmp_path / "to", str(tmp_path / "nowhere"))
    assert (caught.value.code, caught.value.details["path"]) == ("no-such-folder", str(tmp_path / "nowhere"))


@given(st.text() | st.text(alphabet="0aF *\n", max_size=300))
def test_any_text_can_stand_in_a_file_of_checksums(text):
    sums = _download._parsed_sums(text)
    assert all(len(digest) == 64 for digest in sums.values())
