//! `c(n)`, the average length of an unsuccessful search in a binary search tree of `n` rows.
//!
//! Liu, Ting, Zhou 2008, equation 1: `c(n) = 2 H(n-1) - 2 (n-1)/n`. It stands in for the part of a path below a leaf
//! that still holds `n` rows, and for the whole path when scores are normalised.

use std::sync::LazyLock;

/// Up to here the harmonic numbers are summed; above, the expansion below is exact to the last few bits.
const EXACT: usize = 4096;
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

static TABLE: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut harmonic = 0.0;
    let mut table = vec![0.0, 0.0];
    for n in 2..=EXACT {
        harmonic += 1.0 / (n - 1) as f64;
        table.push(from_harmonic(n, harmonic));
    }
    table
});

fn from_harmonic(n: usize, harmonic_below: f64) -> f64 {
    2.0 * harmonic_below - 2.0 * (n - 1) as f64 / n as f64
}

/// `c(n)`; 0 for no row or one, 1 for two.
pub(crate) fn average_path_length(n: usize) -> f64 {
    TABLE.get(n).copied().unwrap_or_else(|| {
        let m = (n - 1) as f64;
        from_harmonic(n, m.ln() + EULER_GAMMA + 0.5 / m - 1.0 / (12.0 * m * m))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_those_of_the_definition() {
        assert_eq!(average_path_length(0), 0.0);
        assert_eq!(average_path_length(1), 0.0);
        assert_eq!(average_path_length(2), 1.0);
        assert!((average_path_length(3) - (2.0 * 1.5 - 4.0 / 3.0)).abs() < 1e-15);
        assert!((average_path_length(256) - 10.248_69).abs() < 1e-5);
    }

    #[test]
    fn the_expansion_continues_the_table() {
        let below: f64 = average_path_length(EXACT);
        let above = average_path_length(EXACT + 1);
        let step = 2.0 / EXACT as f64 - 2.0 / (EXACT as f64 * (EXACT + 1) as f64);
        assert!((above - below - step).abs() < 1e-11, "{below} {above}");
    }
}
