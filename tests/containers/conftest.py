"""One stack for all tests of this folder, in the order in which they stand."""

import os
from collections.abc import Iterator

import pytest

from tests.containers.stack import Stack, checkout, missing


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system from a fresh checkout, healthy. Only when it is asked for, and then it must be possible."""
    if "MAILLAGE_TEST_CONTAINERS" not in os.environ:
        pytest.skip("takes many minutes: set MAILLAGE_TEST_CONTAINERS")
    if reason := missing():
        pytest.fail(reason)
    system = Stack(checkout(tmp_path_factory.mktemp("checkout")))
    system.forget()
    try:
        system.up()
        yield system
    finally:
        system.forget()
