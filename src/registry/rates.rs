//! How fast something may happen, for each of those who make it happen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a rate is told for.
const SECOND: Duration = Duration::from_secs(1);

/// Buckets that may be there before full ones are first looked for.
const FEW: usize = 1024;

/// A rate for each key: a bucket that a second fills.
///
/// Who asks for more at once than a second allows gets it from a full bucket,
/// and waits longer then. Keys whose bucket is full again are forgotten.
#[derive(Clone, Debug)]
pub struct Rates<K> {
    per_second: usize,
    most: usize,
    /// How many buckets there may be before full ones are looked for: twice as
    /// many as were left the last time, so that looking costs little.
    many: usize,
    buckets: BTreeMap<K, Bucket>,
}

/// When a bucket will be full again.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full: Instant,
}

impl<K: Ord> Rates<K> {
    /// So much a second for each of at most `most` keys at a time.
    pub fn new(per_second: usize, most: usize) -> Rates<K> {
        Rates {
            per_second: per_second.max(1),
            most: most.max(1),
            many: FEW,
            buckets: BTreeMap::new(),
        }
    }

    /// Whether `key` may have `count` more at `now`; then it has them.
    ///
    /// A key that is one too many may not.
    pub fn take(&mut self, now: Instant, key: K, count: usize) -> bool {
        // An empty bucket is full in a second.
        if self.full(now, &key).duration_since(now) + self.cost() > SECOND
            || !self.has_room(now, &key)
        {
            return false;
        }
        self.pay(now, key, count);
        true
    }

    /// Has `key` pay for `count` more that it had already.
    pub fn pay(&mut self, now: Instant, key: K, count: usize) {
        if count > 0 && self.has_room(now, &key) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let full = self.full(now, &key) + self.cost().saturating_mul(count);
            self.buckets.insert(key, Bucket { full });
        }
    }

    /// When the bucket of `key` is full.
    fn full(&self, now: Instant, key: &K) -> Instant {
        let full = self.buckets.get(key).map_or(now, |bucket| bucket.full);
        full.max(now)
    }

    /// How long one takes.
    fn cost(&self) -> Duration {
        SECOND / u32::try_from(self.per_second).unwrap_or(u32::MAX)
    }

    /// Whether there is room for the bucket of `key`.
    fn has_room(&mut self, now: Instant, key: &K) -> bool {
        if self.buckets.contains_key(key) {
            return true;
        }
        if self.buckets.len() >= self.most.min(self.many) {
            self.buckets.retain(|_, bucket| bucket.full > now);
            self.many = FEW.max(self.buckets.len().saturating_mul(2));
        }
        self.buckets.len() < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_brings_what_a_second_allows() {
        let (start, mut rates) = (Instant::now(), Rates::new(3, 8));
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut takes = |milliseconds| rates.take(at(milliseconds), 'a', 1);
        assert_eq!([0, 0, 0, 0].map(&mut takes), [true, true, true, false]);
        assert_eq!([332, 334, 334].map(takes), [false, true, false]);
        assert!(rates.take(at(334), 'b', 1), "another key has its own");
    }

    #[test]
    fn keys_whose_bucket_is_full_again_are_forgotten_however_many_may_be() {
        let (start, mut rates) = (Instant::now(), Rates::new(1000, usize::MAX));
        for key in 0..100_000u32 {
            let now = start + Duration::from_micros(100) * key;
            assert!(rates.take(now, key, 1));
            assert!(rates.buckets.len() <= FEW, "ten at a time are not full");
        }
    }

    #[test]
    fn more_than_a_second_allows_is_paid_for_later() {
        let (start, mut rates) = (Instant::now(), Rates::new(10, 8));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(rates.take(at(0), 'a', 50));
        assert_eq!(
            [1, 3, 4, 5].map(|seconds| rates.take(at(seconds), 'a', 1)),
            [false, false, false, true]
        );
    }

    #[test]
    fn what_was_had_already_is_paid_for_though_the_bucket_is_empty() {
        let (start, mut rates) = (Instant::now(), Rates::new(10, 8));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(rates.take(at(0), 'a', 10));
        rates.pay(at(0), 'a', 20);
        assert_eq!(
            [1, 2, 3].map(|seconds| rates.take(at(seconds), 'a', 1)),
            [false, false, true]
        );
        rates.pay(at(9), 'b', 0);
        assert_eq!(rates.buckets.len(), 1, "nothing is no debt");
    }

    #[test]
    fn keys_are_bounded_and_forgotten_when_they_rest() {
        let (start, mut rates) = (Instant::now(), Rates::new(1, 2));
        assert!(rates.take(start, 1, 1) && rates.take(start, 2, 1));
        assert!(!rates.take(start, 3, 1));
        assert!(rates.take(start + Duration::from_secs(1), 3, 1));
        assert_eq!(rates.buckets.len(), 1);
    }
}
