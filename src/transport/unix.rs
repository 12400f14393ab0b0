//! ncalrpc: local sockets, and who is at their other end.
//!
//! PDUs go over a unix stream socket as they go over TCP. Leaves out what a
//! caller may do: here is only who it is, by the kernel's word.

use super::process::{Facts, Process};
use super::{BACKLOG, ListenCause, ListenError};
use crate::wire::binding::Binding;
use crate::wire::tower::ProtocolSequence;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::time::ClockId;
use nix::unistd::{Gid, fchownat};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;
use tracing::warn;

/// The folder of local sockets that are named without one.
pub const FOLDER: &str = "/run/epmapper";

/// The mapper's own socket there; Samba's programs look for this name.
pub const EPMAP_NAME: &str = "EPMAPPER";

/// The longest path of a socket in octets: `sun_path` without its NUL.
pub const LONGEST_PATH: usize = 107;

/// The local socket of this host's mapper.
pub fn local_mapper() -> Binding {
    binding_of(&Path::new(FOLDER).join(EPMAP_NAME))
}

/// Who may connect to a local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permissions of its file: whoever may write to it may connect.
    pub mode: u32,
    /// The group of its file; that of the process where none is said.
    pub group: Option<u32>,
}

impl Default for Access {
    /// Everybody: to look something up takes no right, to register something
    /// takes a rule.
    fn default() -> Self {
        Access {
            mode: 0o666,
            group: None,
        }
    }
}

/// Why an endpoint is not the path of a local socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// An address, which local sockets have not.
    #[error("a local socket has no address, and '{0}' is one; write ncalrpc:[/PATH]")]
    Address(String),
    /// A path that depends on the folder that somebody is in.
    #[error("'{0}' is not an absolute path; write ncalrpc:[/PATH]")]
    Relative(String),
    /// A path that ends with no name, or has a NUL.
    #[error("'{0}' names no file; write the path of a socket")]
    NoFile(String),
    /// A path that no socket can have.
    #[error(
        "the path has {0} octets, and a socket's has at most {LONGEST_PATH}; choose a shorter one"
    )]
    TooLong(usize),
}

/// A name alone in the folder of local sockets; a path as it is.
pub fn in_folder(endpoint: &str) -> String {
    match endpoint.contains('/') {
        true => endpoint.to_owned(),
        false => format!("{FOLDER}/{endpoint}"),
    }
}

