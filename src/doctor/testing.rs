//! Shared by tests of several checks.

use std::path::Path;

use crate::config::{Config, Environment};
use crate::push::app::App;

/// The apps of a configuration, in a directory with its files.
pub(super) fn apps(dir: &Path, config: &str) -> Vec<App> {
    let file = dir.join("fswake.toml");
    std::fs::write(&file, config).unwrap();
    Config::load(Some(&file), &Environment::default()).unwrap().apps
}
