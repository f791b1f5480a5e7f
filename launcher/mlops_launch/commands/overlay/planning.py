"""From an overlay to a plan that is free of errors: the same for this machine and for a cluster."""

from __future__ import annotations

from pathlib import Path

from mlops_launch import contract
from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.check import NOTHING_GIVEN, Given, check_files, check_rendered, require_clean
from mlops_launch.commands.overlay.files import read_files
from mlops_launch.commands.overlay.package import package_of
from mlops_launch.commands.overlay.render import parse_objects, render_text
from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.model import Workload
from mlops_launch.core.workload.plan import Plan
from mlops_launch.core.workload.redaction import redact_object
from mlops_launch.errors import LauncherError, ProcessError


def checked_plan(overlay: Path, processes: Processes, given: Given = NOTHING_GIVEN) -> Plan:
    """Return the plan without actions: what the overlay holds, free of errors.

    Args:
        overlay: its folder.
        processes: finds and runs kubectl.
        given: what one run gives beside it.

    Raises:
        LauncherError: `check` has found an error.
    """
    files = read_files(overlay)
    try:
        text = render_text(overlay, processes)
    except ProcessError:
        require_clean(check_files(files, overlay, processes, given))
        raise
    findings = check_rendered(files, text, overlay, processes, given)
    require_clean(findings)
    objects = parse_objects(text)
    workload = find_workload(objects)
    return Plan(str(overlay), text, objects, workload, tuple(findings), (), trains=_trains(workload, overlay, given))


def _trains(workload: Workload, overlay: Path, given: Given) -> bool:
    """Return whether the workload runs a script of quickstart/ that runs a trainer, as the overlay's package has it."""
    variables = {**workload.environment(workload.main), **given.variables}
    script = variables.get(contract.MODEL_SCRIPT)
    if f"$({contract.MODEL_DIR})/quickstart/$({contract.MODEL_SCRIPT})" not in workload.main.command or script is None:
        return False
    try:
        found = package_of(overlay, given.package).scripts.get(script)
    except LauncherError:
        return False
    return found is not None and found.trains


def redacted(plan: Plan) -> str:
    """Return the rendered objects without secrets: byte for byte the same when there are none."""
    redacted = [redact_object(item) for item in plan.objects]
    if redacted == list(plan.objects):
        return plan.text
    import yaml

    return str(yaml.safe_dump_all(redacted, sort_keys=False))
