//! Now, as clocks and the kernel tell it, and which processes are there.

use crate::daemon::process::started;
use crate::registry::Process;
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Where the kernel tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// One moment of one boot, by every clock that the store reads.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The boot, as the kernel names it.
    pub boot: Uuid,
    /// Since the boot, sleep included (`CLOCK_BOOTTIME`).
    pub uptime: Duration,
    /// By the clock of deadlines.
    pub instant: Instant,
    /// Since 1970.
    pub wall: Duration,
}

impl Moment {
    /// Reads the boot and the clocks.
    ///
    /// # Errors
    /// The system's, where it has no `/proc`.
    pub fn read() -> io::Result<Moment> {
        let boot = fs::read_to_string(BOOT_ID)
            .map_err(|cause| io::Error::new(cause.kind(), format!("{BOOT_ID}: {cause}")))?;
        let boot = Uuid::try_parse(boot.trim())
            .map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))?;
        Moment::in_boot(boot)
    }

    /// Reads the clocks; the boot is known.
    ///
    /// # Errors
    /// The system's.
    pub fn in_boot(boot: Uuid) -> io::Result<Moment> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Moment {
            boot,
            uptime: Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?),
            instant: Instant::now(),
            wall: wall.unwrap_or_default(),
        })
    }

    /// A deadline as milliseconds since the boot.
    pub(super) fn deadline(&self, until: Instant) -> u64 {
        let left = until.saturating_duration_since(self.instant);
        let over = self.instant.saturating_duration_since(until);
        let since_boot = (self.uptime + left).saturating_sub(over);
        u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX)
    }

    /// What is left until a deadline in milliseconds since the boot; `None`
    /// once it is over.
    pub(super) fn until(&self, deadline: u64) -> Option<Instant> {
        let left = Duration::from_millis(deadline).checked_sub(self.uptime)?;
        (!left.is_zero()).then_some(())?;
        self.instant.checked_add(left)
    }

    /// The date and time in UTC: `YYYYMMDD-HHMMSS`.
    ///
    /// # Source
    /// The days of the Gregorian calendar, counted from 1 March of year 0.
    pub(super) fn stamp(&self) -> String {
        let seconds = self.wall.as_secs();
        let days = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = (march_month + 2) % 12 + 1;
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
    }
}

/// Whether a process is there still, itself and not a later one with its id.
///
/// One that ended and was not waited for is not there any more.
pub(super) fn is_there(process: Process) -> bool {
    started(process.pid).is_ok_and(|found| found == Some(process.started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};
    use tempfile::TempDir;

    /// A moment at this second since 1970, two hours after the boot.
    fn at(second: u64) -> Moment {
        Moment {
            boot: Uuid::nil(),
            uptime: Duration::from_secs(7_200),
            instant: Instant::now(),
            wall: Duration::from_secs(second),
        }
    }

    #[test]
    fn a_stamp_is_the_date_and_time_in_utc() {
        assert_eq!(at(0).stamp(), "19700101-000000");
        assert_eq!(at(951_782_399).stamp(), "20000228-235959");
        assert_eq!(at(951_782_400).stamp(), "20000229-000000");
        assert_eq!(at(1_795_379_696).stamp(), "20261122-203456");
        assert_eq!(at(4_107_542_400).stamp(), "21000301-000000");
    }

    #[test]
    fn a_deadline_is_the_same_instant_when_it_comes_back() {
        let moment = at(0);
        let until = moment.instant + Duration::from_secs(30);
        assert_eq!(moment.deadline(until), 7_230_000);
        assert_eq!(moment.until(7_230_000), Some(until));
    }

    #[test]
    fn a_deadline_that_is_over_does_not_come_back() {
        let moment = at(0);
        assert_eq!(moment.until(7_200_000), None);
        assert_eq!(moment.until(0), None);
        let over = moment.instant - Duration::from_millis(1);
        assert_eq!(moment.deadline(over), 7_199_999);
    }

    #[test]
    fn a_process_is_there_with_its_own_start_time_only() {
        let pid = std::process::id();
        let started = started(pid).unwrap().unwrap();
        let process = Process { pid, started };
        assert!(is_there(process));
        let later = Process {
            started: process.started + 1,
            ..process
        };
        assert!(!is_there(later));
    }

    #[test]
    fn a_process_is_there_whatever_octets_its_name_has() {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join(OsStr::from_bytes(b"caf\xc3"));
        symlink("/bin/cat", &program).unwrap();
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let started = started(pid).unwrap().unwrap();
        let process = Process { pid, started };
        assert!(is_there(process));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_there(process));
    }
}
