"""The training loop: steps, log, evaluation, checkpoints, resume, stop."""

from __future__ import annotations

import math
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.checkpoint import Checkpoints
from common.comm import Comm, average_variables, local_rank
from common.data.dataset import Dataset, open_dataset
from common.data.order import step_bounds, steps_per_epoch
from common.data.pipeline import evaluation_batches, synthetic_batches, training_batches
from common.data.stage import stage
from common.errors import TrainingError
from common.output import OutputFolder, say, talk
from common.recorder import Recorder, SampleTrace
from common.schedule import Schedule, scaled
from common.stopping import StopRequest
from mlops_launch.contract import RESULT, RESULT_FILE, ExitCode, Value, format_fields
from models.resnet50v1_5.config import Config, require_divisible
from models.resnet50v1_5.model import ARCHITECTURES, ResNet
from models.resnet50v1_5.step import make_evaluation_step, make_momentum, make_train_step


class Training:
    """One training on one rank: what stays the same from step to step."""

    def __init__(self, config: Config, comm: Comm, stop: StopRequest, threads: int) -> None:
        require_divisible(config.global_batch, comm.size)
        self.config, self.comm, self.stop, self.threads = config, comm, stop, threads
        # Horovod: rank 0 alone writes to the output folder, or ranks would overwrite each other's files.
        self.output = OutputFolder(Path(config.output_dir)) if comm.rank == 0 else None
        self.dataset = None if config.synthetic else self._open_dataset()
        self.images = config.synthetic_images if self.dataset is None else self.dataset.images("train")
        if self.dataset is not None and config.evaluation_epochs:
            # A missing split is told now, not after the first epoch.
            self.dataset.images("validation")
        self.classes = config.classes if self.dataset is None else self.dataset.classes
        if self.classes < 1:
            raise TrainingError("--synthetic needs the number of classes", "set MLOPS_CLASSES", ExitCode.CONFIGURATION)
        self.steps_per_epoch = steps_per_epoch(self.images, config.global_batch)
        every_epoch = config.epochs * self.steps_per_epoch
        self.total_steps = min(every_epoch, config.max_steps) if config.max_steps else every_epoch
        self.schedule = Schedule(
            kind=config.schedule,
            peak=scaled(config.base_learning_rate, config.global_batch),
            warmup_steps=min(self.total_steps, math.ceil(config.warmup_epochs * self.steps_per_epoch)),
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
        )
        compute = tf.bfloat16 if config.precision == "bf16" else tf.float32
        self.model = ResNet(ARCHITECTURES[config.model], self.classes, compute, config.bn_decay, config.zero_gamma, config.seed)
        self.momentum = make_momentum(self.model)
        self.train_step = make_train_step(self.model, self.momentum, comm, config, self.classes)
        self.evaluation_step = make_evaluation_step(self.model, config)
        data = "synthetic" if self.dataset is None else self.dataset.fingerprint
        self.checkpoints = Checkpoints(Path(config.output_dir), config.for_resume() | {"data": data}, config.keep_checkpoints)

    def _open_dataset(self) -> Dataset:
        config = self.config
        folder = Path(config.dataset_dir)
        log = talk if self.comm.rank == 0 else lambda line: None
        if config.cache_dir:
            folder = stage(folder, config.cache_dir, local_rank=local_rank(self.comm), barrier=self.comm.barrier, log=log)
        return open_dataset(folder, classes=config.classes or None, label_offset=config.label_offset or None, log=log)

    @property
    def variables(self) -> dict[str, Any]:
        """What a checkpoint holds, by name."""
        groups = {"weights": self.model.weights, "momentum": self.momentum, "statistics": self.model.statistics}
        return {f"{group}/{name}": variable for group, named in groups.items() for name, variable in named.items()}

    def restore(self) -> int:
        """Load the newest whole checkpoint on every rank; return the step it was taken after, 0 without one."""
        found = self.checkpoints.newest(talk) if self.comm.rank == 0 else None
        step: int = self.comm.broadcast_object(0 if found is None else found.step)
        if found is not None:
            for name, variable in self.variables.items():
                variable.assign(found.tensors[name])
        # Horovod: all ranks start from rank 0's values, restored or initial.
        self.comm.broadcast(list(self.variables.values()))
        return step

    def save(self, step: int) -> None:
        """Write the checkpoint after `step`, with batch norm's statistics averaged over ranks."""
        self.average_statistics()
        if self.comm.rank == 0:
            self.checkpoints.save(step, {name: variable.numpy() for name, variable in self.variables.items()})

    def average_statistics(self) -> None:
        """Give every rank the mean over ranks of batch norm's moving statistics, which each rank moves by its own images."""
        average_variables(self.comm, list(self.model.statistics.values()))

    def evaluate(self) -> dict[str, float] | None:
        """Return loss, top1 and top5 over every validation image once, or None when a rank was asked to stop meanwhile."""
        assert self.dataset is not None
        self.average_statistics()
        total = np.zeros(5)
        batches = evaluation_batches(
            self.dataset, "validation", local_batch=self.config.evaluation_batch, rank=self.comm.rank, world_size=self.comm.size,
            image_size=self.config.image_size, augment=self.config.augment, threads=self.threads,
        )  # fmt: skip
        with closing(batches):
            for images, labels, _ in batches:
                if self.stop.asked:
                    total[4] = 1
                    break
                total[:4] += self.evaluation_step(images, labels).numpy()
        # Horovod: each rank has seen its share; the sums over ranks are exact.
        loss, top1, top5, images, stopped = self.comm.sum_array(total)
        if stopped:
            return None
        return {"loss": float(loss / images), "top1": float(top1 / images), "top5": float(top5 / images), "images": int(images)}

    def is_evaluated(self, step: int) -> bool:
        """Return whether the model is evaluated after `step`: each few epochs, and at the end."""
        if not self.config.evaluation_epochs or self.dataset is None:
            return False
        return step == self.total_steps or step % (self.config.evaluation_epochs * self.steps_per_epoch) == 0

    def images_in_step(self, step: int) -> int:
        """Return how many images all ranks together see in step `step`, counted from 0."""
        if self.dataset is None:
            return self.config.global_batch
        start, end = step_bounds(step % self.steps_per_epoch, self.steps_per_epoch, self.images)
        return end - start

    def batches(self, start_step: int) -> Any:
        """Return the batches from `start_step` on."""
        steps, config = self.total_steps - start_step, self.config
        if self.dataset is None:
            local_batch = config.global_batch // self.comm.size
            return synthetic_batches(
                classes=self.classes, image_size=config.image_size, local_batch=local_batch, steps=steps, seed=config.seed
            )
        return training_batches(
            self.dataset, "train", seed=config.seed, start_step=start_step, steps=steps, global_batch=config.global_batch,
            rank=self.comm.rank, world_size=self.comm.size, image_size=config.image_size, augment=config.augment,  # type: ignore[arg-type]
            threads=self.threads,
        )  # fmt: skip


