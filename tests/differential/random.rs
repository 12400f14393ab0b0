//! Numbers that look random and are the same for the same seed (splitmix64).

/// A source of numbers.
pub struct Random(u64);

impl Random {
    /// The numbers of one seed and one conversation.
    pub fn new(seed: u64, number: u64) -> Random {
        let mut random = Random(seed);
        random.0 = random.next() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        random
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of some items.
    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    /// One of some items, each as often as its weight says.
    pub fn weighted<T: Clone>(&mut self, items: &[(usize, T)]) -> T {
        let all = items.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(all);
        for (weight, item) in items {
            match at.checked_sub(*weight) {
                None => return item.clone(),
                Some(rest) => at = rest,
            }
        }
        unreachable!("{at} is below the sum of the weights")
    }

    /// Some octets.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
