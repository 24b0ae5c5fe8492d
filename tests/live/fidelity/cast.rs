//! The phones of one row with one routing, and their call.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fswake_test_support::baresip::{Baresip, Settings};
use fswake_test_support::realfs::{RealFs, Routing, VANILLA_DOMAIN, filled};
use fswake_test_support::sip::{Account, Leg, Noise, OutgoingCall, Phone, Script, What};
use fswake_test_support::site::{Site, Wakes};

use super::look;
use super::row::{Moment, Row, Who};
use super::stage::Stage;

/// How long to wait for what has to come.
const SOON: Duration = Duration::from_secs(8);

/// The phones of a row, and its channels.
pub struct Cast<'a> {
    pub site: &'a Site,
    pub stage: &'a Stage,
    /// Routing and row: the prefix of its users' numbers.
    pub id: String,
    pub phones: BTreeMap<Who, Phone>,
    pub call: OutgoingCall,
    pub baresip: Option<Baresip>,
    /// The caller's channel.
    pub channel: String,
    /// When the call began.
    pub since: SystemTime,
    /// The last call after the row's first one.
    called: Mutex<Option<(OutgoingCall, String)>>,
    /// When FreeSWITCH answered the row's last command, and how long that took.
    ordered: Mutex<Option<(Instant, Duration)>>,
}

