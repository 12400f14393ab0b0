"""Asks a mapper what it serves, as impacket does with Kerberos: in SPNEGO, DCE style, without header signing.

Arguments: the server's address, its name in its service principal, an account, its realm, and the level. Tickets, the
service's among them, are in KRB5CCNAME, which is a file.
"""

import os
import sys

from impacket.dcerpc.v5 import mgmt, transport


def main(address, name, user, realm, level):
    os.environ["KRB5CCNAME"] = os.environ["KRB5CCNAME"].removeprefix("FILE:")
    target = transport.DCERPCTransportFactory(f"ncacn_ip_tcp:{address}[135]")
    target.setRemoteName(name)
    target.setRemoteHost(address)
    target.set_credentials(user, "", realm)
    target.set_kerberos(True, kdcHost="0.0.0.0")
    connection = target.get_dce_rpc()
    connection.set_auth_type(9)
    connection.set_auth_level(int(level))
    connection.connect()
    connection.bind(mgmt.MSRPC_UUID_MGMT)
    for _ in range(20):
        mgmt.hinq_if_ids(connection)
    print("asked")


main(*sys.argv[1:])
