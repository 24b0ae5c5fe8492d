//! Names that both the app and its profiles have.

use crate::types::Printable;

/// The app's name in the new configuration.
pub(super) const APP: &str = "mod-apn";

/// The file that holds a profile's `auth_data`.
pub(super) fn secret_file(kind: &str) -> String {
    format!("{APP}-{kind}-auth")
}

/// The warning about unknown variables.
pub(super) fn unknown_names(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("$${{{}}}", Printable(name))).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("{one} is not known here"),
        many => format!("{} are not known here", many.join(", ")),
    }
}
