"""The tests of `omvsim check` on other machines: each of Dask's workers runs them as `Local` does.

A worker needs this package, of the same version. The image and the person's files travel once, by
their hash; what a test writes comes back with its answer. A test whose worker dies is given to
another one.
"""

from __future__ import annotations

import atexit
import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from netsim import paths
from omvsim import executors, processes
from omvsim.errors import UserError
from omvsim.image import ROOT, file_of, resolved
from omvsim.suites.local import Answer, Order, Workers
from omvsim.suites.worker import slug
from omvsim.testbed import find_board, testbed_version

_workers: dict[str, tuple[Path, Workers]] = {}  # of a worker of Dask's, by what they run on
_lock = threading.Lock()

Files = Mapping[str, bytes]


def _run(order: Order, files: Files, version: str, test: str) -> tuple[Answer, dict[str, bytes]]:
    """On a worker of Dask's: one test; its answer, and what it has written by relative paths."""
    executors.same_version(version)
    folder, workers = _made(order, files)
    answer = workers.run(test)
    name, written = slug(test), {}
    for path in (folder / "robot" / f"{name}.xml", *(folder / "evidence" / name).rglob("*")):
        if path.is_file():
            written[str(path.relative_to(folder))] = path.read_bytes()
            path.unlink()
    return answer, written


def _made(order: Order, files: Files) -> tuple[Path, Workers]:
    """The workers for an order, and the folder that they write to."""
    digest = hashlib.sha256(repr((order, sorted(files.items()))).encode()).hexdigest()
    with _lock:
        if digest not in _workers:
            made = ExitStack()  # whatever ends this process, its folder goes
            atexit.register(made.close)
            folder = made.enter_context(processes.folder("omvsim-cluster-"))
            executors.unpack(folder, files)
            workers = Workers(_placed(order, folder), folder)
            atexit.register(workers.close)
            _workers[digest] = folder, workers
        return _workers[digest]


def _placed(order: Order, folder: Path) -> Order:
    """The order with the paths of its files in a folder."""
    firmware = ",".join(str(folder / part) for part in str(order.firmware).split(","))
    put = tuple(folder / file for file in order.put)
    camera = {
        name: folder / value if isinstance(value, Path) and len(value.parts) > 1 else value
        for name, value in order.camera.items()
    }
    return replace(order, firmware=Path(firmware), put=put, camera=camera)


def _packed(order: Order) -> tuple[Order, dict[str, bytes]]:
    """The order with relative paths, and the files there."""
    files: dict[str, bytes] = {}

    def pack(path: Path) -> Path:
        """Where it will lie: files may share a name, not a folder."""
        content = paths.read(path)
        place = Path(hashlib.sha256(content).hexdigest()[:16]) / path.name
        files[str(place)] = content
        return place

    def part(text: str) -> str:
        path, address = file_of(text)
        return f"{pack(path)}@{address}" if address else str(pack(path))

    def option(value: Any) -> Any:
        if not isinstance(value, Path):
            return value
        path = find_board(value)
        return Path(path.stem) if path.parent == ROOT / "renode" else pack(path)

    firmware = ",".join(map(part, resolved(order.firmware).split(",")))
    put = tuple(map(pack, order.put))
    camera = {name: option(value) for name, value in order.camera.items()}
    return replace(order, firmware=Path(firmware), put=put, camera=camera), files


class Cluster:
    """An executor of Dask's, by its scheduler's address."""

    def __init__(self, address: str, order: Order, out: Path) -> None:
        self._out, self._client = out, executors.dask(address)
        self._order, files = _packed(order)
        self._files = self._client.scatter(files, broadcast=True, hash=True)
        self._executor = executors.of_dask(self._client)
        self._left = 0

    def submit(self, test: str) -> Future[Any]:
        """A test by its full name."""
        self._left += 1
        future: Future[Any] = self._executor.submit(
            _run, self._order, self._files, testbed_version(), test
        )
        return future

    def answer(self, future: Future[Any]) -> Answer:
        """What came of a test that has run; what it has written is below `out` then."""
        self._left -= 1
        try:
            answer: Answer
            answer, written = future.result()
        except UserError:
            raise
        except (Exception, CancelledError) as error:
            return {"message": f"Dask gave it up: {type(error).__name__}: {error}", "seconds": 0.0}
        executors.unpack(self._out, written)
        return answer

    def doing(self) -> str:
        """What a person who waits is told."""
        workers = len(self._client.scheduler_info()["workers"])
        return f"{self._left} tests to go, {workers} workers of Dask's"

    def close(self) -> None:
        """Take back what has not begun; the scheduler stays."""
        self._executor.shutdown(wait=False)
        self._client.close()
