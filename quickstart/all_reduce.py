"""Sum a number over all ranks, again and again, on plain sockets: the contract of RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

Rank 0 adds up, and keeps sum and step in OUTPUT_DIR, where the next attempt resumes. Exit codes: 143 asked to stop, 255 lost a rank.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
MASTER = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
STEPS, PAUSE_S = int(os.environ["STEPS"]), float(os.environ["PAUSE_S"])
STATE = Path(os.environ["OUTPUT_DIR"]) / "state.json"
PATIENCE_S = 120.0  # for the other ranks' start; a name resolves some time after its pod runs


def main() -> int:
    """Return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        peers = lead() if RANK == 0 else [connect()]
        step, total = exchange(peers, json.loads(STATE.read_text()) if RANK == 0 and STATE.exists() else None)
        while step < STEPS:
            time.sleep(PAUSE_S)
            step, total = exchange(peers, [step + 1, total + sum([1, *collect(peers)])] if RANK == 0 else send(peers, RANK + 1))
            print(f"step={step}/{STEPS} sum={total}", flush=True)
    except OSError as error:
        print(f"rank {RANK} has lost the others: {error}", flush=True)
        return 255
    print(f"result sum={total} step={step}", flush=True)
    return 0


def lead() -> list:
    """Return the connections of all other ranks."""
    with socket.create_server(("", MASTER[1])) as server:
        server.settimeout(PATIENCE_S)
        peers = [server.accept()[0].makefile("rw") for _ in range(WORLD - 1)]
    hosts = ",".join(f"{rank}:{host}" for rank, host in sorted([[0, socket.gethostname()], *collect(peers)]))
    print(f"start comm=sockets world_size={WORLD} ranks={hosts}", flush=True)
    return peers


def connect():
    """Return the connection to rank 0, as soon as it answers."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            peer = socket.create_connection(MASTER, timeout=PATIENCE_S).makefile("rw")
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    send([peer], [RANK, socket.gethostname()])
    return peer


def exchange(peers: list, state: list | None) -> list:
    """Return the step and the sum of rank 0, on every rank; rank 0 saves them before."""
    if RANK:
        return collect(peers)[0]
    state = state or [0, 0]
    STATE.parent.mkdir(parents=True, exist_ok=True)
    STATE.with_suffix(".new").write_text(json.dumps(state))
    STATE.with_suffix(".new").replace(STATE)
    send(peers, state)
    return state


def send(peers: list, value: object) -> None:
    """Send a value to each."""
    for peer in peers:
        peer.write(json.dumps(value) + "\n")
        peer.flush()


def collect(peers: list) -> list:
    """Return a value of each."""
    lines = [peer.readline() for peer in peers]
    if not all(lines):
        raise ConnectionError("a connection has ended")
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
