"""The operators of everything.c, built and loaded once."""

import building
import pytest
import torch


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """everything.c as a library."""
    return building.library(tmp_path_factory.mktemp("sdk"), "km_sdk", building.EVERYTHING)


@pytest.fixture(scope="session")
def ops(built):
    torch.ops.load_library(built)
    assert building.status(built) == (0, "")
    return torch.ops.km_sdk
