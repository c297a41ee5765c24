"""Verified downloads: large image data sets, and real time series.

Every file is checked against its published SHA-256 (MD5 where nothing else is published). A download is
atomic (a half file never stands under the final name), resumes where the server allows, and goes on to the
next mirror when a file comes truncated or corrupted.

Three environment variables steer it, each read at the time of the call:

``COURSEKIT_DATA``
    Folder of the cache, with one sub-folder per data set; by default the platform's cache folder.
``COURSEKIT_SHARED_DATA``
    A cache that many share (a hub), looked in first and never written to.
``COURSEKIT_OFFLINE``
    ``1`` forbids the network: what is not in a cache is an error that names the command that would fetch it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit.data.images import Part, Splits

if TYPE_CHECKING:
    from coursekit.base import Table

__all__ = [
    "DATASETS",
    "DataError",
    "DataFile",
    "Dataset",
    "Source",
    "cache_dir",
    "datasets",
    "fetch",
    "load",
    "shared_dir",
]

_CHUNK = 1 << 20
_BLOCK = 1 << 16  # bytes kept at a time while downloading: no more than this is lost when it breaks off
_ROUNDS = 2  # how often the list of mirrors is gone through
_PAUSE = 1.0  # seconds before it is gone through again
_TIMEOUT = 30.0  # seconds without a byte after which a mirror is given up


class DataError(RuntimeError):
    """A data set is neither in a cache nor to be had; the message says what to do."""


@dataclass(frozen=True)
class DataFile:
    """A file that a data set needs in the cache.

    Attributes
    ----------
    name : str
        File name.
    sha256 : str
        SHA-256 of its content; or "md5:" and the MD5, which tells accidents but no forgery.
    packed : bool
        Whether ``name + ".gz"`` is as good: then `sha256` is that of the unpacked content.
    """

    name: str
    sha256: str
    packed: bool = False


@dataclass(frozen=True)
class Source:
    """A file to download: one of the files of the data set, or a tar archive that holds some.

    Attributes
    ----------
    name, sha256 : str
        File name and SHA-256, or "md5:" and the MD5.
    size : int
        Bytes.
    urls : tuple of str
        Mirrors, best first.
    members : tuple of str
        Files of the data set that the archive holds; empty if the source is itself such a file.
    """

    name: str
    sha256: str
    size: int
    urls: tuple[str, ...]
    members: tuple[str, ...] = ()

    @property
    def provides(self) -> tuple[str, ...]:
        """Names of the data set's files that come from here."""
        return self.members or (self.name,)


@dataclass(frozen=True)
class Dataset:
    """What there is to know about a data set that can be fetched.

    Attributes
    ----------
    name, about, licence, citation : str
        Name for ``fetch`` and ``load``; what it is; its licence; whom to cite.
    files : tuple of DataFile
        What must stand in the cache.
    sources : tuple of Source
        What is downloaded.
    """

    name: str
    about: str
    licence: str
    citation: str
    files: tuple[DataFile, ...]
    sources: tuple[Source, ...]

    @property
    def download_bytes(self) -> int:
        """Size of the whole download in bytes."""
        return sum(source.size for source in self.sources)


def _plain(
    mirrors: tuple[str, ...], files: dict[str, tuple[int, str]], packed: bool = False
) -> dict[str, Any]:
    """Files and sources of a data set whose files are downloaded as they are."""
    return {
        "files": tuple(DataFile(name, sha, packed) for name, (_, sha) in files.items()),
        "sources": tuple(
            Source(name, sha, size, tuple(mirror + name for mirror in mirrors))
            for name, (size, sha) in files.items()
        ),
    }


DSPRITES_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"

_CIFAR_MEMBERS = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}

_MNIST_CITATION = (
    'Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", '
    "Proceedings of the IEEE 86(11), 1998"
)

_PICKUP = "PickupGestureWiimoteZ"
_TSLEARN = "9efcd8afe3ef55186f57f4c3ccb45ae353d6f85f7aea2e420032c34a99345705"  # of the source archives
_AEON = "4bc3d9ee64caf4befdf98371997052c294502ea8ad117cc8a6df6045081af381"


