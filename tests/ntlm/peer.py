"""Other people's ends of NTLM, one token or packet a line, in hex.

Arguments: "samba" with "connect", "sign" or "seal": Samba's client, then four packets each way, signature first.
"samba-anonymous" with the same. "impacket": its client. "ntlm_auth": Samba's server; says "accepted" or "refused".
The account is Domain\\User with the password "Password".
"""

import base64
import subprocess
import sys


def tell(octets):
    print(octets.hex(), flush=True)


def told():
    return bytes.fromhex(sys.stdin.readline().strip())


def samba(level, anonymous):
    from samba import credentials, gensec, param

    config = param.LoadParm()
    config.load_default()
    who = credentials.Credentials()
    who.guess(config)
    if anonymous:
        who.set_anonymous()
    else:
        who.set_username("User")
        who.set_domain("Domain")
        who.set_password("Password")
    end = gensec.Security.start_client({"lp_ctx": config, "target_hostname": "mapper"})
    end.set_credentials(who)
    features = {"connect": 0, "sign": gensec.FEATURE_SIGN, "seal": gensec.FEATURE_SEAL}
    end.want_feature(features[level])
    end.start_mech_by_name("ntlmssp")
    done, token = end.update(b"")
    tell(token)
    done, token = end.update(told())
    tell(token)
    assert done
    for count in range(0 if level == "connect" else 4):
        tell(end.wrap(b"there %d" % count))
        assert end.unwrap(told()) == b"back %d" % count
    print("done", flush=True)


def impacket():
    from impacket import ntlm

    first = ntlm.getNTLMSSPType1(signingRequired=True)
    tell(first.getData())
    last, _ = ntlm.getNTLMSSPType3(first, told(), "User", "Password", "Domain")
    tell(last.getData())
    print("done", flush=True)


def ntlm_auth():
    program = ["ntlm_auth", "--helper-protocol=squid-2.5-ntlmssp", "--configfile=/dev/null"]
    program += ["--domain=Domain", "--username=User", "--password=Password"]
    end = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(kind, token):
        end.stdin.write("%s %s\n" % (kind, base64.b64encode(token).decode()))
        return end.stdout.readline().split()

    answer = ask("YR", told())
    assert answer[0] == "TT", answer
    tell(base64.b64decode(answer[1]))
    answer = ask("KK", told())
    print("accepted" if answer[0] == "AF" else "refused", flush=True)
    end.stdin.close()
    end.wait()


if sys.argv[1] == "impacket":
    impacket()
elif sys.argv[1] == "ntlm_auth":
    ntlm_auth()
else:
    samba(sys.argv[2], sys.argv[1] == "samba-anonymous")
