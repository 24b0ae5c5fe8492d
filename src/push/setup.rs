//! Why an app cannot be used.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::files::{self, FileError};
use crate::push::app::App;
use crate::push::template::TemplateError;
use crate::types::Secret;

/// Why the configured apps cannot be used. Names the app and the file, never the file's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The app's own settings.
    #[error("app {app}: {problem}")]
    App {
        /// The app's name.
        app: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A file that the app names.
    #[error("app {app}: {file}: {problem}", file = .file.display())]
    File {
        /// The app's name.
        app: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl SetupError {
    pub(crate) fn app(app: &App, problem: &str) -> Self {
        Self::App {
            app: app.name.clone(),
            problem: problem.to_owned(),
        }
    }

    /// The app's payload template cannot be used.
    pub(crate) fn template(app: &App, error: &TemplateError) -> Self {
        Self::app(app, &format!("the payload template {error}"))
    }

    /// What is wrong, where the app is named next to it.
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::App { problem, .. } => problem.clone(),
            Self::File { file, problem, .. } => format!("{}: {problem}", file.display()),
        }
    }

    pub(crate) fn file(app: &App, file: &Path, problem: &str) -> Self {
        Self::File {
            app: app.name.clone(),
            file: file.to_owned(),
            problem: problem.to_owned(),
        }
    }

    /// Reads a file of the app by one of the ways of [`crate::files`].
    pub(crate) fn read<T>(app: &App, file: &Path, read: fn(&Path) -> Result<T, FileError>) -> Result<T, Self> {
        read(file).map_err(|e| Self::file(app, file, &e.to_string()))
    }

    /// Reads a file of the app that holds a secret on one line.
    pub(crate) fn secret_line(app: &App, file: &Path) -> Result<Secret, Self> {
        Ok(Secret::new(Self::read(app, file, files::line)?.text))
    }

    /// Reads a file of the app that holds `user:password` on one line.
    pub(crate) fn user_and_password(app: &App, file: &Path) -> Result<(String, Secret), Self> {
        match Self::secret_line(app, file)?.expose().split_once(':') {
            Some((user, password)) if !user.is_empty() => Ok((user.to_owned(), Secret::new(password))),
            _ => Err(Self::file(app, file, "must hold one line, user:password")),
        }
    }

    /// The app's `base_url`, or the provider's.
    pub(crate) fn base_url(app: &App, default: &str) -> Result<String, Self> {
        let Some(url) = &app.base_url else {
            return Ok(default.to_owned());
        };
        let good = Url::parse(url).is_ok_and(|u| u.scheme() == "https" && u.path() == "/" && u.query().is_none());
        if !good {
            return Err(Self::app(
                app,
                "base_url must be https://host:port: tokens travel on it",
            ));
        }
        Ok(url.trim_end_matches('/').to_owned())
    }
}
