"""Images for the adapters' tests."""

import pytest
import torch


@pytest.fixture(scope="module")
def images(digits):
    return torch.from_numpy(digits.test.images[:10])
