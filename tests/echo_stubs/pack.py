"""Stubs of rpcecho as Samba packs them: a line of operation, direction, way and octets for each.

Of TestCall2 one arm a process, named by the argument: its Python class takes a union only by unpacking.
"""

import sys

from samba.dcerpc import base, echo
from samba.ndr import ndr_pack_in, ndr_pack_out, ndr_unpack_out

WAYS = {"little": {}, "big": {"bigendian": True}, "ndr64": {"ndr64": True}}


def tell(name, call, *directions):
    packs = {"in": ndr_pack_in, "out": ndr_pack_out}
    for direction in directions:
        for way, options in WAYS.items():
            print(name, direction, way, packs[direction](call, **options).hex() or "-", flush=True)


def plain():
    call = echo.AddOne()
    call.in_in_data = call.out_out_data = 7
    tell("AddOne", call, "in", "out")
    call = echo.EchoData()
    call.in_len = 3
    call.in_in_data = call.out_out_data = [1, 2, 3]
    tell("EchoData", call, "in", "out")
    call = echo.SinkData()
    call.in_len, call.in_data = 3, [1, 2, 3]
    tell("SinkData", call, "in", "out")
    call = echo.SourceData()
    call.in_len, call.out_data = 3, [1, 2, 3]
    tell("SourceData", call, "in", "out")
    call = echo.TestCall()
    call.in_s1, call.out_s2 = "ab", "abc"
    tell("TestCall", call, "in", "out")
    call = echo.TestSleep()
    call.in_seconds = call.result = 1
    tell("TestSleep", call, "in", "out")
    both = echo.Enum2()
    both.e1, both.e2 = 1, 2
    for level, foo3 in ((1, 1), (2, both)):
        call = echo.TestEnum()
        call.in_foo1 = call.out_foo1 = level
        call.in_foo2 = call.out_foo2 = both
        call.in_foo3 = call.out_foo3 = foo3
        tell(f"TestEnum{level}", call, "in", "out")
    call = echo.TestSurrounding()
    data = echo.Surrounding()
    data.x, data.surrounding = 3, [1, 2, 3]
    call.in_data = call.out_data = data
    tell("TestSurrounding", call, "in", "out")
    call = echo.TestDoublePointer()
    call.in_data, call.result = base.ndr_pointer(5), 5
    tell("TestDoublePointer", call, "in", "out")


def union(level, octets):
    call = echo.TestCall2()
    call.in_level = level
    ndr_unpack_out(call, bytes.fromhex(octets))
    tell(f"TestCall2{level}", call, "out")


if len(sys.argv) > 1:
    union(int(sys.argv[1]), sys.argv[2])
else:
    plain()
