import pytest
from fake import FakeMachine


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()
