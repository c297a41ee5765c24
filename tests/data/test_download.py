"""Downloads against a local server that behaves well, badly, or not at all."""

import contextlib
import gzip
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from coursekit.data import (
    DATASETS,
    DataError,
    cache_dir,
    datasets,
    download,
    dsprites,
    fetch,
    load,
    shared_dir,
)
from coursekit.data.download import DataFile, Dataset, Source
from coursekit.data.series import REAL_SERIES
from coursekit.data.sprites import _read_dsprites

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how to behave; ranges are served unless it says otherwise."""

    def do_GET(self):
        manner, name = self.path.strip("/").split("/")
        server = self.server
        server.requests.append((manner, name, self.headers.get("Range")))
        turn = sum(request[0] == manner for request in server.requests)
        content = server.files.get(name)
        if manner == "missing" or content is None:
            self.send_error(404)
            return
        if manner == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if manner == "short":  # says that half is all there is
            content = content[: len(content) // 2]
        start = 0
        asked = self.headers.get("Range")
        if asked and manner != "no_range":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start or (asked and manner != "no_range") else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            shift = 1 if manner == "wrong_range" else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        if manner == "cut" or (manner == "cut_once" and turn == 1):
            body = body[: len(body) // 2]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if manner == "stall" and turn == 1:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                server.released.wait(30)
                return
            if manner == "slow":
                time.sleep(0.5)
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests, running.files, running.released = [], {"file.bin": CONTENT}, threading.Event()
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch, request):
    if request.node.get_closest_marker("dataset"):
        return
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "cache"))
    for variable in ("COURSEKIT_OFFLINE", "COURSEKIT_SHARED_DATA", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    monkeypatch.setattr(download, "_verified", set())


def url(server, manner, name="file.bin"):
    return f"http://127.0.0.1:{server.server_port}/{manner}/{name}"


def register(monkeypatch, *urls, sha256=SHA256, packed=False):
    """Put the data set "tiny", one file, into the registry."""
    source = Source("file.bin", sha256, len(CONTENT), urls)
    tiny = Dataset("tiny", "test", "none", "nobody", (DataFile("file.bin", sha256, packed),), (source,))
    monkeypatch.setitem(DATASETS, "tiny", tiny)
    return cache_dir() / "tiny"


def only_file_is_right(folder):
    return [path.name for path in folder.iterdir()] == ["file.bin"] and (
        folder / "file.bin"
    ).read_bytes() == CONTENT


# --- the good way -------------------------------------------------------------------------------------------


def test_fetch_downloads_once(server, monkeypatch):
    folder = register(monkeypatch, url(server, "good"))
    assert fetch("tiny") == folder
    assert only_file_is_right(folder)
    assert fetch("tiny") == folder
    assert len(server.requests) == 1


def test_a_file_changed_in_the_cache_is_replaced(server, monkeypatch):
    folder = register(monkeypatch, url(server, "good"))
    fetch("tiny")
    (folder / "file.bin").write_bytes(b"spoiled")
    fetch("tiny")
    assert only_file_is_right(folder)
    assert len(server.requests) == 2


# --- mirrors that fail --------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["corrupt", "short", "missing", "cut"])
def test_a_bad_mirror_is_followed_by_a_good_one(server, monkeypatch, manner):
    folder = register(monkeypatch, url(server, manner), url(server, "good"))
    fetch("tiny")
    assert only_file_is_right(folder)
    assert [request[0] for request in server.requests] == [manner, "good"]


def test_a_mirror_that_cannot_be_reached(server, monkeypatch):
    folder = register(monkeypatch, "http://127.0.0.1:9/file.bin", url(server, "good"))
    fetch("tiny")
    assert only_file_is_right(folder)


def test_a_mirror_that_sends_nothing_is_given_up(server, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.5)
    folder = register(monkeypatch, url(server, "stall"), url(server, "good"))
    fetch("tiny")
    assert only_file_is_right(folder)
    assert server.requests[1][0] == "good"
    assert server.requests[1][2] in ("bytes=131072-", "bytes=150000-")  # at most one block of 64 KiB was lost


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("corrupt", "300,000 bytes with a wrong SHA-256"),
        ("short", "150,000 bytes with a wrong SHA-256"),
        ("missing", "HTTP 404"),
        ("cut", "IncompleteRead"),
    ],
)
def test_the_error_says_what_came_and_what_to_do(server, monkeypatch, manner, words):
    folder = register(monkeypatch, url(server, manner))
    with pytest.raises(DataError) as caught:
        fetch("tiny")
    message = str(caught.value)
    assert words in message
    assert url(server, manner) in message
    assert SHA256 in message
    assert "300,000 bytes" in message
    assert "coursekit data fetch tiny" in message
    assert str(folder / "file.bin") in message
    assert not (folder / "file.bin").exists()
    if manner != "cut":  # what is cut can be resumed, what is wrong is deleted
        assert list(folder.iterdir()) == []


# --- resuming -----------------------------------------------------------------------------------------------


def test_a_cut_download_is_resumed(server, monkeypatch):
    folder = register(monkeypatch, url(server, "cut_once"))
    fetch("tiny")
    assert only_file_is_right(folder)
    assert [request[2] for request in server.requests] == [None, "bytes=150000-"]


def test_a_server_without_ranges_sends_everything_again(server, monkeypatch):
    folder = register(monkeypatch, url(server, "cut"), url(server, "no_range"))
    fetch("tiny")
    assert only_file_is_right(folder)
    assert server.requests[1] == ("no_range", "file.bin", "bytes=150000-")


def test_a_server_that_answers_another_range_is_not_believed(server, monkeypatch):
    folder = register(monkeypatch, url(server, "cut"), url(server, "wrong_range"), url(server, "good"))
    fetch("tiny")
    assert only_file_is_right(folder)
    assert [request[0] for request in server.requests] == ["cut", "wrong_range", "good"]


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * 300_000, b"x" * 400_000])
def test_a_wrong_half_file_does_not_stay(server, monkeypatch, left):
    folder = register(monkeypatch, url(server, "good"))
    folder.mkdir(parents=True)
    (folder / "file.bin.part").write_bytes(left)
    fetch("tiny")
    assert only_file_is_right(folder)


CHILD = """
import sys
from coursekit.data import DATASETS, download, fetch
from coursekit.data.download import DataFile, Dataset, Source
from coursekit.data.sprites import _read_dsprites
url, sha256, size = sys.argv[1:]
source = Source("file.bin", sha256, int(size), (url,))
DATASETS["tiny"] = Dataset("tiny", "test", "none", "nobody", (DataFile("file.bin", sha256),), (source,))
print(fetch("tiny"))
"""


def child(address):
    command = [sys.executable, "-c", CHILD, address, SHA256, str(len(CONTENT))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_download_is_resumed_by_the_next(server, monkeypatch):
    folder = register(monkeypatch, url(server, "good"))
    process = child(url(server, "stall"))
    part, patience = folder / "file.bin.part", time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < patience:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    assert not (folder / "file.bin").exists()
    fetch("tiny")
    assert (folder / "file.bin").read_bytes() == CONTENT
    assert server.requests[-1] == ("good", "file.bin", f"bytes={have}-")


def test_two_processes_make_one_file(server, monkeypatch):
    folder = register(monkeypatch, url(server, "good"))
    first, second = child(url(server, "slow")), child(url(server, "slow"))
    for process in (first, second):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.strip() == str(folder)
    assert only_file_is_right(folder)
    assert len(server.requests) == 1  # the second waited for the first


def test_without_file_locks_a_process_downloads_for_itself(server, monkeypatch):
    monkeypatch.setattr(download, "_fcntl", lambda: None)
    folder = register(monkeypatch, url(server, "cut_once"))
    fetch("tiny")
    assert only_file_is_right(folder)


# --- offline, and where the cache is ------------------------------------------------------------------------


def test_offline_names_the_command(server, monkeypatch):
    folder = register(monkeypatch, url(server, "good"))
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    with pytest.raises(DataError, match=r"in no cache.*COURSEKIT_OFFLINE.*coursekit data fetch tiny"):
        fetch("tiny")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file.bin").write_bytes(b"wrong")
    with pytest.raises(DataError, match="its SHA-256 is wrong"):
        fetch("tiny")
    assert server.requests == []
    (folder / "file.bin").write_bytes(CONTENT)
    assert fetch("tiny") == folder


@pytest.mark.parametrize("value", ["0", "", "false", "no"])
def test_offline_can_be_said_off(server, monkeypatch, value):
    folder = register(monkeypatch, url(server, "good"))
    monkeypatch.setenv("COURSEKIT_OFFLINE", value)
    assert fetch("tiny") == folder


def test_cache_folder_comes_from_the_environment(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("COURSEKIT_DATA", "~/somewhere")
    assert cache_dir() == Path.home() / "somewhere"
    monkeypatch.delenv("COURSEKIT_DATA")
    assert "coursekit" in str(cache_dir())
    assert shared_dir() is None


def test_a_cache_that_cannot_be_made(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "file"))
    register(monkeypatch, url(server, "good"))
    with pytest.raises(DataError, match=r"cannot make the data cache.*Set COURSEKIT_DATA"):
        fetch("tiny")


def test_unknown_name():
    for wrong in ("minst", None, ["mnist"]):
        for ask in (fetch, load):
            with pytest.raises(ValueError, match="name must be one of 'mnist', 'binarized_mnist'"):
                ask(wrong)


# --- the shared cache ---------------------------------------------------------------------------------------


def snapshot(folder):
    return sorted((str(p), p.stat().st_mtime_ns, p.stat().st_mode) for p in folder.rglob("*"))


def test_the_shared_cache_is_looked_in_first_and_never_written(server, monkeypatch, tmp_path):
    own = register(monkeypatch, url(server, "good"))
    shared = tmp_path / "shared" / "tiny"
    shared.mkdir(parents=True)
    (shared / "file.bin").write_bytes(CONTENT)
    (shared / "file.bin").chmod(stat.S_IRUSR)
    shared.chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("COURSEKIT_SHARED_DATA", str(tmp_path / "shared"))
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    before = snapshot(tmp_path / "shared")
    assert fetch("tiny") == shared
    assert snapshot(tmp_path / "shared") == before
    assert not own.exists()
    shared.chmod(stat.S_IRWXU)


def test_a_wrong_shared_file_is_told_and_left_alone(server, monkeypatch, tmp_path):
    own = register(monkeypatch, url(server, "good"))
    shared = tmp_path / "shared" / "tiny"
    shared.mkdir(parents=True)
    (shared / "file.bin").write_bytes(b"wrong")
    monkeypatch.setenv("COURSEKIT_SHARED_DATA", str(tmp_path / "shared"))
    before = snapshot(tmp_path / "shared")
    with pytest.warns(UserWarning, match="shared cache.*wrong SHA-256"):
        assert fetch("tiny") == own
    assert only_file_is_right(own)
    assert snapshot(tmp_path / "shared") == before


def test_a_shared_cache_without_the_data_set_is_passed_over(server, monkeypatch, tmp_path):
    own = register(monkeypatch, url(server, "good"))
    monkeypatch.setenv("COURSEKIT_SHARED_DATA", str(tmp_path / "nowhere"))
    assert fetch("tiny") == own


# --- packed files and archives ------------------------------------------------------------------------------


def test_a_packed_copy_is_as_good(server, monkeypatch):
    folder = register(monkeypatch, url(server, "good"), packed=True)
    folder.mkdir(parents=True)
    (folder / "file.bin.gz").write_bytes(gzip.compress(CONTENT))
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    assert fetch("tiny") == folder
    assert download._content(folder, DATASETS["tiny"].files[0]) == CONTENT
    assert list(folder.iterdir()) == [folder / "file.bin.gz"]


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-100], lambda b: b[:50] + b"\0" * 9 + b[59:], lambda b: b"no"]
)
def test_a_spoiled_packed_copy_is_not(server, monkeypatch, spoil):
    folder = register(monkeypatch, url(server, "good"), packed=True)
    folder.mkdir(parents=True)
    (folder / "file.bin.gz").write_bytes(spoil(gzip.compress(CONTENT)))
    fetch("tiny")
    assert (folder / "file.bin").read_bytes() == CONTENT


def archive_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def register_archive(monkeypatch, server, *, wrong=False):
    members = {"one.bin": CONTENT[:1000], "two.bin": CONTENT[1000:]}
    packed = archive_of(
        {f"folder/{name}": body for name, body in members.items()} | {"../../evil": b"escaped"}
    )
    server.files["tiny.tar.gz"] = packed
    files = tuple(DataFile(name, hashlib.sha256(body).hexdigest()) for name, body in members.items())
    if wrong:
        files = (files[0], DataFile("two.bin", "0" * 64))
    address = (url(server, "good", "tiny.tar.gz"),)
    sha256 = hashlib.sha256(packed).hexdigest()
    source = Source("tiny.tar.gz", sha256, len(packed), address, tuple(members))
    monkeypatch.setitem(DATASETS, "tiny", Dataset("tiny", "test", "none", "nobody", files, (source,)))
    return cache_dir() / "tiny", members, packed


def test_an_archive_gives_its_members_and_goes(server, monkeypatch, tmp_path):
    folder, members, _ = register_archive(monkeypatch, server)
    assert fetch("tiny") == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == members
    assert not list(tmp_path.rglob("evil"))
    (folder / "two.bin").unlink()
    fetch("tiny")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == members
    assert len(server.requests) == 2


@pytest.mark.parametrize("where", ["cache", "shared"])
def test_an_archive_that_is_here_needs_no_network(server, monkeypatch, tmp_path, where):
    folder, members, packed = register_archive(monkeypatch, server)
    place = tmp_path / where / "tiny"
    place.mkdir(parents=True)
    (place / "tiny.tar.gz").write_bytes(packed)
    monkeypatch.setenv("COURSEKIT_SHARED_DATA", str(tmp_path / "shared"))
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    assert fetch("tiny") == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == members
    assert server.requests == []
    assert (tmp_path / "shared" / "tiny" / "tiny.tar.gz").exists() == (where == "shared")


def test_an_archive_with_a_wrong_member(server, monkeypatch):
    folder, _, _ = register_archive(monkeypatch, server, wrong=True)
    with pytest.raises(DataError, match=r"two\.bin in .* has a wrong SHA-256"):
        fetch("tiny")
    assert not (folder / "two.bin").exists()


# --- readers, on files made here ----------------------------------------------------------------------------


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


def put(name, contents):
    """Fill the cache with made files, and let the registry know their hashes."""
    folder = cache_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for file, body in zip(DATASETS[name].files, contents, strict=True):
        (folder / file.name).write_bytes(body)
        files.append(DataFile(file.name, hashlib.sha256(body).hexdigest(), file.packed))
    old = DATASETS[name]
    return Dataset(name, old.about, old.licence, old.citation, tuple(files), old.sources)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_load_in_the_stated_split(monkeypatch, name):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (10_007, 28, 28), np.uint8), rng.integers(0, 10, 10_007).astype(np.uint8)
    arrays = [X, y, X[:5], y[:5]]
    monkeypatch.setitem(DATASETS, name, put(name, [gzip.compress(idx(a), 1) for a in arrays]))
    splits = load(name)
    np.testing.assert_array_equal(splits.train.X, X[:7].reshape(7, 784))
    np.testing.assert_array_equal(splits.validation.y, y[7:])
    np.testing.assert_array_equal(splits.test.X, X[:5].reshape(5, 784))
    assert splits.train.y.dtype == np.int64
    assert splits.test.X.dtype == np.uint8
    splits.train.X[:] = 0  # the arrays are the caller's own


def test_binarized_files_load(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 2, (6, 784))
    text = "".join(" ".join(map(str, row)) + "\n" for row in pixels).encode()
    monkeypatch.setitem(
        DATASETS, "binarized_mnist", put("binarized_mnist", [text[:-1568], text, text[:1568]])
    )
    splits = load("binarized_mnist")
    np.testing.assert_array_equal(splits.validation.X, pixels)
    np.testing.assert_array_equal(splits.train.X, pixels[:5])
    assert splits.test.y is None


def test_cifar_files_load(monkeypatch):
    rows = np.random.default_rng(0).integers(0, 256, (2001, 3073), np.uint8)
    batches = [rows[i:].tobytes() for i in range(5)] + [rows[:3].tobytes()]
    monkeypatch.setitem(DATASETS, "cifar10", put("cifar10", batches))
    splits = load("cifar10")
    np.testing.assert_array_equal(splits.test.X, rows[:3, 1:])
    np.testing.assert_array_equal(splits.test.y, rows[:3, 0])
    assert len(splits.validation.X) + len(splits.train.X) == 5 * 2001 - 10


def tiny_dsprites(manner, server, monkeypatch, md5=None):
    """An archive in the form of dSprites, 3 x 2 x 5 x 4 x 2 images of 8 x 8, with an MD5 only."""
    sizes = (1, 3, 2, 5, 4, 2)
    classes = np.indices(sizes).reshape(6, -1).T
    images = np.random.default_rng(0).integers(0, 2, (len(classes), 8, 8), np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, imgs=images, latents_classes=classes, metadata=np.array({"a": 1}, dtype=object))
    server.files["file.bin"] = file.getvalue()
    name, digest = download.DSPRITES_FILE, md5 or hashlib.md5(file.getvalue()).hexdigest()
    source = Source(name, "md5:" + digest, 1, (url(server, manner),))
    made = Dataset("dsprites", "test", "none", "nobody", (DataFile(name, "md5:" + digest),), (source,))
    monkeypatch.setitem(DATASETS, "dsprites", made)
    return images, classes


def test_dsprites_load_whole_and_in_part(server, monkeypatch):
    images, classes = tiny_dsprites("good", server, monkeypatch)
    data = dsprites()
    np.testing.assert_array_equal(data.X, images.reshape(-1, 64))
    np.testing.assert_array_equal(data.factors, classes[:, 1:])
    assert data.sizes == (3, 2, 5, 4, 2)
    assert data.names == ("shape", "scale", "orientation", "posX", "posY")
    some = dsprites(50, random_state=1)
    rows = [np.flatnonzero((classes[:, 1:] == v).all(1))[0] for v in some.factors]
    assert len(set(rows)) == 50
    assert rows == sorted(rows)
    np.testing.assert_array_equal(some.X, images[rows].reshape(50, 64))
    np.testing.assert_array_equal(dsprites(50, random_state=1).X, some.X)
    assert len(server.requests) == 1
    with pytest.raises(ValueError, match="at most 240"):
        dsprites(241)
    with pytest.raises(ValueError, match="no parts"):
        load("dsprites")


def test_rows_are_found_across_blocks(tmp_path):
    """10,000 images: more than two of the blocks in which the archive is read."""
    images = np.random.default_rng(0).integers(0, 2, (10_000, 2, 2), np.uint8)
    classes = np.zeros((10_000, 6), dtype=int)
    np.savez_compressed(tmp_path / "a.npz", imgs=images, latents_classes=classes)
    for n in (1, 37, 9_999, None):
        found = _read_dsprites(tmp_path / "a.npz", n, 3).X
        rows = np.sort(np.random.RandomState(3).permutation(10_000)[:n])
        np.testing.assert_array_equal(found, images[rows].reshape(-1, 4))


def test_dsprites_with_a_wrong_md5_are_refused(server, monkeypatch):
    tiny_dsprites("good", server, monkeypatch, md5="0" * 32)
    with pytest.raises(DataError, match="bytes with a wrong MD5"):
        dsprites(3)


def test_an_archive_that_is_not_dsprites(tmp_path):
    np.savez(tmp_path / "other.npz", imgs=np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(DataError, match="not the dSprites archive"):
        _read_dsprites(tmp_path / "other.npz", None, 0)


def test_a_file_that_is_no_idx_file(monkeypatch):
    monkeypatch.setitem(DATASETS, "mnist", put("mnist", [gzip.compress(b"<html>")] * 4))
    with pytest.raises(DataError, match="not an IDX file"):
        load("mnist")


# --- the registry -------------------------------------------------------------------------------------------


def test_the_registry_is_whole():
    images = ["mnist", "binarized_mnist", "fashion_mnist", "cifar10"]
    assert list(DATASETS) == [*images, "dsprites", *REAL_SERIES]
    assert sorted(download._READERS) == sorted(images)
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.licence
        assert dataset.citation
        provided = [file for source in dataset.sources for file in source.provides]
        assert sorted(provided) == sorted(file.name for file in dataset.files)
        for source in dataset.sources:
            assert len(source.urls) >= 2
            assert source.size > 0
            assert len(bytes.fromhex(source.sha256.removeprefix("md5:"))) == (
                16 if name == "dsprites" else 32
            )
        for file in dataset.files:
            assert len(bytes.fromhex(file.sha256.removeprefix("md5:"))) == (16 if name == "dsprites" else 32)


def test_the_table_says_size_licence_citation_and_place(server, monkeypatch):
    register(monkeypatch, url(server, "good"))
    rows = {row[0]: row for row in datasets()}
    assert rows["mnist"][2:4] == ["11.6 MB", "CC BY-SA 3.0"]
    assert "LeCun" in rows["mnist"][4]
    assert rows["tiny"][-1] == "not here"
    fetch("tiny")
    assert {row[0]: row for row in datasets()}["tiny"][-1] == "cache"


# --- the real files, where they are -------------------------------------------------------------------------

KNOWN = {  # images of each class in the official test files
    "mnist": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    "fashion_mnist": [1000] * 10,
    "cifar10": [1000] * 10,
    "binarized_mnist": None,
}


@pytest.mark.dataset
@pytest.mark.parametrize("name", KNOWN)
def test_the_real_files_load(name):
    assert "COURSEKIT_DATA" in os.environ, "point COURSEKIT_DATA at a cache that has the data sets"
    splits = load(name)
    train = 40_000 if name == "cifar10" else 50_000
    width = 3072 if name == "cifar10" else 784
    assert [part.X.shape for part in splits] == [(train, width), (10_000, width), (10_000, width)]
    assert all(part.X.dtype == np.uint8 for part in splits)
    assert splits.test.X.max() == (1 if name == "binarized_mnist" else 255)
    if KNOWN[name] is None:
        assert all(part.y is None for part in splits)
    else:
        np.testing.assert_array_equal(np.bincount(splits.test.y), KNOWN[name])
        assert sum(np.bincount(part.y) for part in splits[:2]).sum() == train + 10_000


@pytest.mark.dataset
def test_the_real_dsprites_load():
    assert "COURSEKIT_DATA" in os.environ, "point COURSEKIT_DATA at a cache that has the data sets"
    data = dsprites(1000, random_state=0)
    assert data.sizes == (3, 6, 40, 32, 32)
    assert data.X.shape == (1000, 4096)
    assert set(np.unique(data.X)) == {0, 1}
