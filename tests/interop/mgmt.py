"""Calls remote management with Samba's client.

Argument: a string binding.  Standard output: a JSON object with the transfer syntax that was agreed on, and
an answer for each operation but 1, whose layout Samba's interface definition has differently.
"""

import json
import sys

from samba import WERRORError
from samba.dcerpc import mgmt
from samba.param import LoadParm


def status(call, *arguments):
    """What Samba makes of a call that is refused."""
    try:
        return call(*arguments)
    except WERRORError as error:
        return error.args[0]


lp = LoadParm()
lp.load("/dev/null")
connection = mgmt.mgmt(sys.argv[1], lp)
vector = connection.inq_if_ids()
answers = {
    "transfer_syntax": connection.transfer_syntax[0],
    "inq_if_ids": [[str(pointer.id.uuid), pointer.id.if_version] for pointer in vector.if_id],
    "is_server_listening": connection.is_server_listening(),
    "stop_server_listening": status(connection.stop_server_listening),
    "inq_princ_name": status(connection.inq_princ_name, 10, 64),
}
json.dump(answers, sys.stdout)
