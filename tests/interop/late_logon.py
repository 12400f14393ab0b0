"""Asks the mapper as nobody, logs on over the same connection, and asks again: as Windows' client does.

Arguments: the mapper's address, an account, its password, the level, and the presentation context of the logon: "same" or
"other".  Standard input: one {"map": ...} as of hept.py.  Standard output: a JSON list of both answers, a string binding,
{"status": number} or {"fault": text} each.
"""

import json
import sys
import uuid

from impacket.dcerpc.v5 import epm, transport
from impacket.dcerpc.v5.rpcrt import DCERPC_v5, DCERPCException


class Bound(DCERPC_v5):
    """What hept_map does not bind once more."""

    def bind(self, interface, **arguments):
        return super().bind(interface, **arguments) if arguments else None


def asked(connection, address, call):
    name, major, minor = call["interface"]
    interface = uuid.UUID(name).bytes_le + major.to_bytes(2, "little") + minor.to_bytes(2, "little")
    try:
        return epm.hept_map(address, interface, protocol=call["protseq"], dce=connection)
    except DCERPCException as error:
        status = error.get_error_code()
        return {"fault": str(error)} if status is None else {"status": status}


def main(address, account, password, level, context):
    call = json.load(sys.stdin)["map"]
    first = Bound(transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[135]" % address))
    first.connect()
    first.bind(epm.MSRPC_UUID_PORTMAP, alter=0)
    answers = [asked(first, address, call)]
    # What alter_ctx takes over; by that and by none other it numbers a new presentation context.
    first.set_credentials(account, password, "LAB")
    first.set_auth_level(int(level))
    if context == "same":
        first.set_ctx_id(-1)
    try:
        answers.append(asked(first.alter_ctx(epm.MSRPC_UUID_PORTMAP), address, call))
    except DCERPCException as error:
        answers.append({"fault": str(error)})
    json.dump(answers, sys.stdout)


main(*sys.argv[1:])
