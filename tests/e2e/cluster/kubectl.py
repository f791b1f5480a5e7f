"""One kubectl for one cluster, always with its own kubeconfig."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .settings import ClusterError


@dataclass(frozen=True)
class Kubectl:
    """Call it with kubectl's words: `kubectl("get", "pods").stdout`."""

    program: Path
    kubeconfig: Path

    def __call__(
        self, *arguments: str, text: str | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Runs it, with `text` on its standard input.

        Raises:
            ClusterError: `check` and a non-zero exit.
            subprocess.TimeoutExpired: not done within `timeout` seconds.
        """
        argv = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        # A log may hold any bytes.
        done = subprocess.run(argv, input=text, capture_output=True, text=True, errors="backslashreplace", check=False, timeout=timeout)
        if check and done.returncode != 0:
            raise ClusterError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {done.stderr.strip()}")
        return done

    def apply(self, *objects: object) -> None:
        """Applies objects given as dictionaries, on the server's side."""
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", "-f", "-", text=json.dumps(listing))
