"""`mlops-launch check`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_launch.cli.shared import clients_of, echo_json, json_option, no_overlay, note


@click.command("check")
@click.argument("overlay", type=click.Path(path_type=Path), required=False)
@json_option
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--ignore", metavar="RULE", multiple=True, help="Leave out what this rule finds. Can be repeated.")
@click.option("--rules", is_flag=True, help="List the rules instead; needs no OVERLAY.")
@click.option("--settings", is_flag=True, help="List the settings and presets of the overlay's model, or of all models.")
@click.option("--markdown", is_flag=True, help="With --rules or --settings: the documentation page.")
@click.pass_context
def command(
    context: click.Context,
    overlay: Path | None,
    as_json: bool,
    strict: bool,
    ignore: tuple[str, ...],
    rules: bool,
    settings: bool,
    markdown: bool,
) -> None:
    """Look for mistakes in an overlay.

    Prints one finding per line with its severity, rule, place and message, and the hint below it. No cluster is
    asked. The exit code is 1 when there is an error. A finding that you accept is silenced by `--ignore`, or by a
    comment in the file, on its line or the line above: # mlops-launch: ignore RULE: reason

    \b
    Examples:
      mlops-launch check quickstart/k8s/mlops/multi-node
      mlops-launch check quickstart/k8s/mlops/multi-node --strict \\
          --ignore registry-placeholder
      mlops-launch check quickstart/k8s/mlops/multi-node --settings
      mlops-launch check --rules
    """
    if settings:
        return _settings(overlay, as_json, markdown)
    if rules or markdown:
        from mlops_launch.core.rules.registry import RULES, to_markdown

        if markdown:
            click.echo(to_markdown(), nl=False)
        elif as_json:
            echo_json({"rules": [r.to_json() for r in RULES]})
        else:
            width = max(len(rule.id) for rule in RULES)
            click.echo("\n".join(f"{rule.id:<{width}}  {rule.severity:<7}  {rule.summary}" for rule in RULES))
        return
    if overlay is None:
        raise no_overlay("check")
    from mlops_launch.commands.overlay.check import check_overlay

    findings = check_overlay(overlay, clients_of(context).processes, ignore)
    if as_json:
        echo_json({"findings": [finding.to_json() for finding in findings]})
    else:
        for finding in findings:
            click.echo(finding.to_text())
    if not findings:
        note("no problems found")
    if any(strict or finding.severity == "error" for finding in findings):
        context.exit(1)


def _settings(overlay: Path | None, as_json: bool, markdown: bool) -> None:
    from mlops_launch.commands.overlay.package import own_package
    from mlops_launch.commands.overlay.settings import list_models
    from mlops_launch.core.settings import page

    if markdown:
        click.echo(page.to_markdown(own_package()), nl=False)
        return
    models = list_models(overlay)
    if as_json:
        echo_json({"models": page.to_json(models)})
    else:
        click.echo(page.to_text(models))
