//! Small things that others keep from one start to the next, by space and key: where a card's message is, what a button
//! means. None of them is a fact; what is lost here is looked for or made anew.

use super::{Views, ViewsError, guarded};

/// Space and key in one, so that a space can be walked through.
fn whole(space: &str, key: &str) -> Vec<u8> {
    [space.as_bytes(), &[0], key.as_bytes()].concat()
}

impl Views {
    /// The value under this key.
    ///
    /// # Errors
    /// `Sled`.
    pub fn small(&self, space: &str, key: &str) -> Result<Option<Vec<u8>>, ViewsError> {
        let whole = whole(space, key);
        let Some(trees) = &self.trees else { return Ok(self.memory().small.get(&whole).cloned()) };
        guarded("cannot read", || trees.chat.get(&whole).map(|value| value.map(|bytes| bytes.to_vec())))
    }

    /// Keeps a value; `now`: it survives the end of the process when this returns, else that may take some seconds.
    ///
    /// # Errors
    /// `Sled`.
    pub fn put_small(&self, space: &str, key: &str, value: Option<&[u8]>, now: bool) -> Result<(), ViewsError> {
        let whole = whole(space, key);
        let Some(trees) = &self.trees else {
            let mut memory = self.memory();
            match value {
                Some(value) => memory.small.insert(whole, value.to_vec()),
                None => memory.small.remove(&whole),
            };
            return Ok(());
        };
        guarded("cannot write", || {
            match value {
                Some(value) => trees.chat.insert(&whole, value)?,
                None => trees.chat.remove(&whole)?,
            };
            if now { trees.chat.flush().map(|_| ()) } else { Ok(()) }
        })
    }

    /// Everything of a space, in the order of the keys.
    ///
    /// # Errors
    /// `Sled`.
    pub fn all_small(&self, space: &str) -> Result<Vec<(String, Vec<u8>)>, ViewsError> {
        let prefix = whole(space, "");
        let key = |whole: &[u8]| String::from_utf8_lossy(whole.get(prefix.len()..).unwrap_or_default()).into_owned();
        let Some(trees) = &self.trees else {
            let memory = self.memory();
            let of_it = memory.small.iter().filter(|(whole, _)| whole.starts_with(&prefix));
            return Ok(of_it.map(|(whole, value)| (key(whole), value.clone())).collect());
        };
        guarded("cannot read", || {
            trees
                .chat
                .scan_prefix(&prefix)
                .map(|item| item.map(|(whole, value)| (key(&whole), value.to_vec())))
                .collect()
        })
    }
}
