//! Wrong logons of each client: counted, and slowed.
//!
//! A client has a bucket of wrong logons, which fills again one by one. Every
//! leg of an authentication takes one out beforehand, since nobody can know
//! what will come of it, and gives it back unless the logon was refused. Where
//! the bucket is empty the leg waits, the right one like the wrong one: who
//! guesses learns nothing from the time. Clients beyond the most that are told
//! apart share a bucket.

use super::limits::Client;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a leg waits at most; what would wait longer is refused at once.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Clients that have buckets of their own, at most.
const CLIENTS: usize = 16_384;

/// How often full buckets are looked for where there is no room for another.
const SWEEP: Duration = Duration::from_secs(1);

/// The buckets.
#[derive(Debug)]
pub(crate) struct Logons {
    /// Wrong logons that a full bucket holds.
    burst: u32,
    /// How long one takes to come back.
    interval: Duration,
    /// When the bucket of a client will be full; one that is need not be here.
    full: HashMap<Client, Instant>,
    /// When that of all others will be.
    others: Option<Instant>,
    /// When full buckets were last looked for.
    swept: Option<Instant>,
}

/// Too many logons of a client wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// What a leg has taken out of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Whose leg it is.
    client: Client,
    /// When it may be taken.
    pub at: Instant,
}

impl Logons {
    /// Buckets of so many wrong logons, of which one comes back each `interval`.
    pub(crate) fn new(burst: usize, interval: Duration) -> Logons {
        Logons {
            burst: u32::try_from(burst).unwrap_or(u32::MAX).max(1),
            interval,
            full: HashMap::new(),
            others: None,
            swept: None,
        }
    }

    /// Takes one out of the bucket of `client`, and tells when its leg may be
    /// taken.
    ///
    /// # Errors
    /// When that would be after `LONGEST_WAIT`; nothing is taken then.
    pub(crate) fn enter(&mut self, now: Instant, client: Client) -> Result<Ticket, TooMany> {
        let (interval, room) = (self.interval, self.interval.saturating_mul(self.burst));
        let full = self.bucket(now, client);
        let after = (*full).max(now) + interval;
        let wait = after.duration_since(now).saturating_sub(room);
        if wait > LONGEST_WAIT {
            return Err(TooMany);
        }
        *full = after;
        let at = now + wait;
        Ok(Ticket { client, at })
    }

    /// Gives back what a leg took that was no wrong logon.
    pub(crate) fn give_back(&mut self, now: Instant, ticket: Ticket) {
        let interval = self.interval;
        let full = self.bucket(now, ticket.client);
        *full = full.checked_sub(interval).unwrap_or(now);
        if *full <= now {
            self.full.remove(&ticket.client);
        }
    }

    /// When the bucket of a client is full.
    fn bucket(&mut self, now: Instant, client: Client) -> &mut Instant {
        let is_time = |swept| now.saturating_duration_since(swept) >= SWEEP;
        if self.full.len() >= CLIENTS && self.swept.is_none_or(is_time) {
            self.swept = Some(now);
            self.full.retain(|_, full| *full > now);
        }
        if self.full.len() < CLIENTS || self.full.contains_key(&client) {
            self.full.entry(client).or_insert(now)
        } else {
            self.others.get_or_insert(now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const SECOND: Duration = Duration::from_secs(1);

    /// The client of a number.
    fn client(number: u32) -> Client {
        Client::Network(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    /// How long each of `count` legs of a client waits.
    fn waits(logons: &mut Logons, now: Instant, client: Client, count: usize) -> Vec<u64> {
        let wait = |_| logons.enter(now, client).unwrap().at - now;
        (0..count).map(wait).map(|wait| wait.as_secs()).collect()
    }

    #[test]
    fn wrong_logons_beyond_the_first_few_wait_for_each_other() {
        let (mut logons, now) = (Logons::new(3, SECOND), Instant::now());
        let waited = waits(&mut logons, now, client(1), 6);
        assert_eq!(waited, [0, 0, 0, 1, 2, 3]);
        // Nobody else does.
        assert_eq!(waits(&mut logons, now, client(2), 1), [0]);
        assert_eq!(waits(&mut logons, now, Client::User(1), 1), [0]);
    }

    #[test]
    fn time_gives_them_back() {
        let (mut logons, now) = (Logons::new(3, SECOND), Instant::now());
        waits(&mut logons, now, client(1), 5);
        let later = now + 3 * SECOND;
        assert_eq!(waits(&mut logons, later, client(1), 3), [0, 1, 2]);
        let much_later = now + 100 * SECOND;
        assert_eq!(waits(&mut logons, much_later, client(1), 4), [0, 0, 0, 1]);
    }

    #[test]
    fn right_logons_cost_nothing() {
        let (mut logons, now) = (Logons::new(2, SECOND), Instant::now());
        for _ in 0..1000 {
            let ticket = logons.enter(now, client(1)).unwrap();
            assert_eq!(ticket.at, now);
            logons.give_back(now, ticket);
        }
        assert!(logons.full.is_empty());
    }

    #[test]
    fn a_right_logon_does_not_give_back_the_wrong_ones() {
        let (mut logons, now) = (Logons::new(2, SECOND), Instant::now());
        waits(&mut logons, now, client(1), 2);
        let right = logons.enter(now, client(1)).unwrap();
        assert_eq!(right.at, now + SECOND);
        logons.give_back(right.at, right);
        // One of the two wrong ones is back by then.
        assert_eq!(waits(&mut logons, right.at, client(1), 2), [0, 1]);
    }

    #[test]
    fn what_would_wait_too_long_is_refused_and_takes_nothing() {
        let (mut logons, now) = (Logons::new(1, SECOND), Instant::now());
        let waiting = usize::try_from(LONGEST_WAIT.as_secs()).unwrap();
        waits(&mut logons, now, client(1), 1 + waiting);
        for _ in 0..100 {
            assert_eq!(logons.enter(now, client(1)), Err(TooMany));
        }
        let later = now + SECOND;
        assert_eq!(waits(&mut logons, later, client(1), 1), [10]);
    }

    #[test]
    fn clients_beyond_the_most_share_a_bucket_until_others_are_forgotten() {
        let (mut logons, now) = (Logons::new(2, SECOND), Instant::now());
        let clients = u32::try_from(CLIENTS).unwrap();
        for number in 0..2 * clients {
            let _ = logons.enter(now, client(number));
        }
        assert_eq!(logons.full.len(), CLIENTS);
        assert_eq!(logons.enter(now, client(3 * clients)), Err(TooMany));
        // Who has a bucket of its own has it still.
        assert_eq!(waits(&mut logons, now, client(0), 2), [0, 1]);
        let later = now + 60 * SECOND;
        assert_eq!(waits(&mut logons, later, client(3 * clients), 2), [0, 0]);
        assert!(logons.full.len() < 10);
    }
}