def train(config: Config, comm: Comm, stop: StopRequest, threads: int) -> ExitCode:
    """Train to the end, or until asked to stop; return the exit code. `threads` are this rank's.

    Raises:
        TrainingError: data, output, configuration, or a loss that is not finite.
    """
    started = time.monotonic()
    training = Training(config, comm, stop, threads)
    step = training.restore()
    if comm.rank == 0:
        describe(training, step)
    finished = finished_result(training, step)
    if finished is not None:
        if comm.rank == 0:
            talk("this training is finished; set another OUTPUT_DIR to train anew")
            say(f"{RESULT} " + format_fields(finished))
        return ExitCode.SUCCESS
    recorder = Recorder(training.output, step, config.summaries)
    pending = comm.broadcast_object(step > 0 and training.is_evaluated(step) and not recorder.has_evaluation(step))
    if pending and not evaluate_and_record(training, recorder, step):
        return stopped(training, step)
    step, asked = run_steps(training, recorder, step)
    if asked:
        return stopped(training, step)
    if comm.rank == 0:
        assert training.output is not None
        result: dict[str, Value] = {
            **recorder.final_figures(), "step": step, "epochs": config.epochs, "world_size": comm.size,
            "seconds": round(time.monotonic() - started, 1), "output": config.output_dir,
        }  # fmt: skip
        training.output.write_json(RESULT_FILE, result)
        recorder.close()
        say(f"{RESULT} " + format_fields(result))
    # Horovod: leave together; the first rank to end gets the others killed.
    comm.barrier()
    return ExitCode.SUCCESS


