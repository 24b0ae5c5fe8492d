//! Plays a row with one routing, and records what was observed.

use std::time::{Duration, Instant};

use fswake_test_support::realfs::{Routing, filled};
use fswake_test_support::sip::{Direction, Script};

use super::cast::Cast;
use super::look;
use super::row::{Row, Step, Who};
use super::stage::Stage;

/// The observations in order: name and text.
pub type Observation = Vec<(String, String)>;

/// Places the call, carries out the steps, and ends whatever is left.
pub async fn play(stage: &Stage, row: &Row, number: usize, way: Routing) -> Observation {
    let cast = Cast::assemble(stage, row, number, way).await;
    let mut seen = Observation::new();
    for step in &row.steps {
        let took = take(&cast, row, step, &mut seen).await;
        if let Err(failure) = took {
            seen.push((format!("{step:?}"), failure));
        }
    }
    cast.disperse().await;
    seen
}

/// A step that cannot be carried out is recorded, and compared as well.
async fn take(cast: &Cast<'_>, row: &Row, step: &Step, seen: &mut Observation) -> Result<(), String> {
    let status = |status: u16, wanted: u16| match status {
        status if status == wanted => Ok(()),
        status => Err(status.to_string()),
    };
    match step {
        Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        Step::Until(moment) => {
            if !cast.until(*moment).await {
                return Err("never".to_owned());
            }
        }
        Step::PickUp(who) => {
            if !cast.phone(*who).answer_soon() {
                return Err("does not ring".to_owned());
            }
        }
        Step::PickUpIfItRings(who) => {
            cast.phone(*who).answer_soon();
        }
        Step::Refuse(who, with) => cast.phone(*who).refuse(*with),
        Step::HangUp(who) => cast.up(*who).ok_or("no call")?.hang_up().await,
        Step::Cancel => cast.call.cancel().await,
        Step::Api(command) => {
            let command = cast.fill(command).await;
            let asked = Instant::now();
            let answer = cast.site.fs.api(&command).await;
            cast.orders(asked);
            if answer.starts_with("-ERR") {
                return Err(look::plain(&answer, cast));
            }
        }
        Step::Reinvite(who, codecs) => {
            let leg = cast.up(*who).ok_or("no call")?;
            status(leg.reinvite(codecs, Direction::Both).await, 200)?;
        }
        Step::Hold(who) => {
            let leg = cast.up(*who).ok_or("no call")?;
            status(leg.reinvite(&script(row, *who).codecs, Direction::SendOnly).await, 200)?;
        }
        Step::Unhold(who) => {
            let leg = cast.up(*who).ok_or("no call")?;
            status(leg.reinvite(&script(row, *who).codecs, Direction::Both).await, 200)?;
        }
        Step::OfferFax(who) => {
            let leg = cast.up(*who).ok_or("no call")?;
            status(leg.offer_fax().await, 200)?;
        }
        Step::CanVideo(who) => {
            let now = Script {
                video: true,
                ..script(row, *who).clone()
            };
            cast.phone(*who).behave(now);
        }
        Step::AddVideo(who) | Step::DropVideo(who) => {
            let leg = cast.up(*who).ok_or("no call")?;
            let now = Script {
                video: matches!(step, Step::AddVideo(_)),
                ..script(row, *who).clone()
            };
            cast.phone(*who).behave(now.clone());
            status(leg.reinvite(&now.codecs, Direction::Both).await, 200)?;
        }
        Step::Blind(who, number) => {
            let leg = cast.up(*who).ok_or("no call")?;
            status(leg.refer(&filled(number, &cast.id)).await, 202)?;
        }
        Step::Attended(who, number) => attended(cast, *who, number, 200).await?,
        Step::AttendedRinging(who, number) => attended(cast, *who, number, 180).await?,
        Step::Call(who, number) => cast.calls(*who, number),
        Step::Baresip(command, params) => {
            let baresip = cast.baresip.as_ref().ok_or("no baresip")?;
            baresip.command(command, &filled(params, &cast.id)).await;
        }
        Step::Says(what, times) => {
            let baresip = cast.baresip.as_ref().ok_or("no baresip")?;
            if !baresip.says(what, *times).await {
                eprintln!("baresip, {}: {}", row.name, baresip.said());
                return Err("never".to_owned());
            }
        }
        Step::Join => {
            let baresip = cast.baresip.as_ref().ok_or("no baresip")?;
            let to = cast.replaces().await.ok_or("no second call")?;
            baresip.command("line", "1").await;
            baresip.command("transfer", &to).await;
        }
        Step::Press(who, digits) => cast.up(*who).ok_or("no call")?.press(digits),
        Step::See(name, what) => seen.push(((*name).to_owned(), look::at(cast, what).await)),
    }
    Ok(())
}

fn script(row: &Row, who: Who) -> &Script {
    match who {
        Who::Caller => &row.caller,
        _ => &row.callee,
    }
}

/// Refers the far end of the first call to the far end of a second one, once that one has reached the required state.
async fn attended(cast: &Cast<'_>, who: Who, number: &str, once: u16) -> Result<(), String> {
    let first = cast.up(who).ok_or("no call")?;
    let domain_number = filled(number, &cast.id);
    let second = cast.phone(who).call(&domain_number);
    let answer = second.response_within(Duration::from_secs(8), |s| s >= once).await;
    match answer {
        Some((_, status)) if status == once => {}
        other => return Err(format!("consultation: {:?}", other.map(|(_, status)| status))),
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    match first.refer_to_far_end_of(&second.leg()).await {
        202 => Ok(()),
        status => Err(status.to_string()),
    }
}
