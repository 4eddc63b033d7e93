"""Random programs (random_programs.py): interrupts at every boundary, and QEMU as judge."""

from pathlib import Path

import pytest
from random_programs import BATCH, Batch


@pytest.mark.parametrize("first", range(0, 2000, BATCH))
def test_an_interrupt_at_any_boundary_changes_nothing(first: int, tmp_path: Path) -> None:
    assert list(Batch(range(first, first + BATCH), tmp_path).differences()) == []


@pytest.mark.parametrize("first", range(0, 2000, BATCH))
def test_qemu_computes_the_same(first: int, tmp_path: Path) -> None:
    assert list(Batch(range(first, first + BATCH), tmp_path).on_qemu()) == []
