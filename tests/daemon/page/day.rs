//! A day of wakes.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::harness::*;

/// Adds a day of wakes to a running daemon's store. A quarter of a hundred calls finds no phone to push, and the latest
/// calls fail in four ways.
pub fn a_day(stage: &Stage) {
    let store = Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    store.busy_timeout(LONG).unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let sql =
        "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, ?3, 'fs.test', ?4, ?5)";
    for n in 0..100_i64 {
        let (call, user) = (uuid::Uuid::new_v4().to_string(), format!("{}", 1010 + n % 17));
        let held_at = now - 60_000 - (99 - n) * 840_000;
        let write = |after: i64, event: &str, detail: serde_json::Value| {
            store
                .execute(sql, params![held_at + after, call, user, event, detail.to_string()])
                .unwrap();
        };
        let (device, caller) = (format!("apns:com.example.phone:{n:08x}"), format!("+49301234{n:02}"));
        let pushed = n % 4 > 0;
        write(
            0,
            "call-held",
            serde_json::json!({ "caller": caller, "devices": 1, "wait-ms": 25_000, "way": "socket" }),
        );
        let mut end = 9;
        if pushed {
            write(
                2,
                "push-sent",
                serde_json::json!({ "device": device, "try": 1, "user-agent": "Example/1" }),
            );
            end = 25_000;
            let refused = match n {
                98 => Some(("misconfigured", "InvalidProviderToken")),
                97 => Some(("misconfigured", "no app serves provider apns and app id x")),
                n if n % 20 == 1 => Some(("token-gone", "token gone (Unregistered)")),
                _ => None,
            };
            let is_refused = refused.is_some();
            let (event, detail) = if let Some((class, reason)) = refused {
                let detail = serde_json::json!({ "device": device, "reason": reason, "class": class, "ms": 58 });
                ("push-refused", detail)
            } else {
                let detail = serde_json::json!({ "device": device, "status": 200, "attempts": 1, "ms": 58 });
                ("push-accepted", detail)
            };
            write(60, event, detail);
            if n == 95 {
                let busy = serde_json::json!({ "device": device, "leg": 0, "cause": "USER_BUSY", "sip": 486 });
                write(
                    900,
                    "device-registered",
                    serde_json::json!({ "device": device, "ms": 898 }),
                );
                write(902, "leg-started", serde_json::json!({ "device": device, "leg": 0 }));
                write(990, "leg-ended", busy);
                end = 990;
            } else if !is_refused && n != 94 && n % 9 != 2 {
                let woken = 400 + (n * 37) % 1_900 + if n % 13 == 3 { 7_000 } else { 0 };
                write(
                    woken,
                    "device-registered",
                    serde_json::json!({ "device": device, "how": "fresh", "ms": woken - 2 }),
                );
                write(
                    woken + 2,
                    "leg-started",
                    serde_json::json!({ "device": device, "leg": 0 }),
                );
                write(
                    woken + 180,
                    "leg-ringing",
                    serde_json::json!({ "device": device, "leg": 0 }),
                );
                end = woken + 4_000;
                write(end, "leg-answered", serde_json::json!({ "device": device, "leg": 0 }));
            }
        }
        let result = match end {
            9 => "no-device",
            990 => "declined",
            25_000 => "unreachable",
            _ => "connected",
        };
        write(
            end + 1,
            "call-over",
            serde_json::json!({ "result": result, "caller": "dialplan" }),
        );
    }
}
