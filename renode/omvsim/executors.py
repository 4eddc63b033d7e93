"""Where work goes that takes long: processes of this machine, or the workers of a Dask scheduler.

Such a worker needs this package, of the same version; what it works on travels with the work.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netsim import paths
from omvsim.errors import UserError
from omvsim.image import testbed_version
from omvsim.processes import die_with

ANSWERS_WITHIN = 10.0  # host seconds, for a scheduler
RETRIES = 2  # of work whose worker dies


def same_version(version: str) -> None:
    """UserError where work comes from another one."""
    if version != testbed_version():
        raise UserError(f"a worker has omvsim {testbed_version()}, not {version}: install the same")


def unpack(folder: Path, files: Mapping[str, bytes]) -> None:
    """Files that have travelled, by relative paths; UserError for one that leads out."""
    for name, content in files.items():
        path = paths.below(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def dask(address: str) -> Any:
    """A client of the scheduler there; UserError without one, or without Dask."""
    try:
        import distributed  # noqa: PLC0415 - an extra of the package
    except ImportError:
        raise UserError("--dask needs Dask: pip install 'openmv-testbed[dask]'") from None
    try:
        client: Any = distributed.Client
        return client(address, timeout=ANSWERS_WITHIN, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"--dask {address}: {' '.join(str(error).split())[:120]}") from None


def of_dask(client: Any) -> Executor:
    """Its executor: work whose worker dies is given to another one."""
    executor: Executor = client.get_executor(pure=False, retries=RETRIES)
    return executor


@contextmanager
def executor(jobs: int, address: str | None) -> Iterator[Executor]:
    """So many processes here, or the workers of a scheduler; nothing here goes on afterwards."""
    if address:
        with dask(address) as client:
            yield of_dask(client)
        return
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, fork, initializer=die_with, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.kill()
