//! `epmapperd account`, as an administrator uses it, and `[security]` as
//! `--check-config` shows it.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use nix::unistd::geteuid;
use run::{ConfigFile, output, program, stderr};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A password that nothing may show.
const SECRET: &str = "Password";

/// Its NT hash.
const HASH: &str = "a4f49c406510bdcab6824ee7c30fd852";

/// A folder that goes with the value, and an accounts file in it, not there yet.
fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("accounts.toml");
    (folder, path)
}

/// `epmapperd account COMMAND [NAME] --file FILE`.
fn account(arguments: &[&str], file: &Path) -> Command {
    let mut command = program();
    command.arg("account").args(arguments);
    command.arg("--file").arg(file);
    command
}

/// Runs a command with something on its standard input.
fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(input).unwrap();
    drop(writer);
    output(command.stdin(reader))
}

/// Adds an account by standard input; the output.
fn add(name: &str, file: &Path) -> Output {
    let mut command = account(&["add", name, "--stdin"], file);
    with_input(&mut command, format!("{SECRET}\n").as_bytes())
}

/// Standard output of a command that did its work and showed nothing secret.
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    shows_no_secret(output);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command that did nothing said.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(output.stdout.is_empty());
    shows_no_secret(output);
    stderr(output)
}

/// Fails when a command printed the password or its hash.
fn shows_no_secret(output: &Output) {
    for octets in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(octets);
        assert!(!text.contains(SECRET) && !text.contains(HASH), "{text}");
    }
}

/// The mode of a file.
fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

/// Makes a file private.
fn make_private(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn accounts_are_added_listed_and_taken_out() {
    let (_folder, path) = place();
    let told = done(&add("bob", &path));
    assert_eq!(
        told,
        format!(
            "`bob` added to {}; epmapperd reads it at its start and on SIGHUP\n",
            path.display()
        )
    );
    done(&add("Alice of X", &path));
    let lines = format!(
        "[accounts]\nbob = {{ nt_hash = \"{HASH}\" }}\n\"Alice of X\" = {{ nt_hash = \"{HASH}\" }}\n"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), lines);
    assert_eq!(
        done(&output(&mut account(&["list"], &path))),
        "Alice of X\nbob\n"
    );
    let told = done(&output(&mut account(&["remove", "BOB"], &path)));
    assert!(told.starts_with("`BOB` taken out of "), "{told}");
    assert_eq!(
        done(&output(&mut account(&["list"], &path))),
        "Alice of X\n"
    );
    let told = refused(&output(&mut account(&["remove", "bob"], &path)));
    assert_eq!(
        told,
        format!("error: there is no account `bob` in {}\n", path.display())
    );
}

#[test]
fn an_account_that_is_there_gets_another_password_and_all_else_stays() {
    let (_folder, path) = place();
    let text =
        "# ours\n[accounts]\nAlice = { password = \"old\" } # she\nbob = { password = \"x\" }\n";
    fs::write(&path, text).unwrap();
    make_private(&path);
    assert!(done(&add("alice", &path)).starts_with("`alice` changed in "));
    let after = text.replace("password = \"old\"", &format!("nt_hash = \"{HASH}\""));
    assert_eq!(fs::read_to_string(&path).unwrap(), after);
}

#[test]
fn a_file_is_made_for_its_owner_alone_under_any_umask() {
    for mask in ["000", "022", "077", "277", "777"] {
        let (_folder, path) = place();
        let script = format!("umask {mask} && exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_epmapperd")]);
        command
            .args(["account", "add", "a", "--stdin", "--file"])
            .arg(&path);
        done(&with_input(&mut command, SECRET.as_bytes()));
        assert_eq!(mode(&path), 0o600, "umask {mask}");
    }
}

