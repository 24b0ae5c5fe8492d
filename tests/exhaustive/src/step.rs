//! The events that may come next. Impossible ones are left out, such as an 18x of a leg that does not exist, or a
//! bridge that was not ordered.

use crate::ledger::{Bridge, CallAccount, Leg, LegSound};
use crate::sim::Sim;
use crate::types::PushId;

/// An event. Phones and calls are 0 and 1; legs and pushes have the engine's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A phone registers at one of its two addresses: for the first time, again, or at the other address.
    Register(u8, u8),
    /// A phone un-REGISTERs.
    Unregister(u8),
    /// A phone's connection is closed.
    Closed(u8),
    /// A phone's earlier connection is closed (only in some beginnings); it is registered on another.
    OldCloses(u8),
    /// The provider accepts a push.
    PushTaken(u16),
    /// The provider refuses a push.
    PushRefused(u16),
    /// 180.
    Rings(u8, u8),
    /// 183 with media, on the only leg.
    Plays(u8, u8),
    /// 486.
    Busy(u8, u8),
    /// 403 (only in some beginnings).
    Refuses(u8, u8),
    /// 200.
    Answers(u8, u8),
    /// The phone is unreachable. A leg that has answered hangs up.
    Fails(u8, u8),
    /// The bridge is made.
    Bridged(u8, u8),
    /// The caller hears the phone's early media.
    EarlyBridged(u8, u8),
    /// The bridge failed.
    BridgeFails(u8, u8),
    /// The phone hung up between its answer and the bridge.
    HangsUp(u8, u8),
    /// The caller hangs up.
    CallerGone(u8),
    /// Another phone picks the caller up.
    PickedUp(u8),
    /// A call arrives.
    Call(u8),
    /// Time advances to the next timer.
    Timer,
}

/// The receivers of a step, which decide its effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receivers {
    /// One call, without the other call and the other call's pushes.
    Call(u8),
    /// All calls, as far as they concern phones. Results of pushes do not matter.
    Phones,
    /// The whole state.
    All,
}

impl Step {
    /// All events that may come next.
    pub fn possible(sim: &Sim, out: &mut Vec<Self>) {
        out.clear();
        for phone in 0..2 {
            // In the longest histories one phone stays at its address and loses its connection; the other moves and
            // un-REGISTERs.
            let (moves, is_any) = (phone == 0, sim.around.any_phone);
            out.push(Self::Register(phone, 0));
            if moves || is_any {
                out.push(Self::Register(phone, 1));
            }
            let is_bound = sim.around.bound[usize::from(phone)].is_some();
            if is_bound && (moves || is_any) {
                out.push(Self::Unregister(phone));
            }
            if is_bound && (!moves || is_any) {
                out.push(Self::Closed(phone));
            }
            if is_bound && is_any {
                out.push(Self::OldCloses(phone));
            }
        }
        for push in &sim.around.pushes {
            out.extend([Self::PushTaken(push.n), Self::PushRefused(push.n)]);
        }
        for (call, account) in (0..).zip(&sim.ledger.calls) {
            if !account.over {
                out.extend([Self::CallerGone(call), Self::PickedUp(call)]);
                Self::of_legs(call, account, sim.around.refuses, out);
            }
        }
        if sim.around.another_call {
            out.push(Self::Call(1));
        }
        if sim.engine.next_due().is_some() {
            out.push(Self::Timer);
        }
    }

    /// The receivers of the step.
    pub fn receivers(self, sim: &Sim) -> Receivers {
        match self {
            Self::Rings(call, _)
            | Self::Plays(call, _)
            | Self::Busy(call, _)
            | Self::Refuses(call, _)
            | Self::Answers(call, _)
            | Self::Fails(call, _)
            | Self::Bridged(call, _)
            | Self::EarlyBridged(call, _)
            | Self::BridgeFails(call, _)
            | Self::HangsUp(call, _)
            | Self::CallerGone(call)
            | Self::PickedUp(call) => Receivers::Call(call),
            // Calls that share a push also get its refusal.
            Self::PushRefused(n) if !sim.engine.riders(PushId(u64::from(n))).is_empty() => Receivers::All,
            Self::PushTaken(n) | Self::PushRefused(n) => {
                let push = sim.around.pushes.iter().find(|push| push.n == n);
                push.map_or(Receivers::All, |push| Receivers::Call(push.call))
            }
            Self::Register(..) | Self::Unregister(_) | Self::Closed(_) | Self::OldCloses(_) | Self::Call(_) => {
                Receivers::Phones
            }
            Self::Timer => Receivers::All,
        }
    }

    fn of_legs(call: u8, account: &CallAccount, refuses: bool, out: &mut Vec<Self>) {
        for leg in &account.legs {
            let n = u8::try_from(leg.n).unwrap_or(u8::MAX);
            let may = |steps: &[fn(u8, u8) -> Self], out: &mut Vec<Self>| {
                out.extend(steps.iter().map(|step| step(call, n)));
            };
            let Leg { heard, bridge, .. } = leg;
            match (bridge, heard) {
                (Bridge::No, LegSound::Answered) => may(&[Self::Fails], out),
                (Bridge::No, heard) => {
                    if *heard < LegSound::Ringing {
                        may(&[Self::Rings], out);
                    }
                    if leg.alone {
                        may(&[Self::Plays], out);
                    }
                    may(&[Self::Busy, Self::Answers, Self::Fails], out);
                    if refuses {
                        may(&[Self::Refuses], out);
                    }
                }
                (Bridge::Connecting(early), heard) => {
                    if *early && *heard != LegSound::Answered {
                        may(&[Self::Answers], out);
                    }
                    may(
                        &[
                            if *early { Self::EarlyBridged } else { Self::Bridged },
                            Self::BridgeFails,
                            Self::HangsUp,
                        ],
                        out,
                    );
                }
                (Bridge::Early, _) => may(&[Self::Answers, Self::Busy, Self::Fails], out),
                (Bridge::Connected, _) => {}
            }
        }
    }
}
