//! `wasi:random`: the machine's randomness, or one that repeats for the same seed.

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

/// Most random bytes that one call may ask for.
const MAX_BYTES: u64 = 64 << 10;

/// Where a guest's randomness comes from.
#[derive(Debug)]
pub(crate) enum Entropy {
    /// The operating system.
    System,
    /// The state of a SplitMix64 generator: the same seed gives the same bytes.
    Seeded(u64),
}

impl Entropy {
    fn next(&mut self) -> wasmtime::Result<u64> {
        match self {
            Self::System => Ok(getrandom::u64().map_err(wasmtime::Error::new)?),
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                Ok(z ^ (z >> 31))
            }
        }
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        wasmtime::ensure!(len <= MAX_BYTES, "asked for {len} random bytes at once; {MAX_BYTES} is the most");
        let mut bytes = vec![0; usize::try_from(len)?];
        match self {
            Self::System => getrandom::fill(&mut bytes).map_err(wasmtime::Error::new)?,
            Self::Seeded(_) => {
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&self.next()?.to_le_bytes()[..chunk.len()]);
                }
            }
        }
        Ok(bytes)
    }
}

impl random::Host for Entropy {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.next()
    }
}

impl insecure::Host for Entropy {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.next()
    }
}

impl insecure_seed::Host for Entropy {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.next()?, self.next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (mut a, mut b) = (Entropy::Seeded(7), Entropy::Seeded(7));
        assert_eq!(a.bytes(13).unwrap(), b.bytes(13).unwrap());
        assert_ne!(a.bytes(13).unwrap(), Entropy::Seeded(8).bytes(13).unwrap());
    }

    #[test]
    fn a_huge_wish_is_a_trap() {
        assert!(Entropy::System.bytes(MAX_BYTES + 1).is_err());
    }
}