#[test]
fn a_file_keeps_its_owner_when_root_changes_it() {
    if !geteuid().is_root() {
        return skip::lacking("root");
    }
    let (folder, path) = place();
    done(&add("a", &path));
    chown(&path, Some(4321), Some(4322)).unwrap();
    // Only a configuration can say that such a user is the daemon's.
    let told = refused(&add("b", &path));
    assert!(told.contains("belongs to user id 4321, "), "{told}");
    let owner = |path: &Path| path.metadata().map(|it| (it.uid(), it.gid())).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    chown(&path, Some(uid), Some(gid)).unwrap();
    let config = ConfigFile::new(&format!(
        "user = \"nobody\"\n[security]\naccounts = \"{}\"\n",
        path.display()
    ));
    let mut command = program();
    command
        .args(["account", "add", "b", "--stdin", "--config"])
        .arg(config.path());
    done(&with_input(&mut command, b"y"));
    assert_eq!((owner(&path), mode(&path)), ((uid, gid), 0o600));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_configuration_names_the_file() {
    let (_folder, path) = place();
    let config = ConfigFile::new(&format!("[security]\naccounts = \"{}\"\n", path.display()));
    let run = |arguments: &[&str]| {
        let mut command = program();
        command
            .arg("account")
            .args(arguments)
            .arg("--config")
            .arg(config.path());
        with_input(&mut command, SECRET.as_bytes())
    };
    let told = refused(&run(&["list"]));
    assert!(
        told.starts_with("error: cannot read the accounts file "),
        "{told}"
    );
    done(&run(&["add", "alice", "--stdin"]));
    assert_eq!(done(&run(&["list"])), "alice\n");
    config.write("");
    let told = refused(&run(&["list"]));
    assert!(
        told.contains("names no accounts file; write `accounts = "),
        "{told}"
    );
    config.write("[security]\naccounts = 1\n");
    let told = refused(&run(&["add", "bob", "--stdin"]));
    assert!(told.contains(":2: security.accounts: "), "{told}");
}

#[test]
fn root_is_told_when_the_daemon_will_not_read_the_file_again() {
    if !geteuid().is_root() {
        return skip::lacking("root");
    }
    let (_folder, path) = place();
    let text = format!(
        "user = \"nobody\"\n[security]\naccounts = \"{}\"\n",
        path.display()
    );
    let config = ConfigFile::new(&text);
    let mut command = program();
    command
        .args(["account", "add", "a", "--stdin", "--config"])
        .arg(config.path());
    let output = with_input(&mut command, b"x");
    done(&output);
    let told = stderr(&output);
    assert!(
        told.ends_with("it is read at the start alone, not on SIGHUP\n"),
        "{told}"
    );
}

#[test]
fn a_password_comes_from_a_private_file_or_a_pipe() {
    let (folder, path) = place();
    let file = folder.path().join("password");
    let from_file = |content: &[u8], mode: u32| {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let mut command = account(&["add", "a", "--password-file"], &path);
        // The file behind its option.
        let mut ordered = program();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let (before, behind) = arguments.split_at(4);
        ordered.args(before).arg(&file).args(behind);
        command = ordered;
        output(&mut command)
    };
    for content in ["Password", "Password\n", "Password\r\n"] {
        done(&from_file(content.as_bytes(), 0o600));
        assert!(
            fs::read_to_string(&path).unwrap().contains(HASH),
            "{content:?}"
        );
    }
    let told = refused(&from_file(SECRET.as_bytes(), 0o644));
    assert!(
        told.contains("can be read or written by others than its owner (mode 0644)"),
        "{told}"
    );
    for content in [
        &b"Password\nPassword"[..],
        b"Password\n\n",
        b"Password\xff",
        b"a\0b",
    ] {
        let told = refused(&from_file(content, 0o600));
        assert!(
            told.starts_with("error: a password is one line of UTF-8"),
            "{told}"
        );
    }
    for content in ["", "\n"] {
        let told = refused(&from_file(content.as_bytes(), 0o600));
        assert!(told.starts_with("error: an empty password"), "{told}");
    }
    fs::remove_file(&file).unwrap();
    let mut command = program();
    command
        .args(["account", "add", "a", "--password-file"])
        .arg(&file);
    let told = refused(&output(command.arg("--file").arg(&path)));
    assert!(
        told.starts_with("error: cannot read the password from "),
        "{told}"
    );
    let longest = "x".repeat(4096);
    let mut command = account(&["add", "a", "--stdin"], &path);
    done(&with_input(
        &mut command,
        format!("{longest}\r\n").as_bytes(),
    ));
    refused(&with_input(&mut command, format!("{longest}x").as_bytes()));
    refused(&with_input(
        &mut command,
        format!("{longest}\r\n\n").as_bytes(),
    ));
}

#[test]
fn without_a_terminal_there_is_nobody_to_ask() {
    let (_folder, path) = place();
    let mut command = Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_epmapperd")]);
    command.args(["account", "add", "a", "--file"]).arg(&path);
    let told = refused(&output(command.stdin(Stdio::null())));
    let start = "error: there is no terminal to ask for the password at: ";
    assert!(told.starts_with(start), "{told}");
    assert!(told.ends_with("use --password-file or --stdin\n"), "{told}");
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_not_private_or_not_right_is_not_changed() {
    let (folder, path) = place();
    let text = format!("[accounts]\na = {{ password = \"{SECRET}\" }}\n");
    fs::write(&path, &text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    for arguments in [
        ["add", "b", "--stdin"].as_slice(),
        &["remove", "a"],
        &["list"],
    ] {
        let told = refused(&with_input(&mut account(arguments, &path), b"x"));
        assert!(
            told.contains("(mode 0644); make it private: chmod 600"),
            "{told}"
        );
    }
    make_private(&path);
    let wrong = format!("{text}A = {{ nt_hash = \"{SECRET}\" }}\nb = {SECRET}\n");
    fs::write(&path, &wrong).unwrap();
    for arguments in [
        ["add", "b", "--stdin"].as_slice(),
        &["remove", "a"],
        &["list"],
    ] {
        let told = refused(&with_input(&mut account(arguments, &path), b"x"));
        assert!(told.contains(":4: not TOML"), "{told}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_without_rights_is_told() {
    if !geteuid().is_root() {
        return skip::lacking("root");
    }
    let (folder, path) = place();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("epmapperd");
    let mut copying = Command::new("cp");
    copying.arg(env!("CARGO_BIN_EXE_epmapperd")).arg(&copy);
    assert!(copying.status().unwrap().success());
    let mut command = Command::new(&copy);
    command
        .args(["account", "add", "a", "--stdin", "--file"])
        .arg(&path);
    let told = refused(&with_input(
        command.uid(65534).gid(65534),
        SECRET.as_bytes(),
    ));
    assert_eq!(
        told,
        format!(
            "error: cannot write the accounts file {}.new: make it: Permission denied (os error 13)\n",
            path.display()
        )
    );
}

#[test]
fn commands_at_the_same_time_lose_nothing() {
    let (folder, path) = place();
    std::thread::scope(|scope| {
        for n in 0..12 {
            let path = &path;
            scope.spawn(move || done(&add(&format!("user{n:02}"), path)));
        }
    });
    let listed = done(&output(&mut account(&["list"], &path)));
    let expected: String = (0..12).map(|n| format!("user{n:02}\n")).collect();
    assert_eq!(listed, expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_name_that_no_account_can_have_is_a_wrong_command_line() {
    let (_folder, path) = place();
    for (name, told) in [
        ("alice@LAB", "a Kerberos principal's"),
        ("LAB\\alice", "without its domain"),
        ("", "from 1 to 255 octets"),
    ] {
        let output = add(name, &path);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    assert!(!path.exists());
}

#[test]
fn security_is_shown_as_it_is_and_read_again() {
    let text = "[security]\naccounts = \"/no/such/file\"\nhost = \"mapper\"\nrequire = \"lookups\"\n\
        groups.ops = [\"alice\", \"Bob\"]\n[[register]]\naccount_groups = [\"ops\"]\nnetworks = [\"192.0.2.0/24\"]\n";
    let shown = |text: &str| {
        let file = ConfigFile::new(text);
        let mut command = program();
        command
            .arg("--check-config")
            .arg("--config")
            .arg(file.path());
        done(&output(&mut command))
    };
    let first = shown(text);
    for line in [
        "accounts = \"/no/such/file\"",
        "domain = \"MAPPER\"",
        "anonymous = false",
        "require = \"lookups\"",
        "level = \"integrity\"",
        "account_groups = [\"ops\"]",
    ] {
        assert!(first.lines().any(|shown| shown == line), "{line}:\n{first}");
    }
    assert_eq!(shown(&first), first);
}
