//! Which version of a component is used: the rules, pure.
//!
//! What the ledger says was accepted stays in use until somebody who may says otherwise; a file in a folder is a wish.

use crate::model::{ActionKind, Digest};

/// What is known of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Case {
    /// The version that lies in the operator's folder.
    pub file: Option<Digest>,
    /// There is a file, and it does not load.
    pub broken: bool,
    /// The version that is part of the binary.
    pub stock: Option<Digest>,
    /// The version that the ledger says is in use.
    pub accepted: Option<Digest>,
    /// What `[plugins.pins]` says.
    pub pin: Option<Digest>,
    /// Are only pinned files taken?
    pub require_pins: bool,
    /// What the file imports and no grant allows.
    pub missing: Vec<ActionKind>,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// This version is used.
    Use {
        /// Which.
        digest: Digest,
        /// It was not the accepted one, and a pin says that it is to be.
        by_pin: bool,
    },
    /// The file waits for an admin; the accepted version is used.
    Hold {
        /// The version that waits.
        file: Digest,
        /// The version that is used.
        accepted: Digest,
    },
    /// The file is not taken, nor can it be accepted before the config changes.
    Refuse {
        /// Why.
        why: Refused,
        /// What is used instead.
        instead: Option<Digest>,
    },
    /// The file does not load, and there is nothing to be used instead.
    Broken,
    /// There is nothing of this name.
    Gone,
}

/// Why a version cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The config pins another one.
    OtherPin {
        /// What is there.
        found: Digest,
        /// What the config says.
        pinned: Digest,
    },
    /// The config takes only what it pins.
    NotPinned(Digest),
    /// It imports what nobody granted.
    NotGranted,
}

/// Does the config speak for this version, or at least not against it? What is in the binary needs no pin.
pub(super) fn pins_allow(pin: Option<Digest>, require_pins: bool, is_stock: bool, digest: Digest) -> bool {
    pin.map_or(!require_pins || is_stock, |pinned| pinned == digest)
}

