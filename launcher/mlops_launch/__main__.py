"""`python -m mlops_launch`: the same as the console script."""

from mlops_launch.cli.main import main

main(prog_name="mlops-launch")
