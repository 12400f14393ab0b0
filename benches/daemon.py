"""What the benches share: an epmapperd that serves invented entries, and requests for it."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.77"
LISTENING = re.compile(r"listening on ncacn_ip_tcp:[\d.]+\[(\d+)\]")
# How long anything may take that should be over at once.
PATIENCE = 60

# A bind to the endpoint mapper 3.0 with NDR, and an ept_map for lsarpc 0.0 over
# ncacn_ip_tcp with max_towers 4; null-server/README.md has them too.
BIND = bytes.fromhex(
    "05000b03100000004800000001000000b810b8100000000001000000000001000883afe11f5dc911"
    "91a408002b14a0fa03000000045d888aeb1cc9119fe808002b10486002000000"
)
MAP = bytes.fromhex(
    "05000003100000009c00000002000000840000000000030001000000000000000000000000000000"
    "00000000020000004b0000004b000000050013000d785734123412cdabef000123456789ab000002"
    "00000013000d045d888aeb1cc9119fe808002b10486002000200000001000b020000000100070200"
    "008701000904000000000000000000000000000000000000000000000000000004000000"
)
LSARPC = "12345778-1234-abcd-ef00-0123456789ab"


def build(given=None, name="epmapperd"):
    """The program that is given, or one that is built for release."""
    if given is not None:
        return given
    cargo = ["cargo", "build", "--release", "--locked", "--bin", name]
    subprocess.run(cargo, cwd=ROOT, check=True)
    return target() / "release" / name


def build_limit():
    """The null server with its client, built."""
    limit = target() / "bench-limit"
    source = ROOT / "benches/null-server/limit.c"
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", limit, source], check=True
    )
    return limit


def target():
    """Where cargo builds to."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def endpoint(uuid, version, port):
    """An entry in a configuration's words."""
    return f"""[[endpoint]]
interface = "{uuid}"
version = "{version}"
annotation = "An interface of a server"
bindings = ["ncacn_ip_tcp:[{port}]"]
"""


class Running:
    """A server that listens; the process, its port, and after its end what it wrote."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        self.lines = []
        try:
            self.port = self.find_port()
        finally:
            timer.cancel()
        # Whatever it logs must not fill the pipe.
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.reader.start()

    def find_port(self):
        for line in self.process.stdout:
            if found := LISTENING.search(line):
                return int(found[1])
        sys.exit("the server does not listen")

    def stop(self):
        """Ends the server; what it wrote since it listened."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return "".join(self.lines)


@contextlib.contextmanager
def running(daemon, entries, core=None, state="none", address=ADDRESS, listen=()):
    """A daemon with these parts of a configuration, on a port that the system chooses."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "epmapperd.toml")
        config.write_text("\n".join(['log_level = "warn"', *entries]))
        command = [daemon, "--config", config, "--state", state, "--listen", f"ncacn_ip_tcp:{address}[0]"]
        for binding in listen:
            command += ["--listen", binding]
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        server = Running(command)
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()