/// The path of the socket that an ncalrpc binding names; no endpoint is the
/// mapper's own, and a name alone one in its folder.
///
/// # Errors
/// What keeps a socket from having that path.
pub fn socket_path(binding: &Binding) -> Result<PathBuf, PathFault> {
    let path = match binding.endpoint.as_str() {
        "" => in_folder(EPMAP_NAME),
        endpoint => in_folder(endpoint),
    };
    if !binding.address.is_empty() {
        return Err(PathFault::Address(binding.address.clone()));
    }
    if !path.starts_with('/') {
        return Err(PathFault::Relative(path));
    }
    if path.len() > LONGEST_PATH {
        return Err(PathFault::TooLong(path.len()));
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    match ["", ".", ".."].contains(&name) || path.contains('\0') {
        true => Err(PathFault::NoFile(path)),
        false => Ok(path.into()),
    }
}

/// The path to listen on: as for connecting, but never a name alone.
///
/// # Errors
/// As `socket_path`.
pub fn listen_path(binding: &Binding) -> Result<PathBuf, PathFault> {
    match binding.endpoint.as_str() {
        name if !name.is_empty() && !name.contains('/') => Err(PathFault::Relative(name.into())),
        _ => socket_path(binding),
    }
}

/// The binding of a local socket.
pub fn binding_of(path: &Path) -> Binding {
    Binding {
        endpoint: path.to_string_lossy().into_owned(),
        ..Binding::new(ProtocolSequence::Ncalrpc)
    }
}

/// A listening socket, made before a runtime is there and before rights are
/// given up.
#[derive(Debug)]
pub struct Listener {
    /// Its file; goes first.
    file: SocketFile,
    /// Bound, listening, not blocking.
    socket: UnixListener,
}

impl Listener {
    /// Listens on an ncalrpc binding, and lets those connect whom `access` says.
    ///
    /// A file of a socket that nobody listens on is replaced. The folder has to
    /// be there, except `/run/epmapper`.
    ///
    /// # Errors
    /// `ListenError` names the binding, the cause and what to do.
    pub fn bind(binding: &Binding, access: Access) -> Result<Self, ListenError> {
        let bound = listen_path(binding)
            .map_err(ListenCause::from)
            .and_then(|path| listen(&path, access));
        bound.map_err(|cause| ListenError {
            binding: binding.to_string(),
            cause,
        })
    }

    /// The string binding listened on.
    pub fn binding(&self) -> Binding {
        binding_of(&self.file.path)
    }

    /// The path listened on.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The name of the socket's file, by which towers and bind acks name it.
    pub fn name(&self) -> String {
        let name = self.file.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Hands the socket to the runtime that this is called in.
    ///
    /// # Errors
    /// What the system says when the socket cannot be watched.
    pub fn into_tokio(self) -> io::Result<(SocketFile, tokio::net::UnixListener)> {
        let listener = tokio::net::UnixListener::from_std(self.socket)?;
        Ok((self.file, listener))
    }
}

/// The file of a socket; removed when dropped, if it is still that one.
///
/// As long as the socket listens nobody takes the file for a stale one, and the
/// kernel gives its inode number to no other: so it goes before the socket.
#[derive(Debug)]
pub struct SocketFile {
    /// Where it is.
    path: PathBuf,
    /// Its device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    /// The file that was just made at a path.
    fn at(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Where the folder is not ours any more it stays, and is stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode of what is at a path.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

/// A socket that listens at `path` and does not block.
fn listen(path: &Path, access: Access) -> Result<Listener, ListenCause> {
    make_folder(path)?;
    // Of two that start at once, and find the same stale file, the second would
    // remove what the first has made: so they come one by one.
    let _turn = Turn::take(path)?;
    make_way(path)?;
    let failed = |error| cause(error, path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let address = SockAddr::unix(path).map_err(failed)?;
    socket.bind(&address).map_err(failed)?;
    // Removes it when one of the next steps fails.
    let file = SocketFile::at(path).map_err(failed)?;
    // Whoever connects before `listen` is refused, whatever the mode: so there
    // is no moment in which somebody comes in whom `access` keeps out, and the
    // process's umask, which is every thread's, stays as it is.
    admit(path, access)?;
    socket.listen(BACKLOG).map_err(failed)?;
    let socket = socket.into();
    Ok(Listener { file, socket })
}

/// Makes the folder of the mapper's own sockets, where it can be and is wanted.
fn make_folder(path: &Path) -> Result<(), ListenCause> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    if folder == Path::new(FOLDER) {
        match DirBuilder::new().mode(0o755).create(folder) {
            // The umask may have taken from the mode.
            Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755))
                .map_err(ListenCause::System)?,
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(ListenCause::Folder(FOLDER, error)),
        }
    }
    match folder.is_dir() {
        true => Ok(()),
        false => Err(ListenCause::NoFolder(folder.display().to_string())),
    }
}

/// Sets group and permissions of a socket's file, never of what a link there
/// leads to.
fn admit(path: &Path, access: Access) -> Result<(), ListenCause> {
    if let Some(group) = access.group {
        let gid = Some(Gid::from_raw(group));
        fchownat(AT_FDCWD, path, None, gid, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|error| {
            let error = error.into();
            ListenCause::Group { group, error }
        })?;
    }
    let mode = Mode::from_bits_truncate(access.mode & 0o777);
    fchmodat(AT_FDCWD, path, mode, FchmodatFlags::NoFollowSymlink)
        .map_err(|error| cause(error.into(), path))
}

/// Removes a socket's file on which nobody listens.
///
/// # Errors
/// When somebody does, and when it is anything else than a socket.
fn make_way(path: &Path) -> Result<(), ListenCause> {
    let failed = |error| cause(error, path);
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    if !found.file_type().is_socket() {
        return Err(ListenCause::NoSocket(path.display().to_string()));
    }
    match probe(path) {
        // Nobody listens: who made it is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(failed(error)),
        // It took the connection, or cannot just now (its queue is full), or is
        // a socket of another kind.
        _ => Err(ListenCause::SocketInUse(path.display().to_string())),
    }
}

/// Connects, without waiting where the queue is full.
fn probe(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The right to replace what is at a path, among those who ask for it.
///
/// A locked file beside the socket, which goes with the lock: whoever got a lock
/// on a file that is no longer at its place tries again.
struct Turn {
    /// The file, which is locked.
    _lock: Flock<File>,
    /// Where it is.
    path: PathBuf,
}

impl Turn {
    /// Takes the turn for the socket at `path`; does not wait for it.
    ///
    /// # Errors
    /// `Starting` when another has it, or what the system says.
    fn take(path: &Path) -> Result<Turn, ListenCause> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                // What somebody else put there is neither followed nor waited for.
                .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
                .open(&path)
                .map_err(|error| cause(error, &path))?;
            let own = file.metadata().map_err(ListenCause::System)?;
            let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
            let lock = locked.map_err(|(_, error)| match error {
                Errno::EWOULDBLOCK => ListenCause::Starting(path.display().to_string()),
                error => ListenCause::System(error.into()),
            })?;
            if identity(&path).is_ok_and(|found| found == (own.dev(), own.ino())) {
                return Ok(Turn { _lock: lock, path });
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // While it is locked nobody else's is there.
        let _ = fs::remove_file(&self.path);
    }
}

/// What an error of the system means for a socket at `path`.
fn cause(error: io::Error, path: &Path) -> ListenCause {
    let shown = path.display().to_string();
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenCause::SocketInUse(shown),
        io::ErrorKind::PermissionDenied => ListenCause::Denied(shown),
        _ => ListenCause::System(error),
    }
}

/// Who connected to a local socket, as the kernel noted it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The process id; 0 for one that this process cannot see.
    pub pid: u32,
    /// When they were asked for, since the host's start.
    pub asked: Duration,
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "uid {} pid {}", self.uid, self.pid)
    }
}