def _packaged(name: str, about: str, archive: tuple[str, int, str], members: dict[str, str]) -> Dataset:
    """Series of the UCR/UEA archive, out of the source archive of a package: its checksum is the index's."""
    file, size, sha256 = archive
    package = file.split("-")[0]
    hosts = ("https://files.pythonhosted.org", "https://pypi.org")
    urls = tuple(f"{host}/packages/source/{package[0]}/{package}/{file}" for host in hosts)
    return Dataset(
        name,
        f"{about}; as bundled by {package}",
        "none stated by the UCR/UEA archive; cite it",
        'H. A. Dau and others, "The UCR time series classification archive", 2018; A. Bagnall and others, '
        '"The UEA multivariate time series classification archive", 2018, arXiv:1811.00075',
        files=tuple(DataFile(member, sha) for member, sha in members.items()),
        sources=(Source(file, sha256, size, urls, tuple(members)),),
    )


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "mnist",
            "handwritten digits, 28x28 grey, 60,000 + 10,000",
            "CC BY-SA 3.0",
            _MNIST_CITATION,
            **_plain(
                (
                    "https://ossci-datasets.s3.amazonaws.com/mnist/",
                    "https://storage.googleapis.com/cvdf-datasets/mnist/",
                ),
                {
                    "train-images-idx3-ubyte.gz": (
                        9912422,
                        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    ),
                    "train-labels-idx1-ubyte.gz": (
                        28881,
                        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    ),
                    "t10k-images-idx3-ubyte.gz": (
                        1648877,
                        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    ),
                    "t10k-labels-idx1-ubyte.gz": (
                        4542,
                        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                    ),
                },
            ),
        ),
        Dataset(
            "binarized_mnist",
            "MNIST in the fixed binarization of the literature, 50,000 + 10,000 + 10,000, no labels",
            "CC BY-SA 3.0 (as MNIST)",
            'H. Larochelle, I. Murray, "The neural autoregressive distribution estimator", AISTATS 2011; R. '
            'Salakhutdinov, I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008',
            **_plain(
                (
                    "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
                    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
                ),
                {
                    "binarized_mnist_train.amat": (
                        78400000,
                        "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
                    ),
                    "binarized_mnist_valid.amat": (
                        15680000,
                        "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
                    ),
                    "binarized_mnist_test.amat": (
                        15680000,
                        "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
                    ),
                },
                packed=True,
            ),
        ),
        Dataset(
            "fashion_mnist",
            "clothes, 28x28 grey, 60,000 + 10,000",
            "MIT",
            'H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine '
            'learning algorithms", 2017, arXiv:1708.07747',
            **_plain(
                (
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
                ),
                {
                    "train-images-idx3-ubyte.gz": (
                        26421880,
                        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    ),
                    "train-labels-idx1-ubyte.gz": (
                        29515,
                        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    ),
                    "t10k-images-idx3-ubyte.gz": (
                        4422102,
                        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    ),
                    "t10k-labels-idx1-ubyte.gz": (
                        5148,
                        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                    ),
                },
            ),
        ),
        Dataset(
            "cifar10",
            "small photographs, 32x32 colour, 50,000 + 10,000",
            "none stated",
            'A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009',
            files=tuple(DataFile(name, sha) for name, sha in _CIFAR_MEMBERS.items()),
            sources=(
                Source(
                    "cifar-10-binary.tar.gz",
                    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                    170052171,
                    (
                        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
                    ),
                    members=tuple(_CIFAR_MEMBERS),
                ),
            ),
        ),
        Dataset(
            "dsprites",
            "black and white sprites with their factors, 64x64, 737,280",
            "Apache-2.0",
            "L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, "
            '"dSprites: disentanglement testing sprites dataset", 2017',
            **_plain(
                (
                    "https://github.com/google-deepmind/dsprites-dataset/raw/master/",
                    "https://github.com/deepmind/dsprites-dataset/raw/master/",
                ),
                # The size is rounded; of the file only the MD5 is published.
                {DSPRITES_FILE: (26_000_000, "md5:7da33b31b13a06f4b04a70402ce90c2e")},
            ),
        ),
        _packaged(
            "trace",
            "simulated faults of an instrument, 100 + 100 series of 275 values, 4 classes",
            (
                "tslearn-0.6.4.tar.gz",
                367401,
                "9efcd8afe3ef55186f57f4c3ccb45ae353d6f85f7aea2e420032c34a99345705",
            ),
            {"Trace.npz": "0de0b7fa727cfabaf8481552db2b95fcccd12e54b67058aea79ff05b483cf807"},
        ),
        _packaged(
            "gunpoint",
            "place of a hand that draws a gun or points, 50 + 150 series of 150 values, 2 classes",
            ("aeon-1.6.0.tar.gz", 5751669, _AEON),
            {
                "GunPoint_TRAIN.ts": "f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5",
                "GunPoint_TEST.ts": "79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e",
            },
        ),
        _packaged(
            "pickup_gestures",
            "acceleration of a controller in gestures, 50 + 50 series of 29 to 361 values, 10 classes",
            ("aeon-1.6.0.tar.gz", 5751669, _AEON),
            {
                f"{_PICKUP}_TRAIN.ts": "4d303d9990df621c066fc454d62626e3721aed008462103500b86b1ac1ca92c8",
                f"{_PICKUP}_TEST.ts": "a9109bce918e48ee0e924e9cf2fdfdc4de364a3d88ec5e8aa44399ff08b11361",
            },
        ),
    )
}


