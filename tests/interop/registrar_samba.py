"""Registers with Samba's client, as it writes entries by itself.

Arguments: smb.conf, or /dev/null, and a string binding; then, for whoever logs on by NTLM, an account and its password,
an empty account being nobody.  Standard input: a JSON list of calls,
  {"call": "insert", "entries": [[OBJECT UUID, tower HEX, annotation], ...], "replace": true}
  {"call": "delete", "entries": ...}
  {"call": "mgmt_delete", "object": UUID or null, "tower": HEX}
Standard output: a JSON list with one answer for each call, {"status": number}, or {"error": number} for what Samba
makes of a fault.  All calls go over one connection; where that is refused, {"refused": number} stands alone.
"""

import json
import socket
import sys

from samba import NTSTATUSError
from samba.credentials import DONT_USE_KERBEROS, Credentials
from samba.dcerpc import epmapper, misc
from samba.param import LoadParm


def little(octets):
    return int.from_bytes(octets, "little")


def big(octets):
    return int.from_bytes(octets, "big")


def text(octets):
    return octets.rstrip(b"\0").decode()


# The right side of a floor by the protocol on the left: Samba's type, its field, and what that holds.
RIGHT = {
    epmapper.EPM_PROTOCOL_UUID: (epmapper.epm_rhs_uuid, "unknown", bytes),
    epmapper.EPM_PROTOCOL_NCACN: (epmapper.epm_rhs_ncacn, "minor_version", little),
    epmapper.EPM_PROTOCOL_NCALRPC: (epmapper.epm_rhs_ncalrpc, "minor_version", little),
    epmapper.EPM_PROTOCOL_TCP: (epmapper.epm_rhs_tcp, "port", big),
    epmapper.EPM_PROTOCOL_UDP: (epmapper.epm_rhs_udp, "port", big),
    epmapper.EPM_PROTOCOL_HTTP: (epmapper.epm_rhs_http, "port", big),
    epmapper.EPM_PROTOCOL_IP: (epmapper.epm_rhs_ip, "ipaddr", socket.inet_ntoa),
    epmapper.EPM_PROTOCOL_SMB: (epmapper.epm_rhs_smb, "unc", text),
    epmapper.EPM_PROTOCOL_NETBIOS: (epmapper.epm_rhs_netbios, "name", text),
    epmapper.EPM_PROTOCOL_NAMED_PIPE: (epmapper.epm_rhs_named_pipe, "path", text),
}


def cut(octets):
    """A side of a floor, and what follows it."""
    end = 2 + little(octets[:2])
    return octets[2:end], octets[end:]


def floor(left, right):
    kind, field, read = RIGHT[left[0]]
    side = kind()
    setattr(side, field, read(right))
    made = epmapper.epm_floor()
    made.lhs.protocol = left[0]
    made.lhs.lhs_data = left[1:]
    made.rhs = side
    return made


def tower(digits):
    octets = bytes.fromhex(digits)
    made = epmapper.epm_tower()
    made.num_floors = little(octets[:2])
    floors, rest = [], octets[2:]
    while rest:
        left, rest = cut(rest)
        right, rest = cut(rest)
        floors.append(floor(left, right))
    made.floors = floors
    framed = epmapper.epm_twr_t()
    framed.tower_length = len(octets)
    framed.tower = made
    return framed


def entry(asked):
    made = epmapper.epm_entry_t()
    made.object = misc.GUID(asked[0])
    made.tower = tower(asked[1])
    made.annotation = asked[2]
    return made


def change(mapper, asked):
    entries = [entry(each) for each in asked.get("entries", [])]
    if asked["call"] == "insert":
        return mapper.epm_Insert(entries, asked["replace"])
    if asked["call"] == "delete":
        return mapper.epm_Delete(entries)
    named = asked["object"]
    return mapper.epm_MgmtDelete(named is not None, misc.GUID() if named is None else misc.GUID(named), tower(asked["tower"]))


def answer(mapper, asked):
    try:
        return {"status": change(mapper, asked)}
    except NTSTATUSError as error:
        return {"error": error.args[0]}


def credentials(parameters, account=None, password=None):
    if account is None:
        # With any credentials Samba authenticates on local sockets, too.
        return None
    made = Credentials()
    made.guess(parameters)
    made.set_kerberos_state(DONT_USE_KERBEROS)
    if not account:
        made.set_anonymous()
        return made
    made.set_domain("LAB")
    made.set_username(account)
    made.set_password(password)
    return made


def answers(config, binding, *logon_and_calls):
    *logon, calls = logon_and_calls
    parameters = LoadParm()
    parameters.load(config)
    try:
        mapper = epmapper.epmapper(binding, parameters, credentials(parameters, *logon))
    except NTSTATUSError as error:
        return {"refused": error.args[0]}
    return [answer(mapper, asked) for asked in calls]


json.dump(answers(*sys.argv[1:], json.load(sys.stdin)), sys.stdout)
