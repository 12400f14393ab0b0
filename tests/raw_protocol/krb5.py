"""Runs the tests of samba.tests.dcerpc.raw_protocol that need Kerberos against a server.

Arguments: the server's address, where it has port 135, its name in its service principal, an account, its password, its
realm, an empty folder, and the names of the tests. KRB5_CONFIG is the realm's. Prints the outcome and the story of each.
"""

import os
import sys
import unittest

CONFIG = """[global]
private dir = {folder}
lock directory = {folder}
state directory = {folder}
cache directory = {folder}
realm = {realm}
"""


def main(address, name, user, password, realm, folder, *tests):
    config = os.path.join(folder, "smb.conf")
    with open(config, "w") as file:
        file.write(CONFIG.format(folder=folder, realm=realm))
    os.environ.update(
        SERVER=address,
        TARGET_HOSTNAME=name,
        USERNAME=user,
        PASSWORD=password,
        DOMAIN=realm.split(".")[0],
        REALM=realm,
        SMB_CONF_PATH=config,
        KRB5CCNAME=os.path.join(folder, "krb5.ccache"),
        MAX_NUM_AUTH="8",
    )
    from samba.tests.dcerpc import raw_protocol

    suite = unittest.defaultTestLoader.loadTestsFromNames(tests, raw_protocol.TestDCERPC_BIND)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(not result.wasSuccessful())


main(*sys.argv[1:])
