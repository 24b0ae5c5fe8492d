//! Mistakes: each is reported with file, key, value and what is allowed.

use super::*;

#[test]
fn missing_file_is_reported() {
    let error = Config::load(Some(Path::new("/nonexistent/f.toml")), &Environment::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/f.toml: cannot be read: no such file or directory"
    );
}

const DURATION: &str = r#"as in "500ms", "30s", "5m", "2h" or "60d""#;

#[test]
fn every_mistake_is_reported_with_file_key_value_and_what_is_allowed() {
    let cases = [
        (
            "[freeswitch]\nhots = 'x'",
            "freeswitch.hots: unknown key; allowed here: enabled, host, port, password-file, user, name, sip, profile, edges",
        ),
        (
            "[wakes]",
            "wakes: unknown key; did you mean `wake`? allowed here: freeswitch, cluster, listen, wake, aor, contact, notifications, store, http, log, run, app",
        ),
        (
            "[freeswitch]\nport = 'x'",
            "freeswitch.port: 'x': a number from 0 to 65535",
        ),
        (
            "[freeswitch]\nport = 70000",
            "freeswitch.port: 70000: a number from 0 to 65535",
        ),
        ("[freeswitch]\nport = 0", "freeswitch.port: 0: a port from 1 to 65535"),
        (
            "[freeswitch]\nhost = ''",
            r#"freeswitch.host: "": a host name or an address"#,
        ),
        (
            "[[freeswitch]]\nname = 'a'\n[[freeswitch]]\nport = 8022",
            "freeswitch.name: missing: a name for each of several FreeSWITCHes",
        ),
        (
            "[[freeswitch]]\nname = 'a'\n[[freeswitch]]\nname = 'a'\nport = 8022",
            r#"freeswitch.name: "a": a name that no other has"#,
        ),
        (
            "[[freeswitch]]\nname = 'a'\n[[freeswitch]]\nname = 'b'",
            r#"freeswitch.host: "127.0.0.1": an event socket of its own: a has the same"#,
        ),
        (
            "[[freeswitch]]\nname = 'a b'",
            r#"freeswitch.name: "a b": letters, digits, `-`, `_` and dots, 63 at most"#,
        ),
        (
            "[[freeswitch]]\nenabled = false",
            "freeswitch.enabled: set: only in [freeswitch]: take out the section of a FreeSWITCH that is not there",
        ),
        ("freeswitch = []", "freeswitch: 0: from 1 to 64 sections"),
        (
            "[freeswitch]\nsip = 'sip:1001@192.0.2.1'",
            r#"freeswitch.sip: "sip:1001@192.0.2.1": an address that the others can reach, as in "192.0.2.1:5080", or a URI without a user, as in "sip:192.0.2.1:5061;transport=tls""#,
        ),
        (
            "[freeswitch]\nsip = '192.0.2.1;x=y'",
            r#"freeswitch.sip: "192.0.2.1;x=y": an address that the others can reach, as in "192.0.2.1:5080", or a URI without a user, as in "sip:192.0.2.1:5061;transport=tls""#,
        ),
        (
            "[freeswitch]\nedges = ['192.0.2.1:5060']",
            r#"freeswitch.edges: "192.0.2.1:5060": host names or addresses without a port, as in ["edge.example.org", "192.0.2.10"]"#,
        ),
        (
            "[freeswitch]\nprofile = 'in ternal'",
            r#"freeswitch.profile: "in ternal": the name of a SIP profile"#,
        ),
        (
            "[[freeswitch]]\nname = 'a'\nsip = '192.0.2.1'\n[[freeswitch]]\nname = 'b'\nport = 8022",
            "cluster.key-file: missing: the file with the key that signs legs between FreeSWITCHes (freeswitch.sip); `openssl rand -hex 32` makes one",
        ),
        (
            "[freeswitch]\nuser = 'fswake'",
            r#"freeswitch.user: "fswake": "user@domain""#,
        ),
        (
            "[freeswitch]\nuser = \"a@b\\nc\"",
            r#"freeswitch.user: "a@b\nc": "user@domain""#,
        ),
        (
            "[freeswitch]\npassword-file = 'nope'",
            "freeswitch.password-file: nope: cannot be read: no such file or directory",
        ),
        (
            "[freeswitch]\npassword-file = 'two-lines'",
            "freeswitch.password-file: two-lines: must hold one line of text: line 2 is a second one",
        ),
        (
            "[freeswitch]\nport = ",
            "line 2: string values must be quoted, expected literal string",
        ),
        (
            "[listen]\naddresses = ['127.0.0.1']",
            r#"listen.addresses: "127.0.0.1": at least one "address:port", as in "127.0.0.1:8084" or "[::1]:8084""#,
        ),
        (
            "[listen]\nallow = []",
            r#"listen.allow: []: at least one network, as in "127.0.0.1/32", "10.0.0.0/8" or "fd00::/8""#,
        ),
        (
            "[listen]\nallow = ['10.0.0.0/33']",
            r#"listen.allow: "10.0.0.0/33": at least one network, as in "127.0.0.1/32", "10.0.0.0/8" or "fd00::/8""#,
        ),
        (
            "[wake]\nmax-wait = 25",
            r#"wake.max-wait: 25: no unit: write it as a duration in quotes, such as "25s""#,
        ),
        ("[wake]\nalert = 'both'", r#"wake.alert: "both": "push" or "phone""#),
        ("[wake]\nmode = 'push'", r#"wake.mode: "push": "connect" or "wake""#),
        (
            "[wake]\nmode = 'wake'\nwait-for = 'none'",
            r#"wake.wait-for: "none": "first" or "all""#,
        ),
        (
            "[wake]\nwait-for = 'all'",
            r#"wake.wait-for: "all": "first", unless wake.mode is "wake""#,
        ),
        (
            "[wake]\ndecline = 'both'",
            r#"wake.decline: "both": "this-device" or "all""#,
        ),
        (
            "[wake]\non-unregister = 'x'",
            r#"wake.on-unregister: "x": "forget" or "keep""#,
        ),
        (
            "[wake]\npush-retries = 11",
            "wake.push-retries: 11: a number from 0 to 10",
        ),
        (
            "[aor]\nignore-domain = 'yes'",
            "aor.ignore-domain: 'yes': true or false",
        ),
        (
            "[aor.domain-aliases]\na = 'b'\nb = 'c'",
            r#"aor.domain-aliases."a": "b": the domain that phones register with, not another alias"#,
        ),
        (
            "[[contact.params]]\nvoip-token = 'a;b'",
            r#"contact.params[1].voip-token: "a;b": the name of a URI parameter: letters, digits and - _ . ! ~ * ' +"#,
        ),
        (
            "[[contact.params]]\nvoip-token = ''",
            r#"contact.params[1].voip-token: "": the name of a URI parameter: letters, digits and - _ . ! ~ * ' +"#,
        ),
        (
            "[[contact.params]]\nuser-agent-regex = 'a(b'",
            r#"contact.params[1].user-agent-regex: "a(b": a regular expression: error: unclosed group"#,
        ),
        (
            "[[contact.params]]\nprovider = ''",
            r#"contact.params[1].provider: "": "apns", "apns.dev", "fcm", or another provider's name"#,
        ),
        (
            "[[contact.params]]\n[[contact.params]]\nplatforms = { x = 'a b' }",
            r#"contact.params[2].platforms."x": "a b": "apns", "apns.dev", "fcm", or another provider's name"#,
        ),
        (
            "[[contact.params]]\npreset = 'acrobits'",
            r#"contact.params[1].preset: "acrobits": "mod_apn", "kazoo" or "linphone". acrobits has none: a service of its vendor's wakes it (docs/SOFTPHONES.md)"#,
        ),
        (
            "[[contact.params]]\npreset = 'acme'",
            r#"contact.params[1].preset: "acme": "mod_apn", "kazoo" or "linphone" (docs/SOFTPHONES.md)"#,
        ),
        (
            "[freeswitch]\nenabled = false\n[http]\naddresses = []",
            "http.addresses: []: at least one address: without FreeSWITCH, all comes by HTTP",
        ),
        ("[store]\npath = ''", r#"store.path: "": the name of a file"#),
        (
            "[http]\naddresses = ['example.org:80']",
            r#"http.addresses: "example.org:80": addresses with port, as in "127.0.0.1:8085" or "[::1]:8085"; [] switches it off"#,
        ),
        (
            "[http]\naddresses = ['127.0.0.1:8085', '0.0.0.0:8085']",
            "http.addresses: 0.0.0.0:8085: only 127.0.0.1 or [::1] without http.token-file",
        ),
        (
            "[http]\naddresses = ['[::ffff:192.0.2.1]:80']",
            "http.addresses: [::ffff:192.0.2.1]:80: only 127.0.0.1 or [::1] without http.token-file",
        ),
        (
            "[http]\ntoken-file = 'two-lines'",
            "http.token-file: two-lines: must hold one line of text: line 2 is a second one",
        ),
        (
            "[log]\nformat = 'xml'",
            r#"log.format: "xml": "pretty", "json" or "journald""#,
        ),
        (
            "[log]\nfilter = 'a=b=c'",
            r#"log.filter: "a=b=c": levels and modules, as in "info" or "info,fswake::engine=debug""#,
        ),
    ];
    for (config, error) in cases {
        let place = Place::with(config);
        place.write("two-lines", "a\nb\n");
        assert_eq!(
            place
                .error()
                .replace(&format!("{:?}", place.path("two-lines")), "\"two-lines\""),
            format!("fswake.toml: {error}")
        );
    }
    for (key, written, limits) in [
        ("wake.max-wait", "25", "1s to 10m"),
        ("wake.max-wait", "0s", "1s to 10m"),
        ("wake.push-retry", "1ms", "500ms to 5m"),
        ("store.token-ttl", "1 week", "1h to 3650d"),
        ("store.journal-keep", "-1d", "0s to 3650d"),
        ("run.drain-timeout", "2h", "0s to 1h"),
    ] {
        let (section, name) = key.split_once('.').unwrap();
        assert_eq!(
            Place::with(&format!("[{section}]\n{name} = '{written}'")).error(),
            format!("fswake.toml: {key}: {written:?}: a duration from {limits}, {DURATION}")
        );
    }
}

#[test]
fn every_mistake_in_an_app_is_reported_with_the_app() {
    let providers = r#""apns", "apns.dev", "fcm", "hms", "webpush", "http" or "log""#;
    let key = "key-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'";
    let origin = r#""https://host:port""#;
    let never_used = |first: &str, second: &str| {
        format!(
            "app.{second}: never used: app \"{first}\" before it takes all its phones; write \"{second}\" before it, or give \"{first}\" \
             app-ids, domains or providers of its own"
        )
    };
    let cases = [
        ("provider = 'log'", "app[1].name: missing: a unique name".into()),
        ("name = 'a b'", r#"app[1].name: "a b": one word, unique among apps"#.into()),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'a'", r#"app[2].name: "a": one word, unique among apps"#.into()),
        ("name = 'a'", format!("app.a.provider: missing: {providers}")),
        ("name = 'a'\nprovider = 'gcm'", format!(r#"app.a.provider: "gcm": {providers}"#)),
        ("name = 'a'\nprovider = 'fcm'\nkey = 1", "app[1].key: unknown key; allowed here: name, provider, providers, app-ids, domains, tenant, key-file, key-id, team-id, next-key-file, next-key-id, cert-file, cert-key-file, cert-password-file, service-account-file, client-id, client-secret-file, token-url, vapid-key-file, vapid-subject, allow-hosts, deny-hosts, allow-networks, deny-networks, base-url, ca-file, proxy, proxy-auth-file, topic, apns-collapse-id, apns-expiration, apns-priority, payload, payload-file, on-unregister, cancel-push, missed-call-push, voicemail-push, refresh-before, refresh-gap, platforms, voip, im".into()),
        ("name = 'a'\nprovider = 'log'\nrefresh-gap = '1h'", r#"app.a.refresh-gap: "1h": refresh-before as well: without it nothing is refreshed"#.into()),
        ("name = 'a'\nprovider = 'log'\nrefresh-before = '5s'", r#"app.a.refresh-before: "5s": a duration from 10s to 1h, as in "500ms", "30s", "5m", "2h" or "60d""#.into()),
        ("name = 'a'\nprovider = 'apns'", "app.a.key-file: missing: a .p8 file with key-id and team-id, or else cert-file".into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'k'", "app.a.key-id: missing: 10 letters and digits".into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'k'\nkey-id = 'ABCDE12345'", "app.a.team-id: missing: 10 letters and digits".into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'k'\nkey-id = 'short'", r#"app.a.key-id: "short": 10 letters and digits"#.into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'nope'", "app.a.key-file: nope: cannot be read: no such file or directory".into()),
        ("name = 'a'\nprovider = 'apns'\ncert-file = 'k'\nkey-id = 'x'", r#"app.a.key-id: "x": cert-file and cert-key-file (or cert-password-file) without other credentials"#.into()),
        ("name = 'a'\nprovider = 'apns'\ncert-file = 'k'\nKEY", r#"app.a.cert-file: "k": key-file, key-id and team-id (and next-key-file, next-key-id) without other credentials"#.into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\nnext-key-id = 'ABCDE12345'", "app.a.next-key-file: missing: the .p8 file of next-key-id".into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\nnext-key-file = 'k'", "app.a.next-key-id: missing: 10 letters and digits".into()),
        ("name = 'a'\nprovider = 'apns'\ncert-file = 'k'\nnext-key-id = 'x'", r#"app.a.next-key-id: "x": cert-file and cert-key-file (or cert-password-file) without other credentials"#.into()),
        ("name = 'a'\nprovider = 'apns'\ncert-file = 'k'\ncert-password-file = 'k'", r#"app.a.cert-password-file: "k": only with a PKCS #12 file (.p12) in cert-file"#.into()),
        ("name = 'a'\nprovider = 'apns'\ncert-file = 'k.p12'\ncert-key-file = 'k'", r#"app.a.cert-key-file: "k": nothing: a PKCS #12 file (.p12) has its key"#.into()),
        ("name = 'a'\nprovider = 'log'\napns-priority = { voicemail = 5 }", "app.a.apns-priority: only with provider apns or apns.dev".into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napns-priority = { news = 5 }", r#"app.a.apns-priority: "news": a kind of push: call, cancel, missed-call, notification, voicemail, refresh"#.into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napns-priority = { voicemail = 7 }", "app.a.apns-priority.voicemail: 7: 10 (at once), 5 (when the battery allows) or 1 (never wakes the phone)".into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napns-priority = { call = 5 }", "app.a.apns-priority.call: 5: nothing: a call is pushed with 10, at once".into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napns-priority = { cancel = 10 }", "app.a.apns-priority.cancel: 10: nothing: Apple takes background pushes with priority 5 only".into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napns-expiration = { missed-call = '29d' }", r#"app.a.apns-expiration.missed-call: "29d": a duration from 0s to 28d, as in "500ms", "30s", "5m", "2h" or "60d""#.into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napns-collapse-id = { voicemail = '${call-id}' }", r#"app.a.apns-collapse-id.voicemail: "${call-id}": has the unknown ${call-id}; known are: app-id, kind, callee, callee-user, callee-domain"#.into()),
        ("name = 'a'\nprovider = 'apns'\nkey-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'FGHIJ67890'\nnext-key-file = 'k'\nnext-key-id = 'ABCDE12345'", r#"app.a.next-key-id: "ABCDE12345": another than key-id"#.into()),
        ("name = 'a'\nprovider = 'hms'", "app.a.client-id: missing: the app's OAuth 2.0 client id, digits only (AppGallery Connect, project settings)".into()),
        ("name = 'a'\nprovider = 'hms'\nclient-id = 'com.acme'", r#"app.a.client-id: "com.acme": the app's OAuth 2.0 client id, digits only (AppGallery Connect, project settings)"#.into()),
        ("name = 'a'\nprovider = 'hms'\nclient-id = '1'", "app.a.client-secret-file: missing: a file with the client secret on one line".into()),
        ("name = 'a'\nprovider = 'hms'\nclient-id = '1'\nclient-secret-file = 'fswake.toml'\ntoken-url = 'http://a/b'", r#"app.a.token-url: "http://a/b": an https URL, as in "https://host/oauth2/v3/token""#.into()),
        ("name = 'a'\nprovider = 'webpush'", "app.a.vapid-key-file: missing: a file with the VAPID key (`openssl ecparam -name prime256v1 -genkey -noout`)".into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'", r#"app.a.vapid-subject: missing: whom push services may write to, as in "mailto:push@example.org" or "https://example.org/""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'push@example.org'", r#"app.a.vapid-subject: "push@example.org": whom push services may write to, as in "mailto:push@example.org" or "https://example.org/""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\nallow-hosts = ['https://a']", r#"app.a.allow-hosts: "https://a": hosts, as in "push.example.org" or "*.push.example.org""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\ndeny-networks = ['10.0.0.0/33']", r#"app.a.deny-networks: "10.0.0.0/33": networks, as in "10.0.0.0/8" or "fd00::/8""#.into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\nproxy = 'http://p:1'", "app.a.allow-hosts: missing: the hosts of push services: with proxy, fswake cannot see where a name leads".into()),
        ("name = 'a'\nprovider = 'webpush'\nvapid-key-file = 'fswake.toml'\nvapid-subject = 'mailto:a@b'\nbase-url = 'https://a'", r#"app.a.base-url: "https://a": no base-url: phones name their push services"#.into()),
        ("name = 'a'\nprovider = 'log'\nallow-hosts = ['a']", r#"app.a.allow-hosts: only with provider = "webpush""#.into()),
        ("name = 'a'\nprovider = 'log'\nvapid-key-file = 'x'", r#"app.a.vapid-key-file: "x": no credentials with provider log"#.into()),
        ("name = 'a'\nprovider = 'fcm'", "app.a.service-account-file: missing: the service account's JSON file".into()),
        ("name = 'a'\nprovider = 'fcm'\nservice-account-file = 'nope'", "app.a.service-account-file: nope: cannot be read: no such file or directory".into()),
        ("name = 'a'\nprovider = 'log'\nkey-file = 'k'", r#"app.a.key-file: "k": no credentials with provider log"#.into()),
        ("name = 'a'\nprovider = 'apns'\nKEY\napp-ids = ['x.voip']", r#"app.a.app-ids: "x.voip": bundle ids without ".voip" and ".remote""#.into()),
        ("name = 'a'\nprovider = 'log'\napp-ids = ['']", r#"app.a.app-ids: "": app ids without spaces, as phones send them"#.into()),
        ("name = 'a'\nprovider = 'log'\ndomains = ['']", r#"app.a.domains: "": domains of callees, without spaces"#.into()),
        ("name = 'a'\nprovider = 'log'\ntopic = 'x'", r#"app.a.topic: "x": an APNs topic, with provider apns or apns.dev only"#.into()),
        ("name = 'a'\nprovider = 'log'\nbase-url = 'https://h/path'", format!(r#"app.a.base-url: "https://h/path": {origin}"#)),
        ("name = 'a'\nprovider = 'log'\nbase-url = 'http://example.org'", format!(r#"app.a.base-url: "http://example.org": {origin}"#)),
        ("name = 'a'\nprovider = 'log'\nproxy = 'socks5://h:1'", r#"app.a.proxy: "socks5://h:1": "http://host:port""#.into()),
        // The message goes into logs.
        ("name = 'a'\nprovider = 'log'\nproxy = 'http://me:sesame@h:1'", r#"app.a.proxy: a URL with an @: "http://host:port", without a user and a password"#.into()),
        ("name = 'a'\nprovider = 'log'\nbase-url = 'https://me:sesame@h'", format!("app.a.base-url: a URL with an @: {origin}, without a user and a password")),
        ("name = 'a'\nprovider = 'log'\nca-file = 'nope'", "app.a.ca-file: nope: cannot be read: no such file or directory".into()),
        ("name = 'a'\nprovider = 'log'\npayload = 'x'", r#"app.a.payload: "x": "default", "linphone", "mod_apn" or "template""#.into()),
        ("name = 'a'\nprovider = 'log'\npayload = 'template'", "app.a.payload-file: missing: a file with one JSON object".into()),
        ("name = 'a'\nprovider = 'log'\npayload-file = 'k'", r#"app.a.payload-file: "k": only with payload = "template""#.into()),
        ("name = 'a'\nprovider = 'log'\npayload = 'template'\npayload-file = 'k'", r#"app.a.payload-file: "k": a file with one JSON object: invalid number at line 1 column 2"#.into()),
        ("name = 'a'\nprovider = 'log'\non-unregister = 'x'", r#"app.a.on-unregister: "x": "forget" or "keep""#.into()),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'b'\nprovider = 'log'\napp-ids = ['x']", never_used("a", "b")),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'b'\nprovider = 'apns'\nKEY\ndomains = ['x']", never_used("a", "b")),
        ("name = 'a'\nprovider = 'apns'\nKEY\napp-ids = ['x', 'y']\n[[app]]\nname = 'b'\nprovider = 'apns'\nKEY\napp-ids = ['y']\ndomains = ['d']", never_used("a", "b")),
        ("name = 'a'\nprovider = 'log'\n[[app]]\nname = 'b'\nprovider = 'log'", r#"app.b.app-ids: []: apps "a" and "b" both serve every phone of log: give one of them other app-ids, domains or providers"#.into()),
    ];
    for (config, error) in cases {
        let place = Place::with(&format!("[[app]]\n{}", config.replace("KEY", key)));
        place.write("k", "-----BEGIN");
        place.write("k.p12", "");
        let found = place.error().replace(&format!("{:?}", place.path("k")), "\"k\"");
        assert_eq!(found, format!("fswake.toml: {error}"));
    }
}
