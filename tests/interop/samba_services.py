"""Calls lsarpc and samr over TCP by bindings without endpoint, as python3-samba does it for itself.

Arguments: smb.conf of the client, address, user, password, domain.
Prints one line for each step, the same whoever maps.
"""

import sys

from samba import NTSTATUSError
from samba.credentials import DONT_USE_KERBEROS, Credentials
from samba.dcerpc import lsa, samr, security
from samba.param import LoadParm

config, address, user, password, domain = sys.argv[1:]
parameters = LoadParm()
parameters.load(config)
credentials = Credentials()
credentials.guess(parameters)
credentials.set_username(user)
credentials.set_password(password)
credentials.set_domain(domain)
credentials.set_kerberos_state(DONT_USE_KERBEROS)
binding = "ncacn_ip_tcp:" + address

policy = lsa.lsarpc(binding, parameters, credentials)
print("lsarpc: bound")
attributes = lsa.ObjectAttribute()
attributes.sec_qos = lsa.QosInfo()
try:
    policy.OpenPolicy2("", attributes, security.SEC_FLAG_MAXIMUM_ALLOWED)
    print("lsarpc: policy open")
except NTSTATUSError as error:
    print("lsarpc: %#x" % error.args[0])

accounts = samr.samr(binding, parameters, credentials)
print("samr: bound")
server = accounts.Connect2(None, security.SEC_FLAG_MAXIMUM_ALLOWED)
_, domains, _ = accounts.EnumDomains(server, 0, 0xFFFF)
print("samr:", *sorted(entry.name.string for entry in domains.entries))
