"""`python -m tests.e2e.cluster build|up|down|status|images|logs [NAME]|restart NAME`."""

import argparse
import contextlib
import sys

from . import build, images, processes, sandbox, training_image
from . import cluster as clusters
from .settings import ClusterError, from_environment


def main() -> int:
    """Runs one verb; the exit code is 1 when it failed, and when `status` finds no whole cluster."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.cluster", description=__doc__)
    parser.add_argument("verb", choices=["build", "up", "down", "status", "images", "logs", "restart"])
    parser.add_argument("component", nargs="?", help="for `logs` and `restart`; `logs` alone shows the end of each")
    arguments = parser.parse_args()
    settings = from_environment()
    if arguments.verb == "build":
        # Minutes when nothing is cached: by itself, so that no test's time limit counts it.
        build.programs(settings.cache)
        images.small(settings.cache)
        training_image.build(settings.cache)
    elif arguments.verb == "up":
        clusters.up(settings)
        print(f"export KUBECONFIG={settings.kubeconfig}")
    elif arguments.verb == "down":
        clusters.down(settings)
    elif arguments.verb == "images":
        with contextlib.redirect_stdout(sys.stderr):
            archive = images.small(settings.cache)
        print(archive)
    elif arguments.verb == "logs":
        for path in sorted(settings.logs.glob(f"{arguments.component or '*'}.log")):
            lines = path.read_text(errors="replace").splitlines()
            print(f"== {path}", *(lines if arguments.component else lines[-20:]), sep="\n")
    else:
        held = sandbox.load(settings)
        if held is None:
            print("no cluster is up")
            return 1
        if arguments.verb == "restart":
            processes.restart(settings, held, arguments.component)
        for record in processes.recorded(settings):
            print(f"{record.name}: {'running' if processes.alive(held, record) else 'ended'}")
        return 0 if clusters.attach(settings) else 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ClusterError as error:
        sys.exit(f"Error: {error}")
