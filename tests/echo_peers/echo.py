"""Calls every operation of rpcecho by Samba's binding; the argument is a string binding."""

import sys

from samba import credentials
from samba.dcerpc import base, echo
from samba.param import LoadParm

lp = LoadParm()
lp.load("/dev/null")
nobody = credentials.Credentials()
nobody.set_anonymous()
server = echo.rpcecho(sys.argv[1], lp, nobody)


def right(name, answer, wanted):
    assert answer == wanted, f"{name}: {answer!r:.200} instead of {wanted!r:.200}"
    print(name, "right")


right("AddOne", server.AddOne(0xFFFFFFFE), 0xFFFFFFFF)
# Almost as much as a call may have by default.
octets = [i % 251 for i in range(0x3FFFF0)]
right("EchoData", server.EchoData(octets), octets)
right("SinkData", server.SinkData(octets), None)
right("SourceData", server.SourceData(1000), [i % 256 for i in range(1000)])
right("TestCall", server.TestCall("input"), "input")

for level, members in enumerate(("v", "v", "v", "v", "v1 v2", "v1", "v1"), 1):
    info = server.TestCall2(level)
    right(f"TestCall2 {level}", type(info).__name__, f"info{level}")
    assert all(getattr(info, member) for member in members.split()), level

right("TestSleep", server.TestSleep(1), 1)

both = echo.Enum2()
both.e1, both.e2 = 1, 2
foo1, foo2, foo3 = server.TestEnum(2, both, both)
right("TestEnum", (foo1, foo2.e1, foo2.e2, foo3.e1, foo3.e2), (2, 1, 2, 1, 2))

data = echo.Surrounding()
data.x, data.surrounding = 10, [1] * 10
answer = server.TestSurrounding(data)
right("TestSurrounding", (answer.x, answer.surrounding), (20, [0] * 20))

right("TestDoublePointer", server.TestDoublePointer(base.ndr_pointer(12)), 12)
