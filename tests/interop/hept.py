"""Calls hept_lookup and hept_map of impacket as it is.

Arguments: the mapper's address, and the transfer syntax of the calls, ndr or ndr64; then, for whoever logs on by NTLM, an
account, its password and the level.  Standard input: a JSON list of calls,
  {"lookup": {"inquiry_type": 1, "vers_option": 2, "object": HEX or null, "interface": [UUID, MAJOR, MINOR] or null}}
  {"map": {"interface": [UUID, MAJOR, MINOR], "protseq": "ncacn_ip_tcp"}}
Standard output: a JSON list with one answer for each call,
  {"found": result, "pages": [entries of each page], "entries": [[object HEX, annotation HEX, tower HEX], ...]}
  {"found": string binding, "towers": [HEX, ...]}
  {"status": number} where impacket raised the status of the answer, {"fault": text} where it raised a fault.
"""

import json
import sys
import uuid

from impacket.dcerpc.v5 import epm, transport
from impacket.dcerpc.v5.rpcrt import DCERPCException
from impacket.uuid import uuidtup_to_bin


SYNTAXES = {
    "ndr": ("8a885d04-1ceb-11c9-9fe8-08002b104860", "2.0"),
    "ndr64": ("71710533-beba-4937-8319-b5dbef9ccc36", "1.0"),
}


class Version(bytes):
    """Two versions of two octets whose slices are numbers."""

    def __getitem__(self, key):
        return int.from_bytes(super().__getitem__(key), "little")


class Interface(bytes):
    """An interface id as hept_lookup slices it.

    hept_lookup assigns slices of octets to number fields, which impacket sends as 0: slices that are
    numbers arrive as meant.  hept_map unpacks the octets and takes plain ones.
    """

    def __getitem__(self, key):
        if key == slice(18, None):
            return Version(self[16:])[2:]
        part = super().__getitem__(key)
        return Version(part) if key == slice(16, None) else part


class Recorder:
    """A connection that keeps the answers: hept_lookup and hept_map give back only a part of them."""

    def __init__(self, address, syntax, account=None, password=None, level=None):
        self.syntax = SYNTAXES[syntax]
        self.dce = transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[135]" % address).get_dce_rpc()
        self.dce.connect()
        if account is not None:
            self.dce.set_credentials(account, password, "LAB")
            self.dce.set_auth_level(int(level))
        self.answers = []

    def bind(self, interface):
        answer = self.dce.bind(interface, transfer_syntax=self.syntax)
        assert self.dce.transfer_syntax == uuidtup_to_bin(self.syntax)
        return answer

    def request(self, request):
        self.answers.append(self.dce.request(request))
        return self.answers[-1]

    def disconnect(self):
        self.dce.disconnect()


def octets(interface):
    name, major, minor = interface
    return uuid.UUID(name).bytes_le + major.to_bytes(2, "little") + minor.to_bytes(2, "little")


def lookup(connection, address, call):
    arguments = {"inquiry_type": call["inquiry_type"], "vers_option": call["vers_option"], "dce": connection}
    if call["object"] is not None:
        arguments["objectUUID"] = bytes.fromhex(call["object"])
    if call["interface"] is not None:
        arguments["ifId"] = Interface(octets(call["interface"]))
    found = epm.hept_lookup(address, **arguments)
    entries = [
        (entry["object"].hex(), b"".join(entry["annotation"]).hex(), b"".join(entry["tower"]["tower_octet_string"]).hex())
        for answer in connection.answers
        for entry in answer["entries"]
    ]
    return {"found": len(found), "pages": [answer["num_ents"] for answer in connection.answers], "entries": entries}


def map_(connection, address, call):
    found = epm.hept_map(address, octets(call["interface"]), protocol=call["protseq"], dce=connection)
    towers = connection.answers[-1]["ITowers"]
    return {"found": found, "towers": [b"".join(tower["Data"]["tower_octet_string"]).hex() for tower in towers]}


def answer(address, syntax, logon, call):
    connection = Recorder(address, syntax, *logon)
    try:
        if "lookup" in call:
            return lookup(connection, address, call["lookup"])
        return map_(connection, address, call["map"])
    except DCERPCException as error:
        status = error.get_error_code()
        return {"fault": str(error)} if status is None else {"status": status}
    finally:
        connection.disconnect()


address, syntax, *logon = sys.argv[1:]
json.dump([answer(address, syntax, logon, call) for call in json.load(sys.stdin)], sys.stdout)
