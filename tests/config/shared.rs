//! `store.url`: the store that several daemons share.

use super::*;

#[test]
fn url_of_a_shared_store_has_no_password_and_no_message_shows_one() {
    for url in [
        "postgresql://fswake:hunter2@db.example.org/fswake",
        "postgresql://db.example.org/fswake?password=hunter2",
        "postgres://fswake@db.example.org/fswake?sslmode=hunter2",
        "mysql://fswake:hunter2@db.example.org/fswake",
        "host=db.example.org password=hunter2",
        "hunter2",
        "",
    ] {
        let error = Place::with(&format!("[store]\nurl = '{url}'")).error();
        assert!(
            error.contains("store.url: (not shown)")
                && error.contains("store.password-file")
                && !error.contains("hunter2"),
            "{url}: {error}"
        );
    }
    let error = Place::with("[store]\npassword-file = 'x'").error();
    assert!(error.contains("set store.url too"), "{error}");
}

#[test]
fn tls_is_left_out_on_this_host_only_or_where_the_url_says_so_and_then_it_is_noted() {
    let required = || Tls::Required { root: None };
    for (url, tls, notes) in [
        ("postgresql://fswake@db.example.org/fswake", required(), 0),
        (
            "postgresql://fswake@db.example.org/fswake?sslmode=prefer",
            required(),
            0,
        ),
        ("postgresql://fswake@db.example.org,localhost/fswake", required(), 0),
        ("postgresql://fswake@localhost/fswake", Tls::None, 0),
        ("postgresql://fswake@%2Frun%2Fpostgresql/fswake", Tls::None, 0),
        ("postgresql://fswake@localhost/fswake?sslmode=require", required(), 0),
        (
            "postgresql://fswake@db.example.org/fswake?sslmode=disable",
            Tls::None,
            1,
        ),
    ] {
        let config = Place::with(&format!("[store]\nurl = '{url}'")).load();
        assert_eq!(config.store.shared.unwrap().tls, tls, "{url}");
        assert_eq!(config.notes.len(), notes, "{url}: {:?}", config.notes);
    }
}

#[test]
fn daemon_has_the_name_of_its_host_unless_it_has_one_of_its_own() {
    let named = |config: &str, host: &str| {
        let mut place = Place::with(config);
        place.env.host = host.into();
        place.load().cluster.name
    };
    assert_eq!(&*named("", "sip1.example.org"), "sip1.example.org");
    assert_eq!(&*named("[cluster]\nname = 'north-1'", "sip1"), "north-1");
    // What a system calls its host is not refused.
    assert_eq!(&*named("", "Büro 1"), "B-ro-1");
    assert_eq!(named("", &"x".repeat(64)).len(), 40);
    assert_eq!(&*named("", ""), "fswake");
    for name in ["", "two words", "tab\there", "käse", "a/b", &"x".repeat(41)] {
        let error = Place::with(&format!("[cluster]\nname = {name:?}")).error();
        assert!(
            error.contains("cluster.name") && error.contains("one short word"),
            "{name}: {error}"
        );
    }
}
