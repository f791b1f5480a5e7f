#!/usr/bin/env python3
"""Time what users wait for, each beside a reference measured in the same run; `make bench` calls it.

    python3 tools/bench.py [--skip-training]

Prints a line a figure: `name value unit reference ratio`.  Machines are noisy: quote the ratios.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--skip-training", action="store_true", help="time the launcher only")
    arguments = parser.parse_args()
    launcher()
    if not arguments.skip_training:
        training("fp32")
        training("bf16")


if __name__ == "__main__":
    main()
