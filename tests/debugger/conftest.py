"""The net of these tests, compiled once."""

from __future__ import annotations

import pytest

from debugger import net


@pytest.fixture(scope="session")
def f32(tmp_path_factory: pytest.TempPathFactory) -> net.Net:
    return net.build(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="session")
def f16(tmp_path_factory: pytest.TempPathFactory) -> net.Net:
    return net.build(tmp_path_factory.mktemp("net"), "F16")
