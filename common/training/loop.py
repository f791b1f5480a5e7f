"""The training: restore, step after step, evaluations and checkpoints, the result."""

from __future__ import annotations

import math
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from common.checkpoint import Checkpoints
from common.comm import Comm
from common.errors import TrainingError
from common.output import OutputFolder, say, talk
from common.recorder import Recorder, SampleTrace
from common.stall import StallWatch
from common.stopping import StopRequest
from common.training.agreement import require_same_settings
from common.training.clock import Pauses
from common.training.evaluation import evaluate
from common.training.model import Model, parameter_count
from common.training.plan import CHECKPOINT, make_plan, require_divisible, require_enough
from common.training.settings import Settings
from common.training.source import Source
from common.training.state import START_ANEW, State
from common.training.step import EvaluationFigures, StepFigures, make_evaluation_step, make_momentum, make_train_step
from mlops_launch.contract import EVALUATION, RESULT, RESULT_FILE, ExitCode, Value, format_fields


def train(model: Model, settings: Settings, comm: Comm, stop: StopRequest, threads: int) -> ExitCode:
    """Train to the end, or until asked to stop; return the exit code. `threads` are this rank's.

    Raises:
        TrainingError: data, output, configuration, or a loss that is not finite.
    """
    started = time.monotonic()
    training = Training(model, settings, comm, stop, threads)
    step = training.state.restore()
    training.describe(step)
    if training.repeat_result(step):
        return ExitCode.SUCCESS
    training.record_from(step)
    with training.watch:
        if training.lacks_evaluation(step) and not training.evaluate(step):
            return training.stopped(step)
        step, asked = training.run(step)
        if asked:
            return training.stopped(step)
        training.write_result(step, time.monotonic() - started)
        # Horovod: leave together; the first rank to end gets the others killed.
        comm.barrier()
    return ExitCode.SUCCESS


