//! Samples with retention, and models: what may be lost.
//!
//! A sample is a list of numbers; the names they belong to are the same from one sample to the next, so they are
//! kept once, as a *layout*, under the hash of their list. Eighteen metrics with two instances take about 450 bytes
//! that way, a third of what they take as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Sample, ServiceId, SourceFault, Timestamp};

use super::index::key;
use super::{MEMORY_SAMPLES, Trees, Views, ViewsError, guarded};

/// Look for layouts that no sample has any more when there are more than this many: instances come and go.
const MANY_LAYOUTS: usize = 1024;

/// The names of a sample's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Layout {
    metrics: Vec<String>,
    instances: Vec<(String, Vec<String>)>,
}

/// A sample without its names, service and time.
#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    layout: [u8; 16],
    /// In the order of the layout: the service's metrics, then instance by instance.
    numbers: Vec<f64>,
    faults: Vec<SourceFault>,
}

impl Views {
    /// Keeps a sample. One of the same service and time is replaced.
    ///
    /// # Errors
    /// `Sled`.
    pub fn add_sample(&self, sample: &Sample) -> Result<(), ViewsError> {
        if let Some(trees) = &self.trees {
            return guarded("cannot keep a sample", || trees.add_sample(sample));
        }
        let mut memory = self.memory();
        let kept = memory.samples.entry(sample.service.clone()).or_default();
        kept.push_back(sample.clone());
        // full: the oldest goes.
        while kept.len() > MEMORY_SAMPLES {
            kept.pop_front();
        }
        Ok(())
    }

    /// The newest samples of a service, at most so many, none older than `since`; oldest first.
    ///
    /// # Errors
    /// `Sled`.
    pub fn samples(&self, service: &ServiceId, since: Timestamp, most: usize) -> Result<Vec<Sample>, ViewsError> {
        if let Some(trees) = &self.trees {
            return guarded("cannot read samples", || trees.samples(service, since, most));
        }
        let memory = self.memory();
        let mut samples: Vec<_> = memory
            .samples
            .get(service)
            .into_iter()
            .flat_map(|kept| kept.iter().rev().filter(|s| s.at >= since).take(most).cloned())
            .collect();
        samples.reverse();
        Ok(samples)
    }

    /// Forgets samples older than this, of all services; says how many. Call it now and then, not for each sample.
    ///
    /// # Errors
    /// `Sled`.
    pub fn forget_samples(&self, older_than: Timestamp) -> Result<u64, ViewsError> {
        if let Some(trees) = &self.trees {
            return guarded("cannot forget samples", || trees.forget_samples(older_than));
        }
        let mut forgotten = 0;
        for kept in self.memory().samples.values_mut() {
            let before = kept.len();
            kept.retain(|s| s.at >= older_than);
            forgotten += (before - kept.len()) as u64;
        }
        Ok(forgotten)
    }

    /// Keeps the model of a service, in place of the one before.
    ///
    /// # Errors
    /// `Sled`.
    pub fn put_model(&self, service: &ServiceId, bytes: &[u8]) -> Result<(), ViewsError> {
        if let Some(trees) = &self.trees {
            return guarded("cannot keep a model", || trees.models.insert(&service.0, bytes).map(|_| ()));
        }
        self.memory().models.insert(service.clone(), bytes.to_vec());
        Ok(())
    }

    /// The model of a service. The bytes are as hostile as any file: check them when reading.
    ///
    /// # Errors
    /// `Sled`.
    pub fn model(&self, service: &ServiceId) -> Result<Option<Vec<u8>>, ViewsError> {
        if let Some(trees) = &self.trees {
            return guarded("cannot read a model", || trees.models.get(&service.0).map(|m| m.map(|m| m.to_vec())));
        }
        Ok(self.memory().models.get(service).cloned())
    }
}

impl Trees {
    fn add_sample(&self, sample: &Sample) -> Result<(), String> {
        let layout = Layout::of(sample);
        let layout = postcard::to_stdvec(&layout).map_err(|e| e.to_string())?;
        let id = Digest::of(&layout).0.first_chunk().copied().unwrap_or_default();
        if !self.layouts.contains_key(id).map_err(|e| e.to_string())? {
            self.layouts.insert(id, layout).map_err(|e| e.to_string())?;
        }
        let inner = sample.by_instance.values().flat_map(BTreeMap::values);
        let numbers = sample.values.values().chain(inner).copied().collect();
        let packed = Packed { layout: id, numbers, faults: sample.faults.clone() };
        let packed = postcard::to_stdvec(&packed).map_err(|e| e.to_string())?;
        self.samples.insert(sample_key(&sample.service, sample.at), packed).map(|_| ()).map_err(|e| e.to_string())
    }

