"""Registers by impacket, whose epm has the entries but not these operations.

Arguments: the mapper's address; then, for whoever logs on by NTLM, an account, its password and the level.  Standard input and output as of registrar_samba.py; an answer is {"status": number},
or {"error": number} for a fault.
"""

import json
import sys
import uuid

from impacket.dcerpc.v5 import epm, transport
from impacket.dcerpc.v5.dtypes import PUUID, ULONG
from impacket.dcerpc.v5.ndr import NDRCALL, NULL, NDRUniConformantArray
from impacket.dcerpc.v5.rpcrt import DCERPCException


class Entries(NDRUniConformantArray):
    """What a caller names: conformant, where the answer of a lookup is varying, too."""

    item = epm.ept_entry_t


class ept_insert(NDRCALL):
    opnum = 0
    structure = (
        ("num_ents", ULONG),
        ("entries", Entries),
        ("replace", ULONG),
    )


class ept_insertResponse(NDRCALL):
    structure = (("status", epm.error_status),)


class ept_delete(NDRCALL):
    opnum = 1
    structure = (
        ("num_ents", ULONG),
        ("entries", Entries),
    )


class ept_deleteResponse(NDRCALL):
    structure = (("status", epm.error_status),)


class ept_mgmt_delete(NDRCALL):
    opnum = 6
    structure = (
        ("object_speced", ULONG),
        ("object", PUUID),
        ("tower", epm.twr_p_t),
    )


class ept_mgmt_deleteResponse(NDRCALL):
    structure = (("status", epm.error_status),)


def put_tower(pointer, digits):
    octets = bytes.fromhex(digits)
    pointer["tower_length"] = len(octets)
    pointer["tower_octet_string"] = octets


def entry(asked):
    made = epm.ept_entry_t()
    made["object"] = uuid.UUID(asked[0]).bytes_le
    put_tower(made["tower"], asked[1])
    made["annotation"] = asked[2].encode() + b"\0"
    return made


def request(asked):
    if asked["call"] == "mgmt_delete":
        made = ept_mgmt_delete()
        named = asked["object"]
        made["object_speced"] = int(named is not None)
        made["object"] = NULL if named is None else uuid.UUID(named).bytes_le
        put_tower(made["tower"], asked["tower"])
        return made
    made = ept_insert() if asked["call"] == "insert" else ept_delete()
    made["num_ents"] = len(asked["entries"])
    for each in asked["entries"]:
        made["entries"].append(entry(each))
    if asked["call"] == "insert":
        made["replace"] = int(asked["replace"])
    return made


def answer(mapper, asked):
    try:
        return {"status": mapper.request(request(asked))["status"]}
    except DCERPCException as error:
        # A status that is no 0 is raised like a fault, but by its number.
        status = error.get_error_code()
        return {"fault": str(error)} if status is None else {"status": status}


def answers(calls, address, account=None, password=None, level=None):
    mapper = transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[135]" % address).get_dce_rpc()
    mapper.connect()
    if account is not None:
        mapper.set_credentials(account, password, "LAB")
        mapper.set_auth_level(int(level))
    mapper.bind(epm.MSRPC_UUID_PORTMAP)
    return [answer(mapper, asked) for asked in calls]


json.dump(answers(json.load(sys.stdin), *sys.argv[1:]), sys.stdout)
