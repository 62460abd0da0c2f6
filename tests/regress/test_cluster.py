"""``tpumlir regress --dask`` on a cluster of processes, one of which is killed in the middle."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regress import models
from regress.models import folder_of, run, statuses, times_run

distributed = pytest.importorskip("distributed", reason="needs distributed (tpumlir[cluster])")
pytestmark = pytest.mark.filterwarnings("ignore")  # distributed has its own

KILLS = """
import os, pathlib, signal
here = pathlib.Path({here!r})

def before_case(name, quantize):
    with (here / "log").open("a") as log:
        log.write(f"{{name}}:{{quantize}}\\n")
    if name == "dies":
        os.abort()
    if name == "killer" and (here / "armed").exists():
        (here / "armed").unlink()
        server = pathlib.Path(f"/proc/{{os.getppid()}}/stat").read_text()
        os.kill(int(server.rpartition(")")[2].split()[1]), signal.SIGKILL)  # the Dask worker
        while True:
            signal.pause()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two workers in processes of their own, in another folder."""
    folder = str(tmp_path_factory.mktemp("dask"))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder,
        silence_logs=logging.CRITICAL,
    ) as made:  # fmt: skip
        yield made


def test_nothing_is_lost_and_nothing_comes_twice(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ops = ("Relu", "Sigmoid", "Exp", "Tanh", "Abs", "Neg")
    for number, op in enumerate(ops):
        models.write(tmp_path / "suite" / f"{op.lower()}.onnx", op, seed=number)
    for name in ("dies", "killer"):
        models.write(tmp_path / "suite" / f"{name}.onnx", "Sqrt" if name == "dies" else "Erf")
    models.write_external(tmp_path / "suite" / "outside.onnx", 3.0)
    np.save(tmp_path / "suite" / "x.npy", np.ones(models.SHAPE, np.float32))
    models.write(tmp_path / "suite" / "strange.onnx", "NoSuchOp", domain="made.up")
    path = models.suite(
        tmp_path / "suite",
        """
        [defaults]
        quantize = ["F32", "BF16"]
        [[model]]
        path = "*.onnx"
        [[model]]
        path = "dies.onnx"
        expect = "crash"
        [[model]]
        path = "strange.onnx"
        expect = "refused"
        [[model]]
        path = "outside.onnx"
        input = "x=x.npy"
        """,
        KILLS.format(here=str(tmp_path)),
    )
    (tmp_path / "armed").touch()
    assert run(path, "--dask", cluster.scheduler_address, "--threads", 1) == 0, capsys.readouterr()
    assert not (tmp_path / "armed").exists()
    found = statuses(path)
    assert len(found) == 20
    assert Counter(found.values()) == {
        ("ok", "passed"): 16, ("ok", "crashed"): 2, ("ok", "refused"): 2,
    }  # fmt: skip
    log = Counter(times_run(tmp_path / "log"))
    assert set(log) == set(found)
    # What the killed worker had is run again, at most two cases; nothing else is.
    assert 21 <= log.total() <= 23
    on_cluster = (folder_of(path) / "results.json").read_bytes()
    times = json.loads((folder_of(path) / "results.times.json").read_bytes())["cases"]
    assert {name for name, samples in times.items() if len(samples["wall"]) == 1} == {
        name for name, (_, status) in found.items() if status != "crashed"
    }

    capsys.readouterr()
    assert run(path, "--fresh", "--results", tmp_path / "here", "--threads", 1) == 0
    assert (tmp_path / "here" / "results.json").read_bytes() == on_cluster
    assert run(path, "--dask", cluster.scheduler_address) == 0
    assert "2 cases ran, 18 were known" in capsys.readouterr().out


def test_another_compiler_is_named(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models.write(tmp_path / "suite" / "relu.onnx")
    from tpumlir.regress import contents

    ours = {**contents.compiler(), "numpy": "0.0.1"}
    monkeypatch.setattr("tpumlir.regress.cluster.ours", lambda: ours)
    assert run(tmp_path / "suite", "--dask", cluster.scheduler_address) == 1
    err = capsys.readouterr().err
    assert "worker tcp://" in err
    assert "has another compiler: numpy" in err
    assert "instead of 0.0.1; install the same version there" in err
    assert len(err.splitlines()) == 1
