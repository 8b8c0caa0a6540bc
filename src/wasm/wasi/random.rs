//! Numbers that look random and follow from what the component was told: SHA-256 in counter mode.

use sha2::{Digest as _, Sha256};

/// Most bytes of one call: what a component may hand over in one, too.
const MOST: u64 = 64 << 10;

/// An endless sequence of bytes.
pub(super) struct Numbers {
    keyed: Sha256,
    block: [u8; 32],
    used: usize,
    blocks: u64,
}

impl Numbers {
    /// Another `name` over the same `seed` is another sequence.
    pub(super) fn new(seed: &[u8], name: &str) -> Self {
        let keyed = Sha256::new().chain_update(name.as_bytes()).chain_update([0]).chain_update(seed);
        Self { keyed, block: [0; 32], used: 32, blocks: 0 }
    }

    fn next(&mut self) -> u8 {
        if self.used >= self.block.len() {
            self.block = self.keyed.clone().chain_update(self.blocks.to_be_bytes()).finalize().into();
            self.blocks += 1;
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        byte
    }

    pub(super) fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > MOST {
            return Err(wasmtime::Error::msg(format!("{len} random bytes at once; at most {MOST} are given")));
        }
        Ok((0..len).map(|_| self.next()).collect())
    }

    pub(super) fn number(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.next()))
    }
}