/// Decides one case.
pub(super) fn judge(case: &Case) -> Judgement {
    let Case { file, broken, stock, accepted, pin, require_pins, missing } = case;
    if *broken {
        // Whatever was in use goes on, where the config does not speak against it.
        let may = |digest: &Digest| pins_allow(*pin, *require_pins, *stock == Some(*digest), *digest);
        return match [*accepted, *stock].into_iter().flatten().find(may) {
            Some(digest) => Judgement::Use { digest, by_pin: false },
            None => Judgement::Broken,
        };
    }
    // A copy of the built-in one is the built-in one: without a grant it lies idle.
    let Some(file) = file.filter(|file| *stock != Some(*file)) else {
        return match (*stock, *pin) {
            (Some(found), Some(pinned)) if found != pinned => {
                Judgement::Refuse { why: Refused::OtherPin { found, pinned }, instead: None }
            }
            (Some(digest), _) => Judgement::Use { digest, by_pin: false },
            (None, _) => Judgement::Gone,
        };
    };
    let is_new = *accepted != Some(file);
    match *pin {
        Some(pinned) if pinned != file => {
            // The pin is the operator's own word for the other one.
            return match [*accepted, *stock].into_iter().flatten().find(|digest| *digest == pinned) {
                Some(accepted) => Judgement::Hold { file, accepted },
                None => Judgement::Refuse { why: Refused::OtherPin { found: file, pinned }, instead: None },
            };
        }
        None if *require_pins => return Judgement::Refuse { why: Refused::NotPinned(file), instead: *stock },
        _ => {}
    }
    match *accepted {
        // What was accepted is not replaced by what merely lies there.
        Some(accepted) if is_new && pin.is_none() => Judgement::Hold { file, accepted },
        _ if !missing.is_empty() => {
            Judgement::Refuse { why: Refused::NotGranted, instead: accepted.filter(|_| is_new && pin.is_none()) }
        }
        _ => Judgement::Use { digest: file, by_pin: is_new && accepted.is_some() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Option<Digest> {
        Some(Digest::of(text.as_bytes()))
    }

    fn case(file: Option<Digest>, stock: Option<Digest>, accepted: Option<Digest>) -> Case {
        Case { file, stock, accepted, ..Case::default() }
    }

    fn uses(digest: &str) -> Judgement {
        Judgement::Use { digest: d(digest).unwrap(), by_pin: false }
    }

    fn holds(file: &str, accepted: &str) -> Judgement {
        Judgement::Hold { file: d(file).unwrap(), accepted: d(accepted).unwrap() }
    }

    #[test]
    fn the_first_of_a_name_is_taken_and_another_one_is_held() {
        assert_eq!(judge(&case(d("a"), None, None)), uses("a"));
        assert_eq!(judge(&case(d("a"), None, d("a"))), uses("a"));
        assert_eq!(judge(&case(d("b"), None, d("a"))), holds("b", "a"));
        assert_eq!(judge(&case(None, None, d("a"))), Judgement::Gone);
        assert_eq!(judge(&case(None, None, None)), Judgement::Gone);
    }

    #[test]
    fn stock_components_change_with_the_binary_and_a_file_in_their_place_is_held() {
        assert_eq!(judge(&case(None, d("s2"), d("s1"))), uses("s2"));
        assert_eq!(judge(&case(d("a"), d("s"), d("s"))), holds("a", "s"));
        assert_eq!(judge(&case(d("a"), d("s"), None)), uses("a"), "the first life of all");
        assert_eq!(judge(&case(d("a"), d("s"), d("a"))), uses("a"));
        assert_eq!(judge(&case(None, d("s"), d("a"))), uses("s"), "its file is gone");
        let missing = vec![ActionKind::Restart];
        assert_eq!(judge(&Case { missing, ..case(d("s"), d("s"), d("s")) }), uses("s"), "a copy of it");
    }

    #[test]
    fn a_file_that_does_not_load_leaves_everything_as_it_was() {
        let torn = |stock, accepted, pin, require_pins| {
            judge(&Case { broken: true, pin, require_pins, ..case(None, stock, accepted) })
        };
        assert_eq!(torn(None, d("a"), None, false), uses("a"));
        assert_eq!(torn(d("s"), d("a"), None, false), uses("a"));
        assert_eq!(torn(d("s"), None, None, false), uses("s"));
        assert_eq!(torn(None, None, None, false), Judgement::Broken);
        assert_eq!(torn(None, d("a"), d("b"), false), Judgement::Broken, "the config wants another one");
        assert_eq!(torn(d("s"), d("a"), None, true), uses("s"));
    }

    #[test]
    fn a_plan_of_a_version_that_is_pinned_out_is_not_carried_out() {
        let (a, b) = (d("a").unwrap(), d("b").unwrap());
        assert!(pins_allow(None, false, false, a) && pins_allow(Some(a), true, false, a));
        assert!(pins_allow(None, true, true, a), "what is in the binary needs no pin");
        assert!(!pins_allow(None, true, false, a) && !pins_allow(Some(b), false, false, a));
        assert!(!pins_allow(Some(b), false, true, a), "unless another one is pinned");
    }

    #[test]
    fn a_pin_accepts_and_refuses() {
        let pinned = |file, stock, accepted, pin| judge(&Case { pin, ..case(file, stock, accepted) });
        let by_pin = Judgement::Use { digest: d("b").unwrap(), by_pin: true };
        assert_eq!(pinned(d("b"), None, d("a"), d("b")), by_pin);
        assert_eq!(pinned(d("b"), None, None, d("b")), uses("b"));
        assert_eq!(pinned(d("b"), None, d("a"), d("a")), holds("b", "a"));
        let other = Refused::OtherPin { found: d("b").unwrap(), pinned: d("c").unwrap() };
        assert_eq!(pinned(d("b"), None, d("a"), d("c")), Judgement::Refuse { why: other, instead: None });
        assert_eq!(pinned(None, d("b"), None, d("c")), Judgement::Refuse { why: other, instead: None });
    }

    #[test]
    fn where_pins_are_required_only_they_count() {
        let strict =
            |file, stock, accepted, pin| judge(&Case { pin, require_pins: true, ..case(file, stock, accepted) });
        let why = Refused::NotPinned(d("a").unwrap());
        assert_eq!(strict(d("a"), None, d("a"), None), Judgement::Refuse { why, instead: None });
        assert_eq!(strict(d("a"), d("s"), d("s"), None), Judgement::Refuse { why, instead: d("s") });
        assert_eq!(strict(d("a"), None, None, d("a")), uses("a"));
        assert_eq!(strict(None, d("s"), None, None), uses("s"), "what is in the binary needs no pin");
    }

    #[test]
    fn what_is_not_granted_is_not_taken_and_the_old_one_stays() {
        let missing = vec![ActionKind::Restart];
        let greedy = |file, accepted, pin| judge(&Case { pin, missing: missing.clone(), ..case(file, None, accepted) });
        let refuse = |instead| Judgement::Refuse { why: Refused::NotGranted, instead };
        assert_eq!(greedy(d("a"), None, None), refuse(None));
        assert_eq!(greedy(d("a"), d("a"), None), refuse(None), "its grant was taken away");
        assert_eq!(greedy(d("b"), d("a"), d("b")), refuse(None), "the pin speaks against the old one");
        assert_eq!(greedy(d("b"), d("a"), None), holds("b", "a"));
    }
}