/// What else is known of who connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The groups, the primary one first.
    pub groups: Vec<u32>,
    /// The id and the start, in clock ticks since the host's, of the process
    /// that connected, while that runs.
    pub process: Option<(u32, u64)>,
}

impl Credentials {
    /// The credentials of the peer of a socket.
    ///
    /// # Errors
    /// `ConnectionAborted` when the kernel tells none: that is no matter of the
    /// listener's.
    pub fn of(stream: &impl AsFd) -> io::Result<Credentials> {
        let told = getsockopt(stream, sockopt::PeerCredentials)
            .map_err(|_| io::ErrorKind::ConnectionAborted)?;
        let asked = ClockId::CLOCK_BOOTTIME.now().map_err(io::Error::from)?;
        Ok(Credentials {
            uid: told.uid(),
            gid: told.gid(),
            pid: u32::try_from(told.pid()).unwrap_or(0),
            asked: asked.into(),
        })
    }

    /// Finds out what else is known of the peer; takes some system calls.
    ///
    /// The groups are what they are now, not as they were when it connected,
    /// which is why they count only as long as no user id of the process has
    /// changed: one that has become a privileged program meanwhile, with that
    /// program's groups, may have left the connection to somebody else.
    pub fn identity(&self, stream: &impl AsFd) -> Identity {
        self.identity_of(process(stream, self))
    }

    /// What is known of the peer and its process.
    fn identity_of(&self, process: Option<Process>) -> Identity {
        let facts = process.and_then(|process| process.facts());
        Identity {
            groups: self.groups(facts.as_ref()),
            process: facts.map(|facts| (self.pid, facts.started)),
        }
    }

    /// The groups that count, by what is known of the process.
    fn groups(&self, facts: Option<&Facts>) -> Vec<u32> {
        let own = facts.filter(|facts| facts.uids == [self.uid; 4]);
        let supplementary = own.into_iter().flat_map(|facts| &facts.groups).copied();
        let others = supplementary.filter(|group| *group != self.gid);
        std::iter::once(self.gid).chain(others).collect()
    }
}

/// The process that connected, unless the kernel has forgotten it.
fn process(stream: &impl AsFd, credentials: &Credentials) -> Option<Process> {
    if credentials.pid == 0 {
        return None;
    }
    match getsockopt(stream, sockopt::PeerPidfd) {
        Ok(pidfd) => Some(Process::new(credentials.pid, pidfd)),
        Err(Errno::ENOPROTOOPT) => {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                warn!(
                    "this kernel is older than 6.5 and has no SO_PEERPIDFD: local callers' processes \
                     are found by pidfd_open and the time of their start"
                );
            });
            process_by_id(credentials)
        }
        Err(_) => None,
    }
}

