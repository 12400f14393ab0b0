//! From the start to the end of the daemon.

use super::accounts::{AccountsError, LiveAccounts};
use super::addresses::Addresses;
use super::args::{self, Args};
use super::config::{Config, ConfigError, DEFAULT_LISTEN, Loaded, Mistake, listener};
use super::keep::{self, State, Writer};
use super::lives::Lives;
use super::log;
use super::privilege::{Account, PrivilegeError};
use super::process;
use super::providers::{access, providers};
use super::store::{Restored, StoreError};
use crate::host;
use crate::registry::{self, Entry, Owner, Process, RegistryError, TableLimits};
use crate::server::{Mapper, MapperSettings};
use crate::transport::{ListenCause, ListenError, Listener};
use crate::wire::SyntaxId;
use crate::wire::binding::{Binding, BindingError};
use crate::wire::tower::{ProtocolSequence, TowerBuf};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};
use uuid::Uuid;

/// How long running calls may take to be answered once the daemon is to end;
/// with what comes before and after it is over within 5 s.
const GRACE: Duration = Duration::from_secs(4);

/// Descriptors besides connections, probes and processes: root's connections beyond all, listeners, standard
/// streams, the runtimes', the store's.
const OTHER_DESCRIPTORS: u64 = 96;

/// Processes that are watched by a descriptor, at most, and at most one for so
/// many descriptors; others are looked at once a second.
const WATCHED_PROCESSES: (u64, u64) = (1024, 8);

/// What people read of the mapper's own entries.
const OWN_ANNOTATION: &[u8] = b"Endpoint mapper";