# ----------------------------------------------------------------------------------------------------
# Where files are
# ----------------------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """Folder of the data cache.

    Returns
    -------
    Path
        ``COURSEKIT_DATA`` if it is set, else the platform's cache folder for ``coursekit``.
    """
    named = os.environ.get("COURSEKIT_DATA", "")
    if named:
        return Path(named).expanduser().absolute()
    import pooch  # here, so that importing this package stays quick

    return Path(pooch.os_cache("coursekit"))


def shared_dir() -> Path | None:
    """Folder of the shared, read-only cache.

    Returns
    -------
    Path or None
        ``COURSEKIT_SHARED_DATA`` if it is set.
    """
    named = os.environ.get("COURSEKIT_SHARED_DATA", "")
    return Path(named).expanduser().absolute() if named else None


def _offline() -> bool:
    return os.environ.get("COURSEKIT_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def datasets() -> Table:
    """List the data sets that can be fetched, as a table.

    Returns
    -------
    Table
        Name, what it is, size of the download, licence, whom to cite, and which cache has it (by file names:
        only `fetch` reads the files).
    """
    from coursekit.base import Table

    rows = []
    for dataset in DATASETS.values():
        size = f"{dataset.download_bytes / 1e6:.1f} MB"
        where = "not here"
        for label, root in (("cache", cache_dir()), ("shared cache", shared_dir())):
            if root and all(_candidates(root / dataset.name, file) for file in dataset.files):
                where = label
        rows.append([dataset.name, dataset.about, size, dataset.licence, dataset.citation, where])
    return Table(["name", "what", "download", "licence", "cite", "where"], rows)


def _candidates(folder: Path, file: DataFile) -> list[Path]:
    """Where `file` may stand in `folder`, as it is or packed; only what exists."""
    names = [file.name, file.name + ".gz"] if file.packed else [file.name]
    return [folder / name for name in names if (folder / name).is_file()]


_verified: set[tuple[str, int, int, str]] = set()  # path, size, time and hash of files read and found right


def _is_right(path: Path, sha256: str, *, unpack: bool = False) -> bool:
    """Whether the content of `path` has this SHA-256; a file that has not changed is read only once."""
    try:
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns, sha256)
        if key in _verified:
            return True
        algorithm, _, wanted = _checksum(sha256).partition(":")
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with gzip.open(path) if unpack else path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except (OSError, EOFError, gzip.zlib.error):  # type: ignore[attr-defined]
        return False  # not there, unreadable, or a truncated gzip stream
    if digest.hexdigest() != wanted:
        return False
    _verified.add(key)
    return True


def _checksum(sha256: str) -> str:
    """Write a checksum as pooch does: the algorithm, a colon, the digest."""
    return sha256 if ":" in sha256 else f"sha256:{sha256}"


def _find(folder: Path, file: DataFile) -> Path | None:
    """Find the verified copy of `file` in `folder`, if there is one."""
    for path in _candidates(folder, file):
        if _is_right(path, file.sha256, unpack=path.name != file.name):
            return path
    return None


def _missing(folder: Path, dataset: Dataset) -> list[str]:
    """Names of the files of `dataset` of which `folder` has no right copy."""
    return [file.name for file in dataset.files if _find(folder, file) is None]


# ----------------------------------------------------------------------------------------------------
# Fetching
# ----------------------------------------------------------------------------------------------------


def fetch(name: str) -> Path:
    """Make sure that a data set is in a cache, and say where.

    Looks in the shared cache, then in the own cache, then downloads what is missing or wrong into the own
    cache.

    Parameters
    ----------
    name : str
        Which data set: "mnist", "binarized_mnist", "fashion_mnist", "cifar10", "dsprites", "trace",
        "gunpoint" or "pickup_gestures".

    Returns
    -------
    Path
        Folder that holds all its files, each verified by its checksum.

    Raises
    ------
    ValueError
        If there is no data set of that name.
    DataError
        If it is in no cache and cannot be downloaded: offline, or no mirror gave the right bytes.

    Notes
    -----
    On Linux and macOS concurrent calls wait for one another, and an interrupted download is resumed where the
    server allows it. Elsewhere each call downloads for itself, and the last one to finish puts the file in
    place.
    """
    dataset = _dataset(name)
    shared = shared_dir()
    if shared is not None and (shared / name).is_dir():
        wrong = _missing(shared / name, dataset)
        if not wrong:
            return shared / name
        there = [
            file.name for file in dataset.files if file.name in wrong and _candidates(shared / name, file)
        ]
        if there:
            warnings.warn(
                f"{name}: the shared cache {shared} has files with a wrong SHA-256 ({', '.join(there)}); "
                "using the own cache instead. Tell who keeps the shared cache.",
                stacklevel=2,
            )
    folder = cache_dir() / name
    if not _missing(folder, dataset):
        return folder
    with _locked(folder):
        for source in dataset.sources:
            if set(source.provides) & set(_missing(folder, dataset)):
                _provide(dataset, source, folder)
    return folder


def _dataset(name: str) -> Dataset:
    try:
        return DATASETS[name]
    except (KeyError, TypeError):
        raise ValueError(f"name must be one of {', '.join(map(repr, DATASETS))}; got {name!r}") from None


def _provide(dataset: Dataset, source: Source, folder: Path) -> None:
    """Put the files of one source into `folder`: from an archive that is here already, or by downloading."""
    shared = shared_dir()
    here = [folder / source.name, *([shared / dataset.name / source.name] if shared else [])]
    archive = next((path for path in here if source.members and _is_right(path, source.sha256)), None)
    if archive is None:
        archive = _download(dataset, source, folder)
    if source.members:
        _extract(archive, dataset, source, folder)
        if archive.parent == folder and not _missing(folder, dataset):
            archive.unlink()  # its members are in place


def _download(dataset: Dataset, source: Source, folder: Path) -> Path:
    """Download one source, going through its mirrors; the right bytes or a DataError."""
    target = folder / source.name
    if _offline():
        state = "in the cache, but its SHA-256 is wrong" if target.exists() else "in no cache"
        raise DataError(
            f"{dataset.name}: {source.name} is {state} ({cache_dir()}), and COURSEKIT_OFFLINE forbids the "
            f"network. To fetch it, unset COURSEKIT_OFFLINE and run: coursekit data fetch {dataset.name}"
        )
    import pooch
    import requests
    import urllib3

    came: list[str] = []
    kind = _named(source.sha256).split()[0]
    for again in range(_ROUNDS):
        time.sleep(_PAUSE if again else 0.0)
        for url in source.urls:
            downloader = _Resuming(folder / (source.name + _part_suffix()))
            try:
                pooch.retrieve(
                    url, _checksum(source.sha256), fname=source.name, path=folder, downloader=downloader
                )
                return target
            except ValueError:  # pooch has deleted the file, because its hash is wrong
                came.append(f"{url}: {downloader.received:,} bytes with a wrong {kind} (deleted)")
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                came.append(f"{url}: {_in_words(error)}")
    raise DataError(
        f"{dataset.name}: no mirror gave {source.name} ({source.size:,} bytes, {_named(source.sha256)}). "
        "Came:\n  "
        + "\n  ".join(dict.fromkeys(came))
        + f"\nCheck the network (or the proxy) and run: coursekit data fetch {dataset.name}\n"
        + f"Or put the file there by hand: {target}"
    )


def _named(sha256: str) -> str:
    """Name a checksum for people."""
    algorithm, _, digest = _checksum(sha256).partition(":")
    return f"{'MD5' if algorithm == 'md5' else 'SHA-256'} {digest}"


def _in_words(error: Exception) -> str:
    """One line about a failed transfer."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _part_suffix() -> str:
    """Name half files: one for all where a lock keeps processes apart, else one for each process."""
    return ".part" if _fcntl() else f".{os.getpid()}.part"