/// The process that connected, found by its id: one that has the id and was
/// there when the connection was accepted. The ids would have to come round
/// between connecting and that for it to be another.
fn process_by_id(credentials: &Credentials) -> Option<Process> {
    let process = Process::open(credentials.pid).ok()?;
    let facts = process.facts()?;
    facts.ran_at(credentials.asked).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use std::sync::Barrier;
    use std::thread;
    use tempfile::TempDir;

    /// A folder of its own, and a path in it.
    fn place() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("EPMAPPER");
        (folder, path)
    }

    /// What stands in a folder.
    fn names(folder: &TempDir) -> Vec<String> {
        let found = fs::read_dir(folder.path()).unwrap();
        found
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn bind(path: &Path) -> Result<Listener, ListenError> {
        Listener::bind(&binding_of(path), Access::default())
    }

    fn obstacle(path: &Path) -> ListenCause {
        bind(path).unwrap_err().cause
    }

    #[test]
    fn a_fifo_in_the_place_of_the_lock_is_an_error_and_not_waited_for() {
        let (_folder, path) = place();
        let lock = format!("{}.lock", path.display());
        nix::unistd::mkfifo(lock.as_str(), Mode::S_IRWXU).unwrap();
        assert!(Listener::bind(&binding_of(&path), Access::default()).is_err());
    }

    #[test]
    fn a_path_is_absolute_and_short_and_names_a_file() {
        let fault = |text: &str| socket_path(&text.parse().unwrap()).unwrap_err();
        let longest = format!("/{}", "a".repeat(LONGEST_PATH - 1));
        let binding = binding_of(Path::new(&longest));
        assert_eq!(socket_path(&binding), Ok(longest.clone().into()));
        let longer = format!("ncalrpc:[{longest}a]");
        assert_eq!(fault(&longer), PathFault::TooLong(108));
        for text in ["/", "/tmp/", "/tmp/.", "/tmp/..", "/a\0b"] {
            let binding = binding_of(Path::new(text));
            assert_eq!(socket_path(&binding), Err(PathFault::NoFile(text.into())));
        }
        assert_eq!(fault("ncalrpc:[a/b]"), PathFault::Relative("a/b".into()));
        let name = "ncalrpc:[a]".parse().unwrap();
        assert_eq!(socket_path(&name), Ok("/run/epmapper/a".into()));
        assert_eq!(listen_path(&name), Err(PathFault::Relative("a".into())));
    }

    #[test]
    fn the_longest_path_can_be_listened_on() {
        let (folder, path) = place();
        let room = LONGEST_PATH - path.parent().unwrap().as_os_str().len() - 1;
        let path = folder.path().join("a".repeat(room));
        let _listener = bind(&path).unwrap();
        assert!(probe(&path).is_ok());
    }

    #[test]
    fn mode_and_group_are_those_that_were_asked_for() {
        let (_folder, path) = place();
        let own = nix::unistd::getegid().as_raw();
        for (mode, group) in [(0o666, None), (0o600, None), (0o660, Some(own))] {
            let access = Access { mode, group };
            let _listener = Listener::bind(&binding_of(&path), access).unwrap();
            let found = path.symlink_metadata().unwrap();
            assert_eq!(found.mode() & 0o7777, mode, "{mode:o}");
            assert_eq!(found.gid(), group.unwrap_or(own));
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_nothing_else_is() {
        let (folder, path) = place();
        // std leaves the file behind.
        drop(UnixListener::bind(&path).unwrap());
        let listener = bind(&path).unwrap();
        assert!(probe(&path).is_ok());
        assert_eq!(names(&folder), ["EPMAPPER"]);
        // A live one, ours or not.
        assert!(matches!(obstacle(&path), ListenCause::SocketInUse(_)));
        assert!(probe(&path).is_ok());
        drop(listener);
        let foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(obstacle(&path), ListenCause::SocketInUse(_)));
        drop(foreign);
        fs::remove_file(&path).unwrap();
        // One of another kind.
        let datagram = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(obstacle(&path), ListenCause::SocketInUse(_)));
        drop(datagram);
        fs::remove_file(&path).unwrap();
        // Files, folders, and links even to stale sockets.
        fs::write(&path, "precious").unwrap();
        assert!(matches!(obstacle(&path), ListenCause::NoSocket(_)));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let stale = folder.path().join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        fs::remove_file(&path).unwrap();
        symlink(&stale, &path).unwrap();
        assert!(matches!(obstacle(&path), ListenCause::NoSocket(_)));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(obstacle(&path), ListenCause::NoSocket(_)));
    }

    #[test]
    fn a_live_socket_whose_queue_is_full_is_in_use() {
        let (_folder, path) = place();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _queued = UnixStream::connect(&path).unwrap();
        assert!(probe(&path).is_err());
        assert!(matches!(obstacle(&path), ListenCause::SocketInUse(_)));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let (folder, _) = place();
        let path = folder.path().join("none/EPMAPPER");
        let told = obstacle(&path).to_string();
        assert!(told.starts_with("there is no folder"), "{told}");
    }

    #[test]
    fn the_file_goes_with_its_listener_and_another_in_its_place_stays() {
        let (folder, path) = place();
        drop(bind(&path).unwrap());
        assert_eq!(names(&folder), [""; 0]);
        let first = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = bind(&path).unwrap();
        drop(first);
        assert!(probe(&path).is_ok());
        drop(second);
        assert_eq!(names(&folder), [""; 0]);
    }

    #[test]
    fn of_many_that_start_at_once_over_a_stale_file_one_wins() {
        const STARTERS: usize = 8;
        let (folder, path) = place();
        for _ in 0..50 {
            drop(UnixListener::bind(&path).unwrap());
            let barrier = Barrier::new(STARTERS);
            let start = || {
                barrier.wait();
                bind(&path)
            };
            let started: Vec<_> = thread::scope(|scope| {
                let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(start)).collect();
                let ended = starters.into_iter().map(|starter| starter.join());
                ended.map(Result::unwrap).collect()
            });
            assert_eq!(started.iter().flatten().count(), 1);
            for lost in started.iter().filter_map(|started| started.as_ref().err()) {
                assert!(
                    matches!(
                        lost.cause,
                        ListenCause::Starting(_) | ListenCause::SocketInUse(_)
                    ),
                    "{lost}"
                );
            }
            assert!(probe(&path).is_ok());
            drop(started);
            assert_eq!(names(&folder), [""; 0]);
        }
    }

    #[test]
    fn a_caller_has_its_own_credentials_groups_and_process() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let credentials = Credentials::of(&stream).unwrap();
        let [uid, gid] = [
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        ];
        let pid = std::process::id();
        assert_eq!(
            [credentials.uid, credentials.gid, credentials.pid],
            [uid, gid, pid]
        );
        let identity = credentials.identity(&stream);
        let facts = Process::open(pid).unwrap().facts().unwrap();
        assert_eq!(identity.process, Some((pid, facts.started)));
        assert_eq!(identity.groups.first(), Some(&gid));
        assert!(
            facts
                .groups
                .iter()
                .all(|group| identity.groups.contains(group))
        );
        // The same without SO_PEERPIDFD.
        let by_id = process_by_id(&credentials);
        assert_eq!(credentials.identity_of(by_id), identity);
        // A process that did not run yet when the connection was accepted.
        let earlier = Credentials {
            asked: Duration::ZERO,
            ..credentials
        };
        assert!(process_by_id(&earlier).is_none());
        let elsewhere = Credentials {
            pid: 0,
            ..credentials
        };
        let unknown = elsewhere.identity(&stream);
        assert_eq!(
            unknown,
            Identity {
                groups: vec![gid],
                process: None
            }
        );
    }

    #[test]
    fn groups_count_as_long_as_no_user_id_has_changed() {
        let credentials = Credentials {
            uid: 1000,
            gid: 100,
            pid: 1,
            asked: Duration::ZERO,
        };
        let facts = |uids| Facts {
            started: 1,
            uids,
            groups: vec![7, 100],
        };
        assert_eq!(credentials.groups(Some(&facts([1000; 4]))), [100, 7]);
        assert_eq!(credentials.groups(None), [100]);
        for changed in 0..4 {
            let mut uids = [1000; 4];
            uids[changed] = 0;
            assert_eq!(credentials.groups(Some(&facts(uids))), [100]);
        }
    }
}
