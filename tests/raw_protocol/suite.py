"""Runs samba.tests.dcerpc.raw_protocol against a server, every test of it.

Arguments: the server's address, where it has port 135, an empty folder, an account and its password, and how many security
contexts a connection may have. Nothing is written elsewhere than in the folder.
Prints one line of JSON for each test as it ends: its name, its outcome, and its story, which is what it said and the
octets that it sent and received; then one line with the number of tests and the version of Samba.
"""

import io
import json
import os
import sys
import unittest

# Two versions that exclude each other: an SMB server which the machine may have must not play a part.
CONFIG = """[global]
private dir = {folder}
lock directory = {folder}
state directory = {folder}
cache directory = {folder}
client ipc min protocol = SMB3_11
client ipc max protocol = NT1
"""

# There is no KDC.
ENVIRONMENT = {
    "DOMAIN": "NOWHERE",
    "REALM": "NOWHERE.TEST",
}


class Outcomes(unittest.TestResult):
    """Tells each test's outcome; the first that is no pass counts."""

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.story = None, io.StringIO()
        sys.stderr = self.story

    def stopTest(self, test):
        super().stopTest(test)
        sys.stderr = sys.__stderr__
        line = {"test": test.id().rsplit(".", 1)[-1], "outcome": self.outcome, "story": self.story.getvalue()}
        print(json.dumps(line), flush=True)

    def ended(self, outcome, story=""):
        self.outcome = outcome if self.outcome in (None, "pass") else self.outcome
        self.story.write(story)

    def addSuccess(self, test):
        self.ended("pass")

    def addFailure(self, test, error):
        self.ended("fail", self._exc_info_to_string(error, test))

    def addError(self, test, error):
        self.ended("error", self._exc_info_to_string(error, test))

    def addSkip(self, test, reason):
        self.ended("skip", reason)

    def addExpectedFailure(self, test, error):
        self.ended("expected failure", self._exc_info_to_string(error, test))

    def addUnexpectedSuccess(self, test):
        self.ended("unexpected success")


def main(address, folder, account, password, contexts):
    isolate(address, folder)
    os.environ.update(USERNAME=account, PASSWORD=password, MAX_NUM_AUTH=contexts)
    import samba
    from samba.tests.dcerpc import raw_protocol

    raw_protocol.global_hexdump = True
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromModule(raw_protocol).run(outcomes)
    print(json.dumps({"ran": outcomes.testsRun, "version": samba.version}))


def isolate(address, folder):
    """Leaves nothing of the environment, and makes what the suite wants to find there."""
    config = os.path.join(folder, "smb.conf")
    with open(config, "w") as file:
        file.write(CONFIG.format(folder=folder))
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    os.environ.update(
        SERVER=address,
        SMB_CONF_PATH=config,
        KRB5_CONFIG=os.path.join(folder, "krb5.conf"),
        KRB5CCNAME=os.path.join(folder, "krb5.ccache"),
        HOME=folder,
        TMPDIR=folder,
    )
    os.chdir(folder)


main(*sys.argv[1:])