class _Resuming:
    """A downloader for pooch that goes on where the last attempt stopped.

    The bytes go to a half file that outlives a broken connection; only the whole file is handed to pooch,
    which verifies it and moves it into place.
    """

    def __init__(self, part: Path):
        self.part = part
        self.received = 0

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import requests
        from tqdm import tqdm

        have = self.part.stat().st_size if self.part.exists() else 0
        # No compression on the way: the hash is that of the file itself, and positions must be its own.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == 416:  # nothing is left to send: the half file is whole, or wrong
                os.replace(self.part, output_file)
                self.received = have
                return
            response.raise_for_status()
            resumes = response.status_code == 206
            if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise requests.RequestException(
                    f"asked for bytes {have}-, got {response.headers.get('Content-Range')}"
                )
            self.received = have if resumes else 0
            left = response.headers.get("Content-Length")
            total = self.received + int(left) if left else None
            with (
                self.part.open("ab" if resumes else "wb", buffering=0) as file,
                tqdm(
                    total=total, initial=self.received, unit="B", unit_scale=True, desc=url, disable=None
                ) as bar,
            ):
                for chunk in response.raw.stream(_BLOCK, decode_content=False):
                    file.write(chunk)
                    self.received += len(chunk)
                    bar.update(len(chunk))
        os.replace(self.part, output_file)


