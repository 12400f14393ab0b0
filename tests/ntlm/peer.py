"""Other people's ends of NTLM, one token or packet a line, in hex.

Arguments: "samba" with "connect", "sign" or "seal": Samba's client, then four packets each way, signature first;
with "sign" a signature of "stub" in "headstubtail" before.
"samba-anonymous" with the same; "samba-spnego" likewise, where a line with the mechanisms and one with the client's
code over them come before the packets, and the server's code is answered. "impacket": its client. "ntlm_auth": Samba's server; says "accepted" or "refused".
The account is Domain\\User with the password "Password".
"""

import base64
import subprocess
import sys


def tell(octets):
    print(octets.hex(), flush=True)


def told():
    return bytes.fromhex(sys.stdin.readline().strip())


def samba(kind, level):
    from samba import credentials, gensec, param

    config = param.LoadParm()
    config.load_default()
    who = credentials.Credentials()
    who.guess(config)
    if kind == "samba-anonymous":
        who.set_anonymous()
    else:
        who.set_username("User")
        who.set_domain("Domain")
        who.set_password("Password")
    who.set_kerberos_state(credentials.DONT_USE_KERBEROS)
    end = gensec.Security.start_client({"lp_ctx": config, "target_hostname": "mapper"})
    end.set_credentials(who)
    features = {"connect": 0, "sign": gensec.FEATURE_SIGN, "seal": gensec.FEATURE_SEAL}
    end.want_feature(features[level])
    if kind == "samba-spnego":
        end.start_mech_by_name("spnego")
        log_on_by_spnego(end)
    else:
        end.start_mech_by_name("ntlmssp")
        done, token = end.update(b"")
        tell(token)
        done, token = end.update(told())
        tell(token)
        assert done
    if level == "sign":
        tell(end.sign_packet(b"stub", b"headstubtail"))
    for count in range(0 if level == "connect" else 4):
        tell(end.wrap(b"there %d" % count))
        assert end.unwrap(told()) == b"back %d" % count
    print("done", flush=True)


def log_on_by_spnego(end):
    done, token = end.update(b"")
    fields = inside(inside(inside(token)[1])[0])  # behind SPNEGO's own identifier
    mechanisms = inside(fields[0])[0]
    tell(octets_of(fields[-1]))
    fields = value(0xA0, value(0x0A, b"\x01")), value(0xA1, inside(mechanisms)[0]), wrapped(0xA2, told())
    done, token = end.update(answer(*fields))
    fields = inside(inside(token)[0])
    response = {field[0]: octets_of(field) for field in fields if field[0] != 0xA0}
    tell(response[0xA2])
    accepted = [value(0xA0, value(0x0A, b"\x00"))]
    if 0xA3 in response:
        tell(mechanisms)
        tell(response[0xA3])
        accepted.append(wrapped(0xA3, told()))
    done, token = end.update(answer(*accepted))
    assert done


def value(tag, content):
    """A value in DER."""
    count = len(content)
    length = bytes([count]) if count < 128 else bytes([0x82, count >> 8, count & 255])
    return bytes([tag]) + length + content


def wrapped(tag, content):
    return value(tag, value(0x04, content))


def answer(*fields):
    return value(0xA1, value(0x30, b"".join(fields)))


def split(octets):
    """The content of the first value, and what stands behind it."""
    begin, count = 2, octets[1]
    if count >= 128:
        begin += count & 127
        count = int.from_bytes(octets[2:begin], "big")
    return octets[begin : begin + count], begin + count


def inside(octets):
    """The values in a value, whole."""
    content, _ = split(octets)
    found = []
    while content:
        _, end = split(content)
        found.append(content[:end])
        content = content[end:]
    return found


def octets_of(field):
    return split(inside(field)[0])[0]


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
    samba(sys.argv[1], sys.argv[2])
