"""Resume an archived run that nobody follows: the log from where the last follower has come to, then its end."""

from __future__ import annotations

import os
from functools import partial

from mlops_launch.clients.cluster import Cluster
from mlops_launch.clients.host import Host
from mlops_launch.clients.process import Processes
from mlops_launch.commands.cluster.follow.attempt import Applied, Attempt
from mlops_launch.commands.cluster.limits import PATIENCE_S, START_S
from mlops_launch.commands.cluster.run import detach
from mlops_launch.commands.runs.archive import ArchivedRun
from mlops_launch.commands.runs.display import Display
from mlops_launch.commands.runs.loop import Ended, Stop, signals, summarize
from mlops_launch.commands.runs.streams import Streams
from mlops_launch.contract import LauncherExitCode
from mlops_launch.core.record import BY_DETACHING
from mlops_launch.core.workload.model import Workload


def follow_on(run: ArchivedRun, workload: Workload, cluster: Cluster, processes: Processes, host: Host, streams: Streams) -> int:
    """Print the archived log, follow it to its end, and end the archived run; return the exit code.

    Args:
        run: one that nobody follows: `find.left_run`.
        workload: the object as a shape.
        cluster: where it is.
        processes: runs kubectl.
        host: this machine.
        streams: get the log and the talk.

    Raises:
        LauncherError: it has not started, or cannot be followed.
    """
    pid, pid_started = host.own_process()
    run.write(run.read().at(pid=pid, pid_started=pid_started, host=host.name(), stopped_by=None))
    position = run.read_position()
    os.truncate(run.log, position.offset if position else 0)
    display, stop = Display(streams), Stop()
    attempt = Attempt(cluster.patient(PATIENCE_S), processes, Applied(workload, (), run), display, stop)
    attempt.recorder.show_archived()
    with signals(partial(detach, stop)):
        record = attempt.follow(START_S, again=True)
    summarize(Ended(run, record), display.console)
    display.end_with_result()
    return LauncherExitCode.DETACHED if stop.reason == BY_DETACHING else 0