def finished_result(training: Training, step: int) -> dict[str, Value] | None:
    """Return, on every rank, the result of a training that has ended before; None while there is something to do."""
    found = training.output.read_json(RESULT_FILE) if training.output is not None else None
    done = found is not None and step == training.total_steps == found["step"]
    result: dict[str, Value] | None = training.comm.broadcast_object(found if done else None)
    return result


def describe(training: Training, step: int) -> None:
    """Say what is going to happen, once, before the first step."""
    config = training.config
    plan: dict[str, Value] = {
        "model": config.model, "parameters": training.model.parameter_count, "precision": config.precision,
        "images": training.images, "classes": training.classes, "image_size": config.image_size, "epochs": config.epochs,
        "steps": training.total_steps, "global_batch": config.global_batch, "local_batch": config.global_batch // training.comm.size,
        "threads": training.threads, "learning_rate": training.schedule.peak,
    }  # fmt: skip
    say("plan " + format_fields(plan))
    if step:
        say("resume " + format_fields({"step": step, "epoch": 1 + (step - 1) // training.steps_per_epoch}))


def run_steps(training: Training, recorder: Recorder, step: int) -> tuple[int, bool]:
    """Train from after `step` on; return the last step done, and whether the ranks agreed to stop there."""
    config, comm = training.config, training.comm
    trace = SampleTrace(config.trace_samples, comm.rank, comm.size)
    if step >= training.total_steps:
        return step, False
    with closing(training.batches(step)) as batches:
        for images, labels, records in batches:
            trace.write(step + 1, records)
            learning_rate = training.schedule(step)
            figures = training.train_step(
                images,
                labels,
                tf.constant(learning_rate),
                tf.constant(float(training.images_in_step(step))),
                tf.constant(float(training.stop.asked)),
            ).numpy()
            step += 1
            loss_sum, correct, count, asked = (float(figure) for figure in figures)
            if not math.isfinite(loss_sum):
                raise TrainingError(
                    f"the loss is not finite after step {step}: {loss_sum}",
                    "lower MLOPS_BASE_LEARNING_RATE or lengthen the warm-up",
                    ExitCode.DIVERGED,
                )
            recorder.count(loss_sum, correct, count)
            epoch = 1 + (step - 1) // training.steps_per_epoch
            last = step == training.total_steps
            if step % config.log_steps == 0 or last:
                recorder.write_step(step, training.total_steps, epoch, learning_rate, config.global_batch)
            evaluated = training.is_evaluated(step)
            asked_here = bool(asked) and not last
            if asked_here or evaluated or last or (config.checkpoint_steps and step % config.checkpoint_steps == 0):
                training.save(step)
                recorder.pause()
            # An evaluation that is left out or broken off is made up for when the training goes on.
            if asked_here or (evaluated and not evaluate_and_record(training, recorder, step)):
                return step, True
    return step, False


def evaluate_and_record(training: Training, recorder: Recorder, step: int) -> bool:
    """Evaluate after `step` and write the figures; return False when a rank was asked to stop meanwhile."""
    figures = training.evaluate()
    if figures is None:
        return False
    recorder.write_evaluation(step, 1 + (step - 1) // training.steps_per_epoch, figures)
    return True


def stopped(training: Training, step: int) -> ExitCode:
    """Say that the training was asked to stop, wait until every rank is here, and return the exit code."""
    if training.comm.rank == 0:
        talk(f"stopped on request after step {step}; the same command goes on from there")
    # Horovod: rank 0 has saved; leave together, since the first rank to end gets the others killed.
    training.comm.barrier()
    return ExitCode.INTERRUPTED
