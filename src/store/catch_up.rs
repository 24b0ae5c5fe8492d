//! What another process has written since this one read the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::database::connect_to_read;
use super::rows;
use super::schema::{StoreError, failure};
use crate::clock::unix_micros;
use crate::engine::DeviceChange;
use crate::types::{Device, DeviceKey, UnixMicros};

/// The devices that were read, and when each was changed.
#[derive(Debug)]
pub struct CatchUp {
    path: PathBuf,
    known: HashMap<DeviceKey, UnixMicros>,
}

impl CatchUp {
    /// For this file.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: HashMap::new(),
        }
    }

    /// Remembers that the file had this device.
    pub fn had(&mut self, device: &Device) {
        self.known.insert(device.key(), device.changed);
    }

    /// Reads the file again. Returns what was changed, learned or dropped since.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn changes(mut self) -> Result<Vec<DeviceChange>, StoreError> {
        // A file that cannot be read as it is was not read by two processes.
        let Some(file) = connect_to_read(&self.path)? else {
            return Ok(Vec::new());
        };
        let mut changes = Vec::new();
        for device in rows::devices(&file).map_err(|e| failure(&self.path, &e))? {
            if self.known.remove(&device.key()) != Some(device.changed) {
                changes.push(DeviceChange::Kept(Arc::new(device)));
            }
        }
        let changed = unix_micros();
        changes.extend(self.known.into_keys().map(|key| DeviceChange::Dropped { key, changed }));
        Ok(changes)
    }
}
