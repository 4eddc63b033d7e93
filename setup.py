"""The C extension, and what an installation holds beside the packages."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

spec = find_spec("unicorn")
assert spec is not None and spec.origin is not None
core = Path("renode/omvsim/engine/core")


SHARED = ("firmware", "robot", "renode/link", "renode/models", "renode/*.repl", "renode/*.resc")


class BuildWithShare(build_py):
    """Boards, Renode's sources, suites and the firmware's sources go to omvsim/share."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # they are where they are
            return
        for tree in SHARED:
            for found in Path().glob(tree):
                for file in [found] if found.is_file() else found.rglob("*"):
                    if file.is_file() and "__pycache__" not in file.parts:
                        target = Path(self.build_lib, "omvsim/share", file)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(file, target)


setup(
    cmdclass={"build_py": BuildWithShare},
    ext_modules=[
        Extension(
            "omvsim.engine._core",
            sources=sorted(str(source) for source in core.glob("*.c")),
            depends=[str(core / "core.h")],
            include_dirs=[str(Path(spec.origin).parent / "include")],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
        )
    ],
)