impl<'a> Cast<'a> {
    /// Registers the phones, puts the sleepers to sleep, and calls.
    pub async fn assemble(stage: &'a Stage, row: &Row, number: usize, way: Routing) -> Cast<'a> {
        let (site, there) = (&stage.site, &**stage.registrar(way));
        let id = format!("{}{number:03}", way.digit());
        let user = |who: Who| format!("{id}{}", who.digit());
        let mut phones = BTreeMap::new();
        let caller = site
            .desk_phone(&user(Who::Caller), VANILLA_DOMAIN, row.caller.clone())
            .await;
        caller.display_name(row.display);
        phones.insert(Who::Caller, caller);
        if let Some(script) = &row.desk {
            let desk = site.desk_phone(&user(Who::Desk), VANILLA_DOMAIN, script.clone()).await;
            phones.insert(Who::Desk, desk);
        }
        let callee = user(Who::Callee);
        let mut script = row.callee.clone();
        if let Some(desk) = phones.get(&Who::Desk) {
            script.redirect_to = format!("sip:{}@{}", user(Who::Desk), desk.address());
        }
        let account = |user: &str| there.account(user, VANILLA_DOMAIN);
        let (mut baresip, mut token) = (None, None);
        if row.baresip == Some(Who::Callee) {
            if row.awake || way.is_plain() {
                baresip = Some(registered(there, account(&callee), row).await);
            } else {
                // A push to this token starts the app.
                let app = Phone::new(account(&callee), script.clone()).await;
                token = Some(site.give_token(&app, Wakes::Never));
                assert_eq!(app.register().await, 200);
                site.heard(&app).await;
                app.sleep();
                site.forget_place_at(there, &app).await;
                phones.insert(Who::Callee, app);
            }
        } else {
            phones.insert(Who::Callee, phone(stage, &callee, row, &script, way).await);
        }
        if row.baresip == Some(Who::Caller) {
            let caller = site.fs.account(&user(Who::Caller), VANILLA_DOMAIN);
            let settings = Settings {
                encrypts: row.encrypts,
                ..Settings::default()
            };
            baresip = Some(Baresip::start(caller, Who::Caller.voice(), settings).await);
        }
        if let Some(script) = &row.other {
            let other = site.desk_phone_of(account(&callee), script.clone()).await;
            phones.insert(Who::Other, other);
        }
        if let Some(script) = &row.third {
            phones.insert(Who::Third, phone(stage, &user(Who::Third), row, script, way).await);
        }
        if row.watched {
            let script = super::row::answers(Who::Watcher);
            let watcher = site.desk_phone(&user(Who::Watcher), VANILLA_DOMAIN, script).await;
            let status = watcher.watch(&callee).await;
            assert!((200..300).contains(&status), "SUBSCRIBE: {status}");
            tokio::time::sleep(Duration::from_millis(300)).await;
            phones.insert(Who::Watcher, watcher);
        }
        let since = SystemTime::now();
        let channel = uuid::Uuid::new_v4().to_string();
        let call = phones[&Who::Caller].call_as(&filled(row.dials, &id), &channel);
        if let Some(token) = token {
            assert!(site.pushed_to(&token).await, "baresip's app is not pushed");
            baresip = Some(registered(there, account(&callee), row).await);
        }
        Cast {
            site,
            stage,
            id,
            phones,
            call,
            baresip,
            channel,
            since,
            called: Mutex::default(),
            ordered: Mutex::default(),
        }
    }

    /// Records when FreeSWITCH answered a command.
    pub fn orders(&self, asked: Instant) {
        *self.ordered.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), asked.elapsed()));
    }

    /// When it answered the last one, and how long that took; or when a later call was answered.
    pub fn ordered(&self) -> Option<(Instant, Duration)> {
        let ordered = *self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = called.iter().flat_map(|(call, _)| call.answers());
        let answered = answers
            .filter(|m| m.status() == Some(200))
            .map(|m| (m.at, Duration::ZERO));
        ordered.into_iter().chain(answered).max_by_key(|(at, _)| *at)
    }

    /// A phone calls this number.
    pub fn calls(&self, who: Who, number: &str) {
        let channel = uuid::Uuid::new_v4().to_string();
        let call = self.phone(who).call_as(&filled(number, &self.id), &channel);
        *self.called.lock().unwrap_or_else(PoisonError::into_inner) = Some((call, channel));
    }

    /// fswake's report on the call: its result, and all steps.
    pub async fn booked(&self) -> Option<(String, String)> {
        let user = format!("{}{}@{VANILLA_DOMAIN}", self.id, Who::Callee.digit());
        // There is no report if nobody called this user through fswake.
        let (_, out, _) = self.site.tool(&["trace", &user, "--json"]).await;
        let found: serde_json::Value = serde_json::from_str(&out).ok()?;
        let wake = found["wakes"].as_array()?.last()?;
        let steps = wake["steps"].as_array()?.iter();
        let words: Vec<&str> = steps.filter_map(|step| step["words"].as_str()).collect();
        Some((wake["result"].as_str()?.to_owned(), words.join("; ")))
    }

    pub fn phone(&self, who: Who) -> &Phone {
        let phone = self.phones.get(&who);
        phone.unwrap_or_else(|| panic!("the row has no {who:?}"))
    }

    /// Its last call.
    pub fn leg(&self, who: Who) -> Option<Leg> {
        self.phone(who).all_legs().pop()
    }

    /// Its last call that is up.
    pub fn up(&self, who: Who) -> Option<Leg> {
        self.phone(who).legs().pop()
    }

    /// Waits for it, and returns whether it came.
    pub async fn until(&self, moment: Moment) -> bool {
        match moment {
            Moment::Rings(who) => self.happens(who, |w| matches!(w, What::Rang)).await,
            Moment::Up(Who::Caller) => {
                let answer = self.call.response_within(SOON, |s| s >= 200).await;
                answer.is_some_and(|(_, status)| status == 200)
            }
            Moment::Up(who) => self.happens(who, |w| matches!(w, What::Confirmed)).await,
            Moment::Ringback => self
                .call
                .response_within(SOON, |s| s == 180 || s == 183)
                .await
                .is_some(),
            Moment::Final => {
                let patience = Duration::from_secs(40);
                self.call.response_within(patience, |s| s >= 200).await.is_some()
            }
            Moment::Talk => {
                let hears = |who: Who, voice: Who| {
                    let heard = self.up(who).map(|leg| leg.heard()).unwrap_or_default();
                    heard.iter().any(|(_, noise)| *noise == Noise::Voice(voice.voice()))
                };
                soon(|| hears(Who::Caller, Who::Callee) && hears(Who::Callee, Who::Caller)).await
            }
            Moment::Bridged => {
                let deadline = Instant::now() + SOON;
                let question = format!("uuid_getvar {} bridge_to", self.channel);
                loop {
                    let with = self.site.fs.api(&question).await;
                    if self.callee_channel().await.is_some_and(|callee| with.trim() == callee) {
                        return true;
                    }
                    if Instant::now() > deadline {
                        return false;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Moment::Straight => soon(|| look::is_straight(self) == Some(true)).await,
            Moment::Free(who) => soon(|| self.phone(who).legs().is_empty()).await,
            Moment::Over(who) => soon(|| self.leg(who).is_some_and(|leg| leg.end().is_some())).await,
        }
    }

    async fn happens(&self, who: Who, wanted: impl Fn(&What) -> bool) -> bool {
        self.phone(who).wait(SOON, |h| wanted(&h.what)).await.is_some()
    }

    /// The channel of the callee's leg at the call's FreeSWITCH.
    pub async fn callee_channel(&self) -> Option<String> {
        let user = format!("{}1@", self.id);
        let other = format!("{}1\"", self.id);
        let of_callee = |c: &&serde_json::Value| {
            let name = c["name"].as_str().unwrap_or_default();
            let dest = c["dest"].to_string();
            name.starts_with("sofia/")
                && c["direction"] == "outbound"
                && (name.contains(&user) || dest.ends_with(&other))
        };
        let channels = self.site.fs.channels().await;
        let uuid = |c: &serde_json::Value| Some(c["uuid"].as_str()?.to_owned());
        // The user may have several phones: this is the callee's.
        let phone = self.phones.get(&Who::Callee);
        let place = phone.map(Phone::place).unwrap_or_default();
        let is_there = |c: &&serde_json::Value| c["name"].as_str().unwrap_or_default().contains(&place);
        let mut of_user = channels.iter().filter(of_callee);
        if let Some(found) = of_user.clone().find(is_there) {
            return uuid(found);
        }
        // Its leg may go to another FreeSWITCH, where the phone's own leg is a child of it.
        let there = self.stage.channels().await;
        let there = there.iter().find(|(_, c)| is_there(&c));
        if let Some((fs, own)) = there {
            let parent = fs
                .api(&format!("uuid_getvar {} originating_leg_uuid", uuid(own)?))
                .await;
            let call_id = fs.api(&format!("uuid_getvar {parent} sip_call_id")).await;
            for channel in of_user.clone() {
                let channel = uuid(channel)?;
                let id = self.site.fs.api(&format!("uuid_getvar {channel} sip_call_id")).await;
                if id == call_id {
                    return Some(channel);
                }
            }
        }
        uuid(of_user.next()?)
    }

    /// The same, but waits for it: FreeSWITCH updates its list of channels with a delay, half a second for the first
    /// ones after it starts.
    async fn listed_callee(&self) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(channel) = self.callee_channel().await {
                return channel;
            }
            assert!(
                Instant::now() < deadline,
                "FreeSWITCH lists no channel of the callee's phone"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// baresip's second call is to the desk phone: that number, and the dialog as a Replaces names it.
    pub async fn replaces(&self) -> Option<String> {
        let desk = format!("{}5", self.id);
        // baresip calls at its own FreeSWITCH.
        let channels = self.stage.channels().await;
        let is_second = |c: &serde_json::Value| c["direction"] == "inbound" && c["dest"] == desk.as_str();
        let mut seconds = channels.iter().filter(|(_, channel)| is_second(channel));
        let (fs, channel) = seconds.next_back()?;
        let uuid = channel["uuid"].as_str()?.to_owned();
        let mut words = Vec::new();
        for name in ["sip_call_id", "sip_to_tag", "sip_from_tag"] {
            words.push(fs.api(&format!("uuid_getvar {uuid} {name}")).await);
        }
        Some(format!(
            "<sip:{desk}@{VANILLA_DOMAIN}?Replaces={}%3Bto-tag%3D{}%3Bfrom-tag%3D{}>",
            words[0], words[1], words[2]
        ))
    }

    /// Replaces the placeholders for channels and users.
    pub async fn fill(&self, command: &str) -> String {
        let mut command = filled(command, &self.id).replace("{caller}", &self.channel);
        if let Some((_, channel)) = &*self.called.lock().unwrap_or_else(PoisonError::into_inner) {
            command = command.replace("{desk}", channel);
        }
        if command.contains("{callee}") {
            command = command.replace("{callee}", &self.listed_callee().await);
        }
        command
    }

    /// Ends the calls that the row has left.
    pub async fn disperse(self) {
        if self.call.response_within(Duration::ZERO, |s| s >= 200).await.is_none() {
            self.call.cancel().await;
        }
        if let Some(baresip) = &self.baresip {
            for _ in 0..2 {
                baresip.command("hangup", "").await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        for phone in self.phones.values() {
            phone.hang_up().await;
        }
    }
}

/// Waits until it is true, and returns whether it is.
async fn soon(is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// baresip in the callee's place.
async fn registered(fs: &RealFs, account: Account, row: &Row) -> Baresip {
    let command = format!("sofia status profile internal user {}@{}", account.user, account.domain);
    let settings = Settings {
        registers: true,
        encrypts: row.encrypts,
    };
    let baresip = Baresip::start(account, Who::Callee.voice(), settings).await;
    let deadline = Instant::now() + SOON;
    while !fs.api(&command).await.contains("Registered(") {
        assert!(Instant::now() < deadline, "baresip does not register");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    baresip
}

/// A phone that is called: awake, or asleep until a push wakes it.
async fn phone(stage: &Stage, user: &str, row: &Row, script: &Script, way: Routing) -> Phone {
    let (site, there) = (&stage.site, stage.registrar(way));
    let mut account = there.account(user, VANILLA_DOMAIN);
    if row.asserting {
        account.server = there.ports.single;
    }
    if row.awake || way.is_plain() {
        let phone = site.desk_phone_of(account, script.clone()).await;
        if row.stale {
            phone.wake_elsewhere().await;
            phone.register().await;
        }
        return phone;
    }
    let phone = site.sleeper_of(account, Wakes::Elsewhere, script.clone()).await;
    if !row.stale {
        site.forget_place_at(there, &phone).await;
    }
    phone
}