/// Why the daemon did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The user to become.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// Who may log on.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Kerberos.
    #[cfg(feature = "kerberos")]
    #[error(transparent)]
    Kerberos(#[from] crate::security::kerberos::KerberosError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// What is kept of registrations.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More listeners and endpoints than the limit.
    #[error("the entries of listeners and endpoints do not fit: {0}; raise `limits.entries`")]
    Registry(#[from] RegistryError),
    /// A listener that cannot be said as a tower.
    #[error("cannot register the mapper itself: {0}")]
    Own(#[from] BindingError),
    /// The server.
    #[error(transparent)]
    Server(#[from] host::StartError),
    /// The system, while the runtime is made or watches a socket.
    #[error("{0}")]
    System(#[from] io::Error),
    /// Standard output, when something was to be printed.
    #[error("cannot write to standard output: {0}")]
    Print(io::Error),
    /// The configuration has no TOML form.
    #[error("cannot show the configuration: {0}")]
    Show(#[from] toml::ser::Error),
}

/// Does what the command line says; serving returns when it is told to end.
///
/// # Errors
/// What keeps the daemon from starting.
pub fn start(args: Args) -> Result<(), StartError> {
    if let Some(document) = args.document()? {
        return args::print(&document).map_err(StartError::Print);
    }
    let Loaded { config, doubts } = Config::load(&args)?;
    if args.check_config {
        for doubt in &doubts {
            args::tell(&format!("warning: {doubt}"));
        }
        let shown = config.to_toml()?;
        return args::print(shown.as_bytes()).map_err(StartError::Print);
    }
    serve(args, config, &doubts)
}

/// Takes what only root may take, gives up being root, then serves.
fn serve(args: Args, config: Config, doubts: &[Mistake]) -> Result<(), StartError> {
    #[cfg(feature = "kerberos")]
    super::kerberos::prepare(&config)?;
    let account = config.user.as_deref().map(Account::find).transpose()?;
    if let Some(account) = &account {
        account.within_reach()?;
    }
    // Before the change of user: the folder of a local socket may be root's.
    let bind = |binding: &Binding| Listener::bind(binding, config.socket);
    let (listeners, missing) = listen(&config.listen, bind)?;
    let descriptors = raise_descriptors();
    // Before the change of user as well: the file may be root's alone.
    let user = account.as_ref().map(|account| account.ids().0);
    let open = |path: &PathBuf| LiveAccounts::open(path, user).map(Arc::new);
    let accounts = config.security.accounts.as_ref().map(open).transpose()?;
    if let Some(account) = &account {
        keep::make_folder(config.state.as_deref(), account);
        account.assume()?;
    }
    log::init(config.log_format, config.log_level);
    let (state, restored) = State::open(config.state.as_deref())?;
    let (daemon, processes) = Daemon::new(args, config, accounts, &listeners, &state, restored)?;
    let daemon = Arc::new(daemon);
    let bindings = Vec::from_iter(listeners.iter().map(Listener::binding));
    let server = daemon.server(listeners)?;

    // One thread serves: stealing work from each other costs more than it brings
    // (docs/decisions/0003-one-worker.md). Reloads and signals have others.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let signals = Signals::catch()?;
        for binding in &bindings {
            args::tell(&format!("listening on {binding}"));
        }
        doubts.iter().for_each(warn_of);
        missing.iter().for_each(|missing| warn!("{missing}"));
        daemon.warn_of_unknown_accounts();
        daemon.warn_of_descriptors(descriptors);
        warn_of_hidden_processes();
        let writer = Writer::start(&daemon.mapper, state)?;
        let _lives = daemon.watch_over(processes, descriptors)?;
        // Kept until all is written: who waits for that may still be answered.
        let mut server = server.start().await?;
        let ended = daemon.run(&mut server, signals).await;
        writer.end().await;
        ended
    });
    // Whoever has not got an answer by now will not get one.
    runtime.shutdown_background();
    result
}

/// Listens on what was asked for, or where the daemon listens by default; then
/// errors say what the host does not have: IPv6, or a place for a local socket.
///
/// # Errors
/// The first listener that cannot be.
fn listen(
    asked: &[Binding],
    bind: impl Fn(&Binding) -> Result<Listener, ListenError>,
) -> Result<(Vec<Listener>, Vec<ListenError>), ListenError> {
    if !asked.is_empty() {
        let listeners: Result<_, _> = asked.iter().map(bind).collect();
        return Ok((listeners?, Vec::new()));
    }
    let mut listeners = Vec::new();
    let mut missing = Vec::new();
    for binding in DEFAULT_LISTEN.iter().filter_map(|text| listener(text).ok()) {
        match bind(&binding) {
            Ok(listener) => listeners.push(listener),
            Err(error) if can_do_without(&binding, &error.cause) => missing.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((listeners, missing))
}

/// Whether the daemon goes without one of its default listeners.
fn can_do_without(binding: &Binding, cause: &ListenCause) -> bool {
    binding.protseq == ProtocolSequence::Ncalrpc || matches!(cause, ListenCause::NoIpv6)
}

/// The mapper's own entries: one for each endpoint that a client can be told.
///
/// A local socket is told by the name of its file, as Samba does: where the
/// folder is, whoever asks knows.
fn own_entries(listeners: &[Listener]) -> Result<Vec<Entry>, StartError> {
    let mut entries: Vec<Entry> = Vec::new();
    for listener in listeners {
        let mut binding = listener.told();
        if let Listener::Unix(listener) = listener {
            binding.endpoint = listener.name();
        }
        let tower = TowerBuf::from_binding(SyntaxId::EPT, SyntaxId::NDR, &binding)?;
        let entry = Entry::new(Uuid::nil(), tower.octets(), OWN_ANNOTATION, Owner::Mapper)?;
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// How many processes are watched by a descriptor where there are so many.
fn watched_processes(descriptors: Option<u64>) -> u64 {
    let (most, share) = WATCHED_PROCESSES;
    descriptors.map_or(most, |count| most.min(count / share))
}

/// What a mapper needs to know of the configuration.
fn mapper_settings(config: &Config) -> MapperSettings {
    let addresses = Addresses::new();
    let (limits, probe) = (&config.limits, &config.probe);
    MapperSettings {
        preferred: config.preferred_transfer_syntax(),
        limits: TableLimits {
            entries: limits.entries,
            per_owner: limits.entries_per_owner,
            per_interface: limits.entries_per_interface,
            octets: limits.entry_octets,
        },
        policy: config.policy.clone(),
        access: access(&config.security),
        changes_per_second: limits.changes_per_second,
        refusals_per_second: limits.refusals_per_second,
        is_here: Box::new(move |address| addresses.is_here(address)),
        probe: registry::ProbeSettings {
            interval: probe.interval,
            timeout: probe.timeout,
            failures: u32::try_from(probe.failures).unwrap_or(u32::MAX),
            at_once: probe.at_once,
        },
        probes_foreign: probe.foreign,
        leases: limits.shortest_lease..=limits.longest_lease,
        ..MapperSettings::new(config.conversation, limits.entries)
    }
}

/// Allows as many open files as the system lets this process have, and tells
/// how many that is; the usual 1,024 are for programs that use `select`.
fn raise_descriptors() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        Err(_) => Some(soft),
    }
}

/// Logs one thing that the configuration says without effect.
fn warn_of(doubt: &Mistake) {
    let Mistake {
        path,
        line,
        key,
        problem,
    } = doubt;
    warn!(file = %path.display(), line, key, "{problem}");
}

/// Warns when processes of other users cannot be seen.
fn warn_of_hidden_processes() {
    if process::others_are_hidden() {
        warn!(
            "/proc hides the processes of other users from this daemon: of their groups rules see the primary one alone, they cannot \
             register with the life of a process, and such entries do not come back at the next start; \
             mount /proc with gid= a group of the daemon's user, or without hidepid"
        );
    }
}

/// Logs why a configuration is not taken, one event for each mistake.
fn log_refusal(error: &ConfigError) {
    let ConfigError::Mistaken { told, untold } = error else {
        error!("{error}");
        return;
    };
    for Mistake {
        path,
        line,
        key,
        problem,
    } in told
    {
        error!(file = %path.display(), line, key, "{problem}");
    }
    if *untold > 0 {
        error!("and {untold} more");
    }
}

/// The signals that the daemon heeds.
struct Signals {
    /// SIGTERM.
    terminate: Signal,
    /// SIGINT.
    interrupt: Signal,
    /// SIGHUP.
    hangup: Signal,
}

/// What a signal asks for.
enum Wish {
    /// To end.
    End,
    /// To read the endpoints again.
    Reload,
}

impl Signals {
    /// Takes them from the system; before this they end the process.
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

/// Waits for a reload to finish, for ever when there is none.
async fn finished(reloading: &mut Option<JoinHandle<()>>) {
    match reloading {
        // A reload that panicked has changed nothing; the log has it.
        Some(reload) => drop(reload.await),
        None => std::future::pending().await,
    }
}

/// Processes whose end is that of entries.
type Told = mpsc::UnboundedReceiver<Process>;

/// A mapper with the configuration that it follows.
struct Daemon {
    /// Where the configuration is read from, and what goes before it.
    args: Args,
    /// The configuration of the start.
    config: Config,
    /// The registry and what answers from it.
    mapper: Arc<Mapper>,
    /// Who may log on.
    accounts: Option<Arc<LiveAccounts>>,
}

impl Daemon {
    /// A mapper that has the listeners' and the configuration's entries.
    fn new(
        args: Args,
        config: Config,
        accounts: Option<Arc<LiveAccounts>>,
        listeners: &[Listener],
        state: &State,
        restored: Option<Restored>,
    ) -> Result<(Daemon, Told), StartError> {
        let mut settings = mapper_settings(&config);
        settings.is_stored = state.is_stored();
        settings.object = restored
            .as_ref()
            .map_or(settings.object, |restored| restored.object);
        let (mapper, processes) = Mapper::new(settings);
        if let Some(Restored {
            entries, leases, ..
        }) = restored
        {
            mapper.restore(entries, &leases);
        }
        mapper.replace_owned(Owner::Mapper, own_entries(listeners)?)?;
        mapper.replace_owned(Owner::Configuration, config.entries())?;
        let daemon = Daemon {
            args,
            config,
            mapper,
            accounts,
        };
        Ok((daemon, processes))
    }

    /// The server of the mapper's interfaces, which is yet to start.
    fn server(&self, listeners: Vec<Listener>) -> Result<host::Builder, StartError> {
        let (config, mapper) = (&self.config, &self.mapper);
        #[cfg(feature = "kerberos")]
        let kerberos = super::kerberos::mechanism(config)?;
        #[cfg(not(feature = "kerberos"))]
        let kerberos = None;
        let mut server = host::Server::builder()
            .limits(config.limits.clone())
            .statistics(mapper.statistics())
            .unregistered()
            .grace(GRACE);
        for interface in mapper.interfaces() {
            server = server.offer(interface);
        }
        for interface in mapper.local_interfaces() {
            server = server.offer_locally(interface);
        }
        for provider in providers(&config.security, self.accounts.clone(), kerberos) {
            server = server.authenticate(provider);
        }
        Ok(listeners.into_iter().fold(server, host::Builder::listener))
    }

    /// Watches over the lives of entries, for as long as what it returns is
    /// there.
    fn watch_over(&self, processes: Told, descriptors: Option<u64>) -> io::Result<Lives> {
        let at_once = self.config.probe.at_once;
        let watched = usize::try_from(watched_processes(descriptors)).unwrap_or(usize::MAX);
        Lives::start(&self.mapper, processes, watched, at_once)
    }

    /// Serves until a signal ends it.
    async fn run(
        self: Arc<Self>,
        server: &mut host::Server,
        mut signals: Signals,
    ) -> Result<(), StartError> {
        info!(
            entries = self.mapper.len(),
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        let mut reloading = None;
        let mut again = false;
        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::End => break,
                    Wish::Reload if reloading.is_some() => again = true,
                    Wish::Reload => reloading = Some(self.reload_aside()),
                },
                () = finished(&mut reloading) => {
                    reloading = std::mem::take(&mut again).then(|| self.reload_aside());
                }
                error = server.failed() => return Err(error.into()),
            }
        }
        info!(connections = server.connections(), "ending");
        match server.drain().await {
            0 => info!("ended"),
            connections => warn!(connections, "ended with connections open"),
        }
        Ok(())
    }

    /// Reloads on a thread for work that takes its time: a large file must
    /// hold up neither connections nor a signal to end.
    fn reload_aside(self: &Arc<Self>) -> JoinHandle<()> {
        let daemon = self.clone();
        spawn_blocking(move || daemon.reload())
    }

    /// Reads the accounts and the configuration's endpoints again, and nothing
    /// else of it.
    fn reload(&self) {
        if let Some(accounts) = &self.accounts {
            accounts.read_again();
        }
        let Some(path) = &self.args.config else {
            warn!("there is no configuration file to read again");
            return;
        };
        match Config::load(&self.args) {
            Ok(loaded) => self.take_over(loaded),
            Err(error) => {
                log_refusal(&error);
                error!(file = %path.display(), "configuration not taken; everything stays as it was");
            }
        }
    }

    /// Puts the endpoints of a configuration in place of those before.
    fn take_over(&self, Loaded { config, doubts }: Loaded) {
        doubts.iter().for_each(warn_of);
        for key in self.config.changed_keys(&config) {
            warn!(
                key,
                "changed in the configuration; takes effect with the next start"
            );
        }
        let entries = config.entries();
        match self.mapper.replace_owned(Owner::Configuration, entries) {
            Ok(changed) => info!(
                added = changed.added,
                removed = changed.removed,
                kept = changed.kept,
                "endpoints read again"
            ),
            Err(error) => error!("configuration not taken: {error}; everything stays as it was"),
        }
    }

    /// Warns of accounts that rules speak of and nobody has.
    fn warn_of_unknown_accounts(&self) {
        let Some(accounts) = &self.accounts else {
            return;
        };
        for name in accounts.current().unknown(&self.config.policy.rules) {
            let file = accounts.path().display();
            warn!(%file, account = name, "a rule speaks of an account that the accounts file has not");
        }
    }

    /// Warns when the system allows fewer files than connections are allowed.
    fn warn_of_descriptors(&self, descriptors: Option<u64>) {
        let connections = self.config.limits.connections;
        let probes = self.config.probe.at_once as u64;
        let others = OTHER_DESCRIPTORS + probes + watched_processes(descriptors);
        let most = descriptors.map_or(u64::MAX, |count| count.saturating_sub(others));
        if (connections as u64) > most {
            warn!(
                limit = "connections",
                connections, most, "the system allows fewer open files (RLIMIT_NOFILE)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::unix::{Access, FOLDER};
    use tempfile::TempDir;

    fn bind(text: &str) -> Listener {
        Listener::bind(&text.parse().unwrap(), Access::default()).unwrap()
    }

    /// A host without IPv6 and a place for local sockets, and with its ports taken otherwise than the test
    /// could take them.
    fn bind_poorly(binding: &Binding) -> Result<Listener, ListenError> {
        let cause = match binding.protseq {
            ProtocolSequence::Ncalrpc => ListenCause::NoFolder(FOLDER.into()),
            _ if binding.address.contains(':') => ListenCause::NoIpv6,
            _ => return Ok(bind("ncacn_ip_tcp:127.0.0.1[0]")),
        };
        let binding = binding.to_string();
        Err(ListenError { binding, cause })
    }

    fn port(listener: &Listener) -> u16 {
        listener.binding().endpoint.parse().unwrap()
    }

    #[test]
    fn the_default_goes_without_ipv6_and_local_sockets_and_says_so() {
        let (listeners, missing) = listen(&[], bind_poorly).unwrap();
        assert_eq!(listeners.len(), 1);
        let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
        let told = [
            "cannot listen on ncacn_ip_tcp:::[135]: this host has no IPv6; listen on an IPv4 address",
            "cannot listen on ncalrpc:[/run/epmapper/EPMAPPER]: there is no folder /run/epmapper; \
             make it, or listen elsewhere",
        ];
        assert_eq!(missing, told);
    }

    #[test]
    fn a_listener_that_was_asked_for_and_cannot_be_is_an_error() {
        for text in &DEFAULT_LISTEN[1..] {
            let asked = [text.parse().unwrap()];
            assert!(listen(&asked, bind_poorly).is_err(), "{text}");
        }
    }

    #[test]
    fn the_mapper_registers_what_a_client_can_be_told() {
        let tower = |text: &str| {
            let binding = text.parse().unwrap();
            let tower = TowerBuf::from_binding(SyntaxId::EPT, SyntaxId::NDR, &binding).unwrap();
            tower.octets().to_vec()
        };
        let all = bind("ncacn_ip_tcp:0.0.0.0[0]");
        let one = bind("ncacn_ip_tcp:127.0.0.1[0]");
        let [all_port, one_port] = [&all, &one].map(port);
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("EPMAPPER");
        let local = bind(&format!("ncalrpc:[{}]", path.display()));
        let mut listeners = vec![all, one, local];
        // A host without IPv6 shows the rest.
        let ipv6 = format!("ncacn_ip_tcp:::[{all_port}]").parse().unwrap();
        listeners.extend(Listener::bind(&ipv6, Access::default()));
        let entries = own_entries(&listeners).unwrap();
        let towers: Vec<_> = entries.iter().map(|entry| entry.tower().to_vec()).collect();
        let expected = [
            tower(&format!("ncacn_ip_tcp:[{all_port}]")),
            tower(&format!("ncacn_ip_tcp:127.0.0.1[{one_port}]")),
            tower("ncalrpc:[EPMAPPER]"),
        ];
        assert_eq!(towers, expected);
        assert!(entries.iter().all(|entry| *entry.owner() == Owner::Mapper));
    }
}
