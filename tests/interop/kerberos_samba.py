"""Asks a mapper what it serves, as python3-samba does with Kerberos.

Arguments: the server's address, its name in its service principal, an account, its password, its realm, an empty folder,
and options of a binding string, such as krb5,sign. KRB5_CONFIG is the realm's. Prints the number of interfaces.
"""

import os
import sys


def main(address, name, user, password, realm, folder, options):
    os.environ["KRB5CCNAME"] = os.path.join(folder, "krb5.ccache")
    from samba import param
    from samba.credentials import MUST_USE_KERBEROS, Credentials
    from samba.dcerpc import epmapper, mgmt

    config = os.path.join(folder, "smb.conf")
    with open(config, "w") as file:
        file.write("[global]\n" + "".join(f"{key} = {folder}\n" for key in FOLDERS) + f"realm = {realm}\n")
    settings = param.LoadParm(filename_for_non_global_lp=config)
    credentials = Credentials()
    credentials.guess(settings)
    credentials.set_username(user)
    credentials.set_password(password)
    credentials.set_domain(realm.split(".")[0])
    credentials.set_realm(realm)
    credentials.set_kerberos_state(MUST_USE_KERBEROS)
    binding = f"ncacn_ip_tcp:{address}[135,{options},target_hostname={name}]"
    for _ in range(3):
        connection = mgmt.mgmt(binding, settings, credentials)
        for _ in range(20):
            interfaces = connection.inq_if_ids()
    print(len(interfaces.if_id), "interfaces")


FOLDERS = ["private dir", "lock directory", "state directory", "cache directory"]

main(*sys.argv[1:])
