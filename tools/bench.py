#!/usr/bin/env python3
"""Time what users wait for, each beside a reference measured in the same run; `make bench` calls it.

    python3 tools/bench.py [--skip-training] [--before CHECKOUT]

Prints one line per figure: `name value unit reference ratio`.  Machines are noisy: quote the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OVERLAY = "quickstart/k8s/mlops/multi-node"
BIN = Path(sys.executable).parent
# Of one training step a 224x224 image: 4.1 GFLOP forward (multiply and add counted apart: 8.2), three times that with
# the gradients of activations and kernels.
GFLOP_PER_IMAGE = 24.6


def seconds(argv: Sequence[str]) -> float:
    """Return the wall time of one call of a program."""
    start = time.perf_counter()
    subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def paired_medians(first: Sequence[str], second: Sequence[str], rounds: int = 11) -> tuple[float, float]:
    """Return the median wall times of two programs called in turn, after one call of each to warm up."""
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds + 1)][1:]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def launcher() -> None:
    """Print the launcher's times against bare Python and bare kubectl."""
    program = str(BIN / "mlops-launch")
    shown, python = paired_medians([program, "--help"], [sys.executable, "-c", "pass"])
    print(f"--help {shown:.3f} s, python -c pass {python:.3f} s, ratio {shown / python:.1f}")
    rendered, kubectl = paired_medians([program, "render", OVERLAY], ["kubectl", "kustomize", OVERLAY])
    print(f"render {rendered:.3f} s, kubectl kustomize {kubectl:.3f} s, difference {rendered - kubectl:.3f} s")


MATMUL = """
import sys, time
import tensorflow as tf
n, dtype = 4096, tf.as_dtype(sys.argv[1])
a = tf.cast(tf.random.normal([n, n]), dtype)
f = tf.function(lambda x: x @ x)
f(a)
times = []
for _ in range(5):
    start = time.perf_counter()
    f(a).numpy()
    times.append(time.perf_counter() - start)
print(2 * n**3 / sorted(times)[2] / 1e9)
"""


def training(precision: str) -> None:
    """Print images a second of the benchmark preset against what the machine's matrix products would allow."""
    dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
    gflops = float(subprocess.run([sys.executable, "-c", MATMUL, dtype], check=True, capture_output=True, text=True).stdout)
    with tempfile.TemporaryDirectory() as output:
        flags = ["--preset", "benchmark", "--precision", precision, "--output-dir", output]
        main = [sys.executable, str(ROOT / "models" / "resnet50v1_5" / "main.py"), *flags]
        ended = subprocess.run(main, capture_output=True, text=True)
    if ended.returncode != 0:
        print(f"training {precision}: {ended.stderr.strip().splitlines()[0]}")
        return
    fields = dict(word.split("=", 1) for word in ended.stdout.splitlines()[-1].split()[1:])
    rate, limit = float(fields["images_per_s"]), gflops / GFLOP_PER_IMAGE
    print(f"training {precision} {rate:.1f} images/s, matmul {gflops:.0f} GFLOP/s = {limit:.1f} images/s, ratio {rate / limit:.2f}")


def images_per_s(program: Sequence[str], flags: Sequence[str]) -> float:
    """Return the rate in the result line of the benchmark preset, started by `program`."""
    with tempfile.TemporaryDirectory() as output:
        main = [*program, sys.executable, str(ROOT / "models" / "resnet50v1_5" / "main.py")]
        argv = [*main, "--preset", "benchmark", "--max-steps", "6", "--output-dir", output, *flags]
        printed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return float(dict(word.split("=", 1) for word in printed.splitlines()[-1].split()[1:])["images_per_s"])


def ranks(rounds: int) -> None:
    """Print the rate of two ranks with a thread each against one process with two threads: 224x224, 32 images per step, fp32."""
    common = ("--global-batch", "32", "--precision", "fp32")
    one, two = [], []
    # Horovod: as in the multi-node overlay, so that ranks that wait leave the core to the one that computes.
    mpirun = ["mpirun", "-n", "2", "--bind-to", "none", "-x", "HOROVOD_FUSION_THRESHOLD=33554432", "--mca", "mpi_yield_when_idle", "1"]
    for _ in range(rounds):
        one.append(images_per_s([], [*common, "--comm", "single", "--threads", "2"]))
        two.append(images_per_s(mpirun, [*common, "--comm", "horovod", "--threads", "1"]))
    pairs = statistics.median(b / a for a, b in zip(one, two, strict=True))
    print(f"ranks: 2 x 1 thread {statistics.median(two):.2f} images/s, 1 x 2 threads {statistics.median(one):.2f}, ratio {pairs:.2f}")


def demo(before: Path, rounds: int) -> None:
    """Print the demo's time in this checkout against that in another one, in turn."""
    here, there = [], []
    for _ in range(rounds):
        for times, folder in ((there, before), (here, ROOT)):
            start = time.perf_counter()
            subprocess.run(["make", "demo"], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
    now, then = statistics.median(here), statistics.median(there)
    print(f"demo: {now:.0f} s, in {before.name} {then:.0f} s, ratio {now / then:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--skip-training", action="store_true", help="time the launcher only")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="time the demo there too; both were run before")
    arguments = parser.parse_args()
    launcher()
    if not arguments.skip_training:
        training("fp32")
        training("bf16")
        ranks(rounds=3)
    if arguments.before is not None:
        demo(arguments.before.resolve(), rounds=1)


if __name__ == "__main__":
    main()