    fn samples(&self, service: &ServiceId, since: Timestamp, most: usize) -> Result<Vec<Sample>, String> {
        let mut layouts: BTreeMap<[u8; 16], Layout> = BTreeMap::new();
        let mut samples = Vec::new();
        let range = sample_key(service, since)..=sample_key(service, Timestamp(i64::MAX));
        for entry in self.samples.range(range).rev().take(most) {
            let (key, packed) = entry.map_err(|e| e.to_string())?;
            let packed: Packed = postcard::from_bytes(&packed).map_err(|e| e.to_string())?;
            let layout = match layouts.entry(packed.layout) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let bytes = self.layouts.get(packed.layout).map_err(|e| e.to_string())?;
                    let bytes = bytes.ok_or("the names of a sample's metrics are gone")?;
                    entry.insert(postcard::from_bytes(&bytes).map_err(|e| e.to_string())?)
                }
            };
            let at = key_time(&key).ok_or("a sample's key is garbage")?;
            samples.push(layout.unpack(service, at, packed));
        }
        samples.reverse();
        Ok(samples)
    }

    fn forget_samples(&self, older_than: Timestamp) -> Result<u64, String> {
        let mut forgotten = 0;
        let mut next = self.samples.first().map_err(|e| e.to_string())?;
        // Service by service: from its first sample to the first that stays, then on to the next service.
        while let Some((first, _)) = next {
            let service = first.get(..first.len().saturating_sub(8)).unwrap_or_default().to_vec();
            let end = [service.as_slice(), &sortable(older_than)].concat();
            // A range that ends before it begins is nothing sled promises to take.
            if *first < *end {
                for entry in self.samples.range(first.to_vec()..end) {
                    let (key, _) = entry.map_err(|e| e.to_string())?;
                    self.samples.remove(key).map_err(|e| e.to_string())?;
                    forgotten += 1;
                }
            }
            let last_possible = [service.as_slice(), &[0xff; 8]].concat();
            next = self.samples.get_gt(last_possible).map_err(|e| e.to_string())?;
        }
        if self.layouts.len() > MANY_LAYOUTS {
            self.forget_layouts()?;
        }
        Ok(forgotten)
    }

    fn forget_layouts(&self) -> Result<(), String> {
        let mut used = BTreeSet::new();
        for entry in &self.samples {
            let (_, packed) = entry.map_err(|e| e.to_string())?;
            used.extend(packed.first_chunk::<16>().copied());
        }
        for key in self.layouts.iter().keys() {
            let key = key.map_err(|e| e.to_string())?;
            if !key.first_chunk().is_some_and(|id| used.contains(id)) {
                self.layouts.remove(key).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }
}

impl Layout {
    fn of(sample: &Sample) -> Self {
        let names = |values: &BTreeMap<String, f64>| values.keys().cloned().collect();
        Self {
            metrics: names(&sample.values),
            instances: sample.by_instance.iter().map(|(name, values)| (name.clone(), names(values))).collect(),
        }
    }

    fn unpack(&self, service: &ServiceId, at: Timestamp, packed: Packed) -> Sample {
        let mut numbers = packed.numbers.into_iter();
        let mut take = |names: &[String]| names.iter().cloned().zip(numbers.by_ref()).collect::<BTreeMap<_, _>>();
        let values = take(&self.metrics);
        let by_instance = self.instances.iter().map(|(name, names)| (name.clone(), take(names))).collect();
        Sample { service: service.clone(), at, values, by_instance, faults: packed.faults }
    }
}

/// Service and time, so that a service's samples lie in the order of time.
fn sample_key(service: &ServiceId, at: Timestamp) -> Vec<u8> {
    key(service.0.as_bytes(), &sortable(at))
}

/// Big-endian with the sign turned over: bytes in the order of the numbers, also before 1970.
fn sortable(at: Timestamp) -> [u8; 8] {
    (at.0 ^ i64::MIN).to_be_bytes()
}

fn key_time(key: &[u8]) -> Option<Timestamp> {
    key.last_chunk().map(|bytes| Timestamp(i64::from_be_bytes(*bytes) ^ i64::MIN))
}
