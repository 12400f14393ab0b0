"""The echo service of examples/, and requests for it as a client of Windows cuts them."""

import contextlib
import os
import struct
import subprocess
import uuid

from daemon import ADDRESS, ROOT, Running, target

ECHO = uuid.UUID("60a15ec5-4de8-11d7-a637-005056a20182")
NDR = uuid.UUID("8a885d04-1ceb-11c9-9fe8-08002b104860")
ADD_ONE, ECHO_DATA = 0, 1
# The longest fragment, and what of it is no stub.
FRAGMENT, HEADER = 5840, 24
BIND_ACK_LENGTH = 60


def build_echo_server():
    """The example, built for release."""
    cargo = ["cargo", "build", "--release", "--locked", "--example", "echo_server"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    return target() / "release/examples/echo_server"


@contextlib.contextmanager
def serving(program, core=None):
    """The service on a port that the system chooses, with one worker as epmapperd has; no mapper is told of it."""
    command = [program, "--mapper", f"ncacn_ip_tcp:{ADDRESS}[1]", f"ncacn_ip_tcp:{ADDRESS}[]"]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    server = Running(command, {**os.environ, "TOKIO_WORKER_THREADS": "1"})
    try:
        yield server
    finally:
        server.stop()


def bind():
    """A bind to the service with NDR."""
    syntaxes = ECHO.bytes_le + struct.pack("<HH", 1, 0) + NDR.bytes_le + struct.pack("<I", 2)
    body = struct.pack("<HHIIHBB", FRAGMENT, FRAGMENT, 0, 1, 0, 1, 0) + syntaxes
    return header(11, 3, 16 + len(body)) + body


def header(ptype, flags, length):
    return struct.pack("<BBBBIHHI", 5, 0, ptype, flags, 0x10, length, 0, 1)


def add_one(number):
    return request(ADD_ONE, struct.pack("<I", number))


def echo_data(octets):
    """A call that wants so many octets back."""
    return request(ECHO_DATA, struct.pack("<II", octets, octets) + bytes(octets))


def request(opnum, stub):
    """A call in as many fragments as it needs."""
    room = FRAGMENT - HEADER
    pdus = []
    for at in range(0, len(stub), room):
        piece = stub[at : at + room]
        flags = (at == 0) | 2 * (at + room >= len(stub))
        about = struct.pack("<IHH", len(stub) - at, 0, opnum)
        pdus.append(header(0, flags, HEADER + len(piece)) + about + piece)
    return b"".join(pdus)


def loads():
    """Each load: its name, its connections, a request, and the stub of the answer."""
    yield "AddOne", 64, add_one(41), struct.pack("<I", 42)
    for name, connections, octets in (("Echo 1K", 64, 1 << 10), ("Echo 64K", 8, 64 << 10)):
        yield name, connections, echo_data(octets), struct.pack("<I", octets) + bytes(octets)
