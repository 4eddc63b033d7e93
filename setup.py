"""The C extension; everything else stands in pyproject.toml."""

from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup

spec = find_spec("unicorn")
assert spec is not None and spec.origin is not None
core = Path("renode/omvsim/engine/core")
setup(
    ext_modules=[
        Extension(
            "omvsim.engine._core",
            sources=sorted(str(source) for source in core.glob("*.c")),
            depends=[str(core / "core.h")],
            include_dirs=[str(Path(spec.origin).parent / "include")],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
        )
    ]
)
