"""The one place that knows Unicorn: loads its library so that the C core finds it."""

import ctypes
from importlib.util import find_spec
from pathlib import Path


def _load() -> None:
    spec = find_spec("unicorn")
    if spec is None or spec.origin is None:
        raise ImportError("unicorn is not installed: pip install unicorn==2.1.4")
    library = next((Path(spec.origin).parent / "lib").glob("libunicorn.so*"))
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)  # _core resolves uc_* against it


_load()

from omvsim.engine._core import Core, Event, doze  # noqa: E402

__all__ = ["Core", "Event", "doze"]