class Training:
    """One training on one rank."""

    def __init__(self, model: Model, settings: Settings, comm: Comm, stop: StopRequest, threads: int) -> None:
        require_same_settings(settings.for_all_ranks(), comm)
        require_divisible(settings.global_batch, comm.size)
        self.settings, self.comm, self.stop, self.threads = settings, comm, stop, threads
        # Horovod: rank 0 alone writes to the output folder, or ranks would overwrite each other's files.
        self.output = OutputFolder(Path(settings.output_dir)) if comm.rank == 0 else None
        self.source = Source(settings, comm, threads)
        self.plan = make_plan(settings, self.source.images, self.source.is_dataset)
        self.pauses = Pauses()
        self.network = model.build(settings, self.source.classes)
        require_enough(self.plan.smallest_step, comm.size, self.network.least_images)
        momentum = make_momentum(self.network)
        self.train_step = make_train_step(self.network, momentum, comm, settings, self.source.classes)
        self.evaluation_step = make_evaluation_step(self.network, settings)
        fingerprint = settings.for_resume() | {"data": self.source.fingerprint}
        if self.source.has_manifest:
            # The manifest has the number, whether the settings repeat it or not.
            fingerprint["classes"] = 0
        checkpoints = Checkpoints(Path(settings.output_dir), fingerprint, settings.keep_checkpoints, talk)
        self.state = State(self.network, momentum, checkpoints, comm)
        self.watch = StallWatch(comm.rank, comm.hosts, talk)

    def describe(self, step: int) -> None:
        """Say what is going to happen, once, before the first step."""
        if self.comm.rank != 0:
            return
        settings, plan = self.settings, self.plan
        fields: dict[str, Value] = {
            "model": self.network.name, "parameters": parameter_count(self.network), "precision": settings.precision,
            "images": self.source.images, "classes": self.source.classes, "image_size": settings.image_size,
            "epochs": settings.epochs, "steps": plan.total_steps, "global_batch": plan.batch,
            "local_batch": plan.batch // self.comm.size, "threads": self.threads,
            "learning_rate": plan.learning_rates.peak,
        }  # fmt: skip
        say("plan " + format_fields(fields))
        if plan.batch != settings.global_batch:
            talk(
                f"warning: a step has {plan.batch} images instead of {settings.global_batch}, so that the dataset's {plan.images} make "
                f"steps of one size; the learning rate is scaled for these"
            )
        if step:
            say("resume " + format_fields({"step": step, "epoch": plan.epoch(step)}))

    def repeat_result(self, step: int) -> bool:
        """Say the result again where this training ended before; return, on every rank, whether it did."""
        found = self.output.read_json(RESULT_FILE) if self.output is not None else None
        done = found is not None and step == self.plan.total_steps == found["step"]
        if found is not None and done:
            talk("this training is finished; set another OUTPUT_DIR to train anew")
            say(f"{RESULT} " + format_fields(found))
        return bool(self.comm.broadcast_object(done))

    def record_from(self, step: int) -> None:
        """Open the records of this training after `step`."""
        self.recorder = Recorder(self.output, step, self.settings.summaries)
        self.trace = SampleTrace(self.settings.trace_samples, self.comm.rank, self.comm.size)

    def lacks_evaluation(self, step: int) -> bool:
        """Return, on every rank, whether the evaluation after `step` was left out or broken off by the training before."""
        return bool(self.comm.broadcast_object(step > 0 and self.plan.is_evaluated(step) and not self.recorder.has_evaluation(step)))

    def run(self, step: int) -> tuple[int, bool]:
        """Train from after `step` on; return the last step done, and whether the ranks agreed to stop there."""
        if self.plan.is_last(step):
            return step, False
        with closing(self.source.training(step, self.plan.total_steps)) as batches:
            for images, labels, records in batches:
                self.trace.write(step + 1, records)
                learning_rate = self.plan.learning_rates(step)
                figures = self.train_step(images, labels, learning_rate, self.plan.images_after(step), self.stop.asked)
                step += 1
                self.record(step, figures, learning_rate)
                stopping = figures.stop > 0 and not self.plan.is_last(step)
                # Before the checkpoint: weights whose loss is not finite are not worth keeping. An evaluation that is left
                # out or broken off is caught up on when the training is resumed.
                if self.plan.is_evaluated(step) and not stopping:
                    stopping = not self.evaluate(step)
                if stopping or self.plan.is_saved(step):
                    self.save(step)
                if stopping:
                    return step, True
        return step, False

    def record(self, step: int, figures: StepFigures, learning_rate: float) -> None:
        """Count a step's figures, and write them each few steps."""
        if not math.isfinite(figures.loss):
            raise TrainingError(f"the loss is not finite after step {step}: {figures.loss}", START_ANEW, ExitCode.DIVERGED)
        self.watch.beat(step)
        self.recorder.count(figures.loss, figures.top1, figures.images)
        if step % self.settings.log_steps == 0 or self.plan.is_last(step):
            left = partial(self.seconds_left, step)
            self.recorder.write_step(step, self.plan.total_steps, self.plan.epoch(step), learning_rate, left)

    def seconds_left(self, step: int, images_per_s: float) -> float:
        """Return the seconds that the rest takes after `step`: steps at this rate, evaluations and checkpoints."""
        # An evaluation computes forward only: a third of a step.
        expected = {EVALUATION: self.source.validation_images / images_per_s / 3}
        return self.plan.images_left(step) / images_per_s + self.pauses.left(self.plan.pauses_left(step), expected)

    def save(self, step: int) -> None:
        """Write the checkpoint after `step`."""
        with self.pauses.measured(CHECKPOINT), self.recorder.pause():
            self.state.save(step)
        self.watch.beat(step)

    def evaluate(self, step: int) -> bool:
        """Evaluate after `step` and write the figures; return False when a rank was asked to stop meanwhile."""

        def watched(images: Any, labels: Any) -> EvaluationFigures:
            figures = self.evaluation_step(images, labels)
            self.watch.beat(step)
            return figures

        with self.pauses.measured(EVALUATION), self.recorder.pause():
            self.state.average()
            figures = evaluate(self.source, watched, self.comm, self.stop)
        if figures is None:
            return False
        if not math.isfinite(figures["loss"]):
            raise TrainingError(
                f"the loss of the evaluation is not finite after step {step}: {figures['loss']}", START_ANEW, ExitCode.DIVERGED
            )
        self.recorder.write_evaluation(step, self.plan.epoch(step), figures)
        return True

    def write_result(self, step: int, seconds: float) -> None:
        """Write and say the final figures, on rank 0."""
        if self.output is None:
            return
        result: dict[str, Value] = {
            **self.recorder.final_figures(), "step": step, "epochs": self.settings.epochs, "world_size": self.comm.size,
            "seconds": round(seconds, 1), "output": self.settings.output_dir,
        }  # fmt: skip
        self.output.write_json(RESULT_FILE, result)
        self.recorder.close()
        say(f"{RESULT} " + format_fields(result))

    def stopped(self, step: int) -> ExitCode:
        """Say that the training was asked to stop, wait until every rank is here, and return the exit code."""
        if self.comm.rank == 0:
            talk(f"stopped on request after step {step}; the same command resumes from there")
        # Horovod: rank 0 has saved; leave together, since the first rank to end gets the others killed.
        self.comm.barrier()
        return ExitCode.INTERRUPTED
