//! Chance that is the same on every machine.

/// `SplitMix64` (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014).
pub struct Random(u64);

impl Random {
    pub fn new(kind: &str, seed: u64) -> Self {
        // FNV-1a: each kind has its own chance, whatever its place in the list.
        let name = kind
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(name ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, without 0.
    pub fn unit(&mut self) -> f64 {
        (f64::from((self.bits() >> 32) as u32) + 1.0) / 4_294_967_296.0
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// The same on a logarithmic scale.
    pub fn scale(&mut self, low: f64, high: f64) -> f64 {
        low * (self.unit() * (high / low).ln()).exp()
    }

    /// A whole number from `low` to `high - 1`.
    pub fn whole(&mut self, low: usize, high: usize) -> usize {
        low + (self.bits() % (high - low) as u64) as usize
    }

    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() <= share
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// How many events come in an interval that has `mean` of them on average.
    pub fn poisson(&mut self, mean: f64) -> usize {
        // As waits that are exponential, added up; their sum is the logarithm of a product.
        let end = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product >= end {
            product *= self.unit();
            count += 1;
        }
        count
    }
}