def _extract(archive: Path, dataset: Dataset, source: Source, folder: Path) -> None:
    """Take the members out of a verified archive, each verified and atomic."""
    sha256 = {file.name: file.sha256 for file in dataset.files}
    with tarfile.open(archive) as tar:
        for entry in tar:
            name = Path(entry.name).name
            if name not in source.members or not entry.isfile():
                continue
            stream = tar.extractfile(entry)
            assert stream is not None
            with tempfile.NamedTemporaryFile(dir=folder, prefix=name + ".", delete=False) as temporary:
                shutil.copyfileobj(stream, temporary, _CHUNK)
            if not _is_right(Path(temporary.name), sha256[name]):
                os.unlink(temporary.name)
                raise DataError(
                    f"{dataset.name}: {name} in {archive} has a wrong SHA-256; delete the archive"
                )
            os.chmod(temporary.name, 0o644)
            os.replace(temporary.name, folder / name)


def _fcntl() -> Any:
    """Find the module for file locks; None where there is none (Windows)."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of `folder` meanwhile, without leaving a lock file behind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the data cache {folder}: {error.strerror}. "
            "Set COURSEKIT_DATA to a folder you can write to"
        ) from error
    fcntl = _fcntl()
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # waits; the system lets go when a process dies
        yield
    finally:
        os.close(handle)


# ----------------------------------------------------------------------------------------------------
# Loading
# ----------------------------------------------------------------------------------------------------


def load(name: str) -> Splits:
    """Load a set of images, fetching it if need be (series: `coursekit.data.load_series`).

    ===================  ==========================  =====  =============================================
    name                 rows (train/validate/test)  d      a row of ``X`` (uint8)
    ===================  ==========================  =====  =============================================
    "mnist"              50,000 / 10,000 / 10,000    784    grey values 0-255, 28 rows of 28
    "fashion_mnist"      50,000 / 10,000 / 10,000    784    grey values 0-255, 28 rows of 28
    "binarized_mnist"    50,000 / 10,000 / 10,000    784    0 or 1, 28 rows of 28; ``y`` is None
    "cifar10"            40,000 / 10,000 / 10,000    3072   0-255; red, green, blue planes, 32 rows of 32
    ===================  ==========================  =====  =============================================

    Where the data set has no validation part of its own it is the last 10,000 images of the official training
    part. ``X.reshape(-1, 28, 28)`` or ``X.reshape(-1, 3, 32, 32)`` gives images.

    Parameters
    ----------
    name : {"mnist", "binarized_mnist", "fashion_mnist", "cifar10"}
        Which data set.

    Returns
    -------
    Splits
        ``train``, ``validation``, ``test``, each with ``X`` uint8 of shape (n, d) and ``y`` int64 of shape
        (n,).

    Raises
    ------
    ValueError
        If there is no data set of that name, or it holds series, or it is "dsprites", which has no parts.
    DataError
        If it cannot be had; see :func:`fetch`.
    """
    dataset = _dataset(name)
    if name == "dsprites":
        raise ValueError("name: dSprites has factors and no parts; use coursekit.data.dsprites(n) instead")
    if name not in _READERS:
        raise ValueError(f"{name!r} holds time series, whose lengths may differ: use load_series({name!r})")
    folder = fetch(name)
    return _READERS[name](folder, dataset)


def _content(folder: Path, file: DataFile) -> bytes:
    """Read a fetched file, unpacked if it stands there packed or is a gzip file itself."""
    path = _find(folder, file)
    if path is None:
        raise DataError(f"{folder / file.name} changed while it was read; run it again")
    content = path.read_bytes()
    return gzip.decompress(content) if path.name.endswith(".gz") else content


def _idx(content: bytes) -> NDArray[np.uint8]:
    """Array in an IDX file of unsigned bytes: two zeros, type 8, number of axes, big-endian lengths, data."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"not an IDX file of unsigned bytes: it starts with {content[:4]!r}")
    axes = content[3]
    shape = np.frombuffer(content, ">u4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _official_split(X: NDArray[np.uint8], y: NDArray[np.uint8], test: Part) -> Splits:
    """Make the last 10,000 training images the validation part."""
    classes = y.astype(np.int64)
    return Splits(Part(X[:-10000], classes[:-10000]), Part(X[-10000:], classes[-10000:]), test)


def _read_mnist(folder: Path, dataset: Dataset) -> Splits:
    X, y, X_test, y_test = (_idx(_content(folder, file)) for file in dataset.files)
    test = Part(X_test.reshape(len(X_test), -1).copy(), y_test.astype(np.int64))
    return _official_split(X.reshape(len(X), -1).copy(), y, test)


def _read_binarized_mnist(folder: Path, dataset: Dataset) -> Splits:
    parts = []
    for file in dataset.files:
        characters = np.frombuffer(_content(folder, file), np.uint8).reshape(-1, 2 * 784)
        # "0 1 ... 0\n": every other character is a pixel; the character "0" has code 48.
        parts.append(Part(characters[:, ::2] - np.uint8(48), None))
    return Splits(*parts)


def _read_cifar10(folder: Path, dataset: Dataset) -> Splits:
    rows = [np.frombuffer(_content(folder, file), np.uint8).reshape(-1, 1 + 3072) for file in dataset.files]
    train, test = np.concatenate(rows[:-1]), rows[-1]
    part = Part(test[:, 1:].copy(), test[:, 0].astype(np.int64))
    return _official_split(np.ascontiguousarray(train[:, 1:]), train[:, 0], part)


_READERS = {
    "mnist": _read_mnist,
    "fashion_mnist": _read_mnist,
    "binarized_mnist": _read_binarized_mnist,
    "cifar10": _read_cifar10,
}
