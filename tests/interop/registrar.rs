//! Clients that register: Samba's and impacket's, by tests/interop/registrar_samba.py and registrar_impacket.py.

#![allow(dead_code)] // each test binary takes the half that it needs

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::programs;

/// Programs given as text, so that whoever runs them needs no right to read files of this tree.
const SAMBA: &str = include_str!("registrar_samba.py");
/// See [`SAMBA`].
const IMPACKET: &str = include_str!("registrar_impacket.py");
/// A user, and a group, without any right.
const NOBODY: &str = "65534";

/// A client that registers, and where.
pub struct Registrar {
    program: PathBuf,
    arguments: Vec<String>,
    /// What it makes of an operation out of range.
    fault: Value,
}

impl Registrar {
    /// Samba's client with an smb.conf; `None` where it is not installed.
    pub fn samba(config: &str, binding: &str) -> Option<Registrar> {
        // NT_STATUS_RPC_PROCNUM_OUT_OF_RANGE.
        let fault = json!({"error": 0xc002_002e_u32});
        let program = programs::find_python_samba()?;
        Some(Registrar::new(program, &[SAMBA, config, binding], fault))
    }

    /// impacket, which knows no local sockets; `None` where it is not installed.
    pub fn impacket(address: &str) -> Option<Registrar> {
        let fault = json!({"fault": "nca_s_op_rng_error"});
        let program = programs::find_in_environment("python3")?;
        Some(Registrar::new(program, &[IMPACKET, address], fault))
    }

    fn new(program: PathBuf, arguments: &[&str], fault: Value) -> Registrar {
        let arguments = ["-c"].iter().chain(arguments);
        Registrar {
            program,
            arguments: arguments.map(|&argument| argument.to_owned()).collect(),
            fault,
        }
    }

    /// The same, logging on by an account: its name, its password and, with impacket, the level.
    pub fn logged_on(mut self, logon: &[&str]) -> Registrar {
        self.arguments.extend(logon.iter().map(|&it| it.to_owned()));
        self
    }

    /// The same, run by a user without any right.
    pub fn by_nobody(mut self) -> Option<Registrar> {
        let program = self.program.display().to_string();
        self.program = programs::find("setpriv")?;
        let arguments = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
        let arguments = arguments.map(str::to_owned).into_iter().chain([program]);
        self.arguments.splice(0..0, arguments);
        Some(self)
    }

    /// Makes calls over one connection; the answer to each.
    #[track_caller]
    pub fn answers(&self, calls: &[Value]) -> Vec<Value> {
        let told = self.told(calls);
        let answers = told.as_array();
        answers.unwrap_or_else(|| panic!("{told}")).clone()
    }

    /// What it makes of a bind that is refused.
    #[track_caller]
    pub fn refusal(&self) -> Value {
        self.told(&[])["refused"].take()
    }

    fn told(&self, calls: &[Value]) -> Value {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let finished = programs::run(&self.program, &arguments, &json!(calls).to_string());
        finished.assert_success();
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
    }

    /// Makes one call, and expects a status.
    #[track_caller]
    pub fn expect(&self, call: &Value, status: u32) {
        let answers = self.answers(std::slice::from_ref(call));
        assert_eq!(answers, [json!({"status": status})], "{call}");
    }

    /// Makes calls, and expects that each is an operation out of range.
    #[track_caller]
    pub fn expect_faults(&self, calls: &[Value]) {
        let answers = self.answers(calls);
        assert_eq!(answers, vec![self.fault.clone(); calls.len()]);
    }

    /// Makes calls, and expects the same status for each.
    #[track_caller]
    pub fn expect_all(&self, calls: &[Value], status: u32) {
        let answers = self.answers(calls);
        assert_eq!(answers, vec![json!({"status": status}); calls.len()]);
    }
}
