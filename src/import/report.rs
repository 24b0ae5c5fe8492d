//! What `fswake-import-mod-apn` prints: data on stdout, the rest on stderr.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::import::apn_conf::ApnConf;
use crate::import::convert::ConvertedConfig;
use crate::import::tokens::TokenPlan;
use crate::new_files::{Made, NewFile};
use crate::store::Fate;
use crate::types::Printable;

/// Standard output and standard error.
pub(super) struct Report {
    dry: bool,
    err: std::io::Stderr,
}

impl Report {
    pub(super) fn new(dry: bool) -> Self {
        Self {
            dry,
            err: std::io::stderr(),
        }
    }

    /// The configuration itself, in a dry run.
    pub(super) fn configuration(&mut self, made: &ConvertedConfig) -> anyhow::Result<()> {
        std::io::stdout().write_all(made.toml.as_bytes())?;
        self.warnings(made)
    }

    pub(super) fn warnings(&mut self, made: &ConvertedConfig) -> anyhow::Result<()> {
        for warning in &made.warnings {
            writeln!(self.err, "warning: {warning}")?;
        }
        Ok(())
    }

    /// Names of files that were made are the result of a run.
    pub(super) fn files(&mut self, files: &[NewFile], made: &[Made]) -> anyhow::Result<()> {
        for (file, made) in files.iter().zip(made) {
            let path = file.path.display();
            match (made, self.dry) {
                (Made::Unchanged, _) => writeln!(self.err, "{path} already exists, with the same text")?,
                (Made::New, true) => writeln!(self.err, "would write {path}")?,
                (Made::Replaced, true) => writeln!(self.err, "would replace {path}")?,
                (Made::New | Made::Replaced, false) => writeln!(std::io::stdout(), "{path}")?,
            }
        }
        Ok(())
    }

    /// The result for the tokens. Tokens themselves are never shown.
    pub(super) fn tokens(
        &mut self,
        place: &str,
        rows: usize,
        plan: &TokenPlan,
        fates: &[Fate],
        store: &Path,
    ) -> anyhow::Result<()> {
        for refused in &plan.refused {
            writeln!(self.err, "warning: not copied: {refused}")?;
        }
        for (device, fate) in plan.devices.iter().zip(fates) {
            let key = device.key();
            match fate {
                Fate::Kept(owner) => writeln!(
                    self.err,
                    "warning: not copied: {} of {}: fswake saw that token later, from {owner}",
                    key.label(),
                    device.aor
                )?,
                Fate::Taken(owner) => {
                    writeln!(self.err, "note: {} moves from {owner} to {}", key.label(), device.aor)?;
                }
                Fate::Added | Fate::Renewed | Fate::Known => {}
            }
        }
        for aor in &plan.apart {
            writeln!(
                self.err,
                "note: {aor} has several tokens of one app: fswake learns which of them belong to one phone when the phones register"
            )?;
        }
        for (provider, app, phones) in unusual(plan) {
            writeln!(
                self.err,
                "note: only an app of provider http can push {} with platform {provider} (app {app})",
                crate::words::count(phones, "device")
            )?;
        }
        self.domains(plan)?;
        let count = |fate: &dyn Fn(&Fate) -> bool| fates.iter().filter(|f| fate(f)).count();
        let added = count(&|f| *f == Fate::Added);
        let renewed = count(&|f| matches!(f, Fate::Renewed | Fate::Taken(_)));
        let same = count(&|f| matches!(f, Fate::Known | Fate::Kept(_)));
        writeln!(
            self.err,
            "{rows} rows of push_tokens in {place}: {} devices, {} duplicates merged, {} repaired, {} rows refused",
            plan.devices.len(),
            plan.merged,
            plan.mended,
            plan.refused.len()
        )?;
        let (verb, store) = (if self.dry { "would have" } else { "has" }, store.display());
        if added + renewed == 0 {
            writeln!(self.err, "{store}: nothing to change, {same} devices are known")?;
        } else {
            writeln!(
                self.err,
                "{store}: {verb} {added} new devices, {renewed} renewed, {same} unchanged"
            )?;
        }
        Ok(())
    }

    /// A call finds its device by user and domain.
    fn domains(&mut self, plan: &TokenPlan) -> anyhow::Result<()> {
        let mut domains: BTreeMap<String, usize> = BTreeMap::new();
        for device in &plan.devices {
            *domains.entry(device.aor.domain.to_ascii_lowercase()).or_default() += 1;
        }
        for (domain, devices) in domains {
            writeln!(self.err, "domain {}: {devices} devices", Printable(&domain))?;
        }
        Ok(())
    }

    pub(super) fn hints(&mut self, conf: Option<&ApnConf>, files: &[NewFile], tokens: bool) -> anyhow::Result<()> {
        if let Some(dsn) = conf.and_then(|conf| conf.settings.get("odbc_dsn")).filter(|_| !tokens) {
            writeln!(
                self.err,
                "hint: --db copies mod_apn's tokens as well; its odbc_dsn (line {}) says where they are",
                dsn.line
            )?;
        }
        for secret in files.iter().filter(|file| file.mode == 0o600) {
            writeln!(
                self.err,
                "hint: with systemd, in fswake.service: LoadCredential={}:{}",
                secret.path.file_name().unwrap_or_default().display(),
                std::path::absolute(&secret.path).unwrap_or_default().display()
            )?;
        }
        if self.dry {
            writeln!(self.err, "Nothing was changed: this was a dry run.")?;
        } else if tokens {
            writeln!(
                self.err,
                "hint: fswake reads its devices when it starts: if it runs, systemctl restart fswake"
            )?;
        }
        Ok(())
    }
}

/// Platforms other than Apple's and Google's.
fn unusual(plan: &TokenPlan) -> impl Iterator<Item = (String, String, usize)> {
    let mut all: BTreeMap<(String, String), usize> = BTreeMap::new();
    for device in &plan.devices {
        if let crate::types::Provider::Other(name) = &device.push.provider {
            let key = (Printable(name).to_string(), Printable(&device.push.app).to_string());
            *all.entry(key).or_default() += 1;
        }
    }
    all.into_iter().map(|((provider, app), count)| (provider, app, count))
}
