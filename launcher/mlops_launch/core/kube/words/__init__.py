"""The words of the cluster's parts, one table per source: phrase, cause, hint; those of admission are in `mlops_launch.admission`."""
