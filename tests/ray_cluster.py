"""A cluster of two nodes of Ray on this machine, as a program of its own: Ray's threads may crash it.

    RAY_TMPDIR=FOLDER python ray_cluster.py

prints the cluster's address as a line. The line "kill head" on standard input kills the head, without
warning; "killed" is printed when that is done. The end of standard input ends the cluster.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NODE = {
    "num_cpus": 1,
    "memory": 2_000_000_000,
    "object_store_memory": 80_000_000,
    "include_dashboard": False,
    "include_log_monitor": False,
    "no_monitor": True,
}
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else Ray writes a token into the home of whoever runs the tests.
    "RAY_AUTH_MODE": "disabled",
    # Other programs on the machine may take all memory; that is not what is tested.
    "RAY_memory_monitor_refresh_ms": "0",
    # Nor is how long they keep a node from answering.
    "RAY_health_check_failure_threshold": "100",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_gcs_server_port_wait_time_s": "240",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]),
}
"""Of all programs that have to do with the cluster."""
PORTS = (
    *("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port"),
    *("runtime_env_agent_port", "dashboard_port"),
)
"""Of a node. Those that are not given have to be found by programs in 15 s, or the node gives up."""
MAX_STARTS = 3
"""Somebody else may take a port in the meantime."""
NODE_SECONDS = 240.0
START_SECONDS = 600.0
END_SECONDS = 120.0


class Cluster:
    """A cluster that runs.

    Attributes:
        address: of its head.

    Args:
        process: of this module's program.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.address = self._read_line()

    def kill_head(self) -> None:
        """Kill the head, and wait until it is dead."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill head\n")
        self._process.stdin.flush()
        assert self._read_line() == "killed"

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], START_SECONDS)[0]:
            raise ClusterError("the cluster of Ray does not answer")
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def cluster_of_two(environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Run a cluster of two nodes, each with room for one actor, for the block.

    Args:
        environment: of its processes, in addition to `ENVIRONMENT`.
    """
    with contextlib.ExitStack() as stack:
        for remaining in reversed(range(MAX_STARTS)):
            try:
                cluster = stack.enter_context(_started(environment or {}))
                break
            except ClusterError:
                if not remaining:
                    raise
        yield cluster


class ClusterError(Exception):
    """A cluster does not start."""


@contextlib.contextmanager
def _started(environment: Mapping[str, str]) -> Iterator[Cluster]:
    # The paths of sockets are to be short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    errors = Path(folder, "errors.txt")
    with errors.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            # Ray would write the address of what runs here into /tmp/ray, for all programs of the machine.
            env={**os.environ, **ENVIRONMENT, "RAY_TMPDIR": folder, **environment},
        )
    try:
        cluster = Cluster(process)
        if not cluster.address:
            raise ClusterError(f"no cluster of Ray starts here: {errors.read_text()}{_last_words(folder)}")
        yield cluster
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        kill_all_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _last_words(folder: str) -> str:
    """Return the ends of all that the nodes have reported."""
    reports = sorted(Path(folder).glob("ray/session_2*/logs/raylet*.err"))
    return "".join(f"\n{path.name}: {path.read_text(errors='replace')[:500]}" for path in reports)


def kill_all_of(folder: str) -> None:
    """Kill all processes of the cluster of `folder` that are left; some of Ray's take a while to end."""
    mark = f"RAY_TMPDIR={folder}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def main() -> None:
    """Run a cluster until standard input ends."""
    # Whoever reads the address is not to read what Ray prints.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cluster = start()
    try:
        print(cluster.address, file=answers, flush=True)
        for line in sys.stdin:
            assert line == "kill head\n"
            cluster.head_node.kill_gcs_server()
            cluster.head_node.kill_raylet()
            print("killed", file=answers, flush=True)
    finally:
        cluster.shutdown()


def start() -> Any:
    """Start a cluster."""
    import ray.cluster_utils
    from ray._private import services

    get_node = services.get_node

    def get_late_node(*arguments: Any) -> Any:
        """Return a node when it has started; Ray gives it 30 s, which a machine that is busy may not have."""
        deadline = time.monotonic() + NODE_SECONDS
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    start_ray_process = services.start_ray_process

    def start_process_with_ports(command: list[str], *arguments: Any, **options: Any) -> Any:
        """Start a process. Ray tells a node all ports but one, which then has to be found in 15 s.

        Its agent has no use here, and starts faster with little in it.
        """
        port = re.search(r"--listen-port=(\d+)", " ".join(command))
        if port is not None and Path(command[0]).name == "raylet":
            command = [
                f"{each} --minimal" if each.startswith("--dashboard_agent_command=") else each
                for each in command
            ]
            command.append(f"--dashboard_agent_listen_port={port[1]}")
        return start_ray_process(command, *arguments, **options)

    # A web page and an interface of no use here, which takes seconds to start.
    ray._private.node.Node.start_api_server = lambda *_, **__: None
    services.get_node = get_late_node
    services.start_ray_process = start_process_with_ports
    Path(os.environ["RAY_TMPDIR"], "ray").mkdir()
    cluster = ray.cluster_utils.Cluster()
    for _ in range(2):
        # That it has started is known already.
        cluster.add_node(**NODE, **dict(zip(PORTS, free_ports(len(PORTS)), strict=True)), wait=False)
    return cluster


def free_ports(count: int) -> list[int]:
    """Return ports at which nobody listens now."""
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listening]


if __name__ == "__main__":
    main()
