//! Claim: the longest known Contact is parsed in less than 2 µs.

use std::hint::black_box;

use fswake::contact::{NetworkHint, ParamNames, parse};

fn main() {
    divan::main();
}

const HEX: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

/// Linphone on iOS behind a NAT: two tokens and thirteen parameters, repeated in `fs_path`.
fn linphone_behind_nat() -> String {
    let params = format!(
        "pn-provider=apns;pn-prid={HEX}:remote&{HEX}:voip;pn-param=ABCD123456.org.linphone.phone.remote&voip;\
         pn-msg-str=IM_MSG;pn-call-str=IC_MSG;pn-groupchat-str=GC_MSG;pn-call-snd=notes_of_the_optimistic.caf;\
         pn-msg-snd=msg.caf;pn-timeout=0;pn-silent=1;transport=udp"
    );
    format!("\"\" <sip:alice@172.20.10.1:59384;{params};fs_nat=yes;fs_path=sip:alice@198.51.100.7:59384;{params}>")
}

/// The longest Contact that FreeSWITCH passes on: a long FCM token, truncated in `fs_path`.
fn cut_at_1023_bytes() -> String {
    let params = format!(
        "transport=udp;pn-provider=fcm;pn-param=my-project-123;pn-prid=dGhpc2l:{}",
        "APA91bAb-_".repeat(40)
    );
    let mut text =
        format!("\"\" <sip:1003@192.168.1.77:42007;{params};fs_nat=yes;fs_path=sip:1003@198.51.100.7:42007;{params}");
    text.truncate(1000);
    text
}

fn android() -> String {
    let token = "APA91bAb-_".repeat(14);
    format!(
        "\"\" <sip:1008@192.0.2.1:39699;pn-prid=dXjHIC0DQrKhophK83aLKv:{token};pn-provider=fcm;\
             pn-param=139700000000;pn-silent=1;pn-timeout=0;transport=udp>"
    )
}

fn shape(name: &str) -> String {
    match name {
        "linphone behind NAT" => linphone_behind_nat(),
        "cut at 1023 bytes" => cut_at_1023_bytes(),
        _ => android(),
    }
}

const SHAPES: &[&str] = &["linphone behind NAT", "cut at 1023 bytes", "android"];

#[divan::bench(args = SHAPES, sample_size = 1000)]
fn parse_contact(bencher: divan::Bencher<'_, '_>, name: &str) {
    let (contact, names) = (shape(name), ParamNames::default());
    let hint = NetworkHint::from_event("198.51.100.7", "42007", "Registered(UDP-NAT)");
    bencher
        .counter(divan::counter::BytesCount::of_str(&contact))
        // The result is dropped inside the measurement. Keeping all results would measure the kernel's memory
        // allocation.
        .bench_local(|| {
            drop(black_box(parse(
                black_box(&contact),
                &names,
                "LinphoneiOS/5.2",
                hint.as_ref(),
            )));
        });
}

#[divan::bench(args = SHAPES, sample_size = 1000)]
fn write_dial_target(bencher: divan::Bencher<'_, '_>, name: &str) {
    let names = ParamNames::default();
    let uri = parse(&shape(name), &names, "", None).map(|contact| contact.uri);
    bencher.bench_local(|| {
        uri.as_ref()
            .map(|uri| uri.dial_target(black_box("internal"), Some(&names)))
            .ok()
    });
}
