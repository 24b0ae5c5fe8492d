//! How a call's connection ends: in order, by its loss, or by a bug in fswake. In each case the engine learns that
//! this call has no connection any more, and no leg goes on ringing.

use std::panic::AssertUnwindSafe;

use freeswitch_esl_tokio::EslError;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::{debug, error};

use super::connection::{Connection, Place};
use super::kind;
use crate::engine::{CallOrder, Cause, Event};
use crate::input::Input;
use crate::types::LegId;

impl Connection {
    /// Does the call's work, and cleans up after it.
    pub(super) async fn attend_to_its_end(
        mut self,
        mut queue: mpsc::UnboundedReceiver<CallOrder>,
        work: impl AsyncFnOnce(&mut Self, &mut mpsc::UnboundedReceiver<CallOrder>) -> Result<(), EslError>,
    ) {
        let outcome = AssertUnwindSafe(work(&mut self, &mut queue)).catch_unwind().await;
        self.count_ringing(false);
        let is_in_order = matches!(outcome, Ok(Ok(())));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(reason = kind(&error), "connection lost");
                self.emit(Event::ConnectionLost(self.call)).await;
            }
            // The panic is in the log already. FreeSWITCH goes on with the dialplan when the connection is dropped.
            Err(_) => {
                error!("a bug in fswake ended this call's connection: the call goes on without fswake");
                self.emit(Event::ConnectionLost(self.call)).await;
                // Its order has left the queue, and the engine counts that leg as done. An ordered bridge may stand.
                let in_hand = self.in_hand.take().filter(|_| self.place == Place::Held);
                if let Some((leg, cause)) = in_hand {
                    self.kill_elsewhere(leg, cause).await;
                }
            }
        }
        // Orders that are left: without a connection only the ends of legs matter.
        queue.close();
        while let Some(order) = queue.recv().await {
            if let Some((leg, cause)) = order.leg_to_end() {
                self.kill_elsewhere(leg, cause).await;
            }
        }
        if is_in_order {
            self.give_back().await;
        }
    }

    /// Kills a leg over another connection.
    pub(super) async fn kill_elsewhere(&self, leg: LegId, cause: Cause) {
        let _ = self
            .shared
            .inputs
            .send(Input::KillElsewhere(self.shared.node, leg, cause))
            .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use uuid::Uuid;

    use super::*;
    use crate::contact::{ContactRules, ParamNames};
    use crate::engine::Connect;
    use crate::esl::decode;
    use crate::esl::inbound::{Endpoint, Settings};
    use crate::esl::link::Link;
    use crate::esl::nodes::Nodes;
    use crate::esl::outbound::Outbound;
    use crate::esl::peers::Peers;
    use crate::types::{CallId, NodeId, Secret};

    const OVER: Cause = Cause::Ours("ORIGINATOR_CANCEL");

    /// A call's connection for tests, and the events that it sends.
    async fn connection() -> (Connection, mpsc::Receiver<Input>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let call = CallId(Uuid::new_v4());
        let header = |name: &str| match name {
            "Unique-ID" => Some("6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
            "variable_fswake_aor" => Some("1001@fs.test"),
            _ => None,
        };
        let held = decode::held_channel(header, call, SystemTime::now()).unwrap();
        let (inputs, told) = mpsc::channel(16);
        let settings = Settings {
            sip: None,
            profile: None,
            endpoint: Endpoint {
                host: "127.0.0.1".into(),
                port: 0,
                user: None,
                password: Secret::new(""),
            },
            rules: ContactRules {
                names: ParamNames::default(),
                strip_push: true,
            },
            notifications: false,
            voicemail: false,
        };
        let settings = tokio::sync::watch::channel(settings).1;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let nodes = Nodes::new(vec![("".into(), settings)], None, Peers::new("".into()));
        let shared = Outbound::new(inputs, |_| true, 1, stop, tasks, nodes);
        (Connection::new(shared, Link::new(stream), held), told)
    }

    /// The events as text.
    async fn all(mut told: mpsc::Receiver<Input>) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(input) = told.recv().await {
            all.push(format!("{input:?}"));
        }
        all
    }

    #[tokio::test]
    async fn defect_in_a_calls_connection_is_told_to_the_engine_and_its_legs_end() {
        let (connection, told) = connection().await;
        let call = connection.call;
        let leg = |n| LegId { call, n };
        let (orders, queue) = mpsc::unbounded_channel();
        let kill = CallOrder::Kill {
            leg: leg(1),
            cause: OVER,
        };
        orders.send(kill).unwrap();
        let connect = Connect {
            leg: leg(2),
            codec: None,
            early: false,
        };
        orders.send(CallOrder::Connect(connect)).unwrap();
        orders.send(CallOrder::Alert).unwrap();
        let work = async |this: &mut Connection, queue: &mut mpsc::UnboundedReceiver<CallOrder>| {
            this.in_hand = queue.recv().await.unwrap().leg_to_end();
            panic!("a defect")
        };
        connection.attend_to_its_end(queue, work).await;
        let lost = format!("{:?}", Input::Event(Event::ConnectionLost(call)));
        let kill = |n| format!("{:?}", Input::KillElsewhere(NodeId::FIRST, leg(n), OVER));
        assert_eq!(all(told).await, [lost, kill(1), kill(2)]);
        assert!(
            orders.send(CallOrder::Alert).is_err(),
            "the driver has to know that nobody listens"
        );
    }

    #[tokio::test]
    async fn leg_that_is_being_bridged_when_the_defect_shows_is_not_killed_once_its_bridge_was_ordered() {
        for (place, is_killed) in [(Place::Held, true), (Place::Bridging, false), (Place::Replaced, false)] {
            let (connection, told) = connection().await;
            let leg = LegId {
                call: connection.call,
                n: 0,
            };
            let (_orders, queue) = mpsc::unbounded_channel();
            let work = async |this: &mut Connection, _: &mut mpsc::UnboundedReceiver<CallOrder>| {
                (this.in_hand, this.place) = (Some((leg, OVER)), place);
                panic!("a defect")
            };
            connection.attend_to_its_end(queue, work).await;
            assert_eq!(all(told).await.len(), 1 + usize::from(is_killed), "{place:?}");
        }
    }

    #[tokio::test]
    async fn connection_that_ends_in_order_is_not_told_as_lost() {
        let (connection, told) = connection().await;
        let (_orders, queue) = mpsc::unbounded_channel();
        connection.attend_to_its_end(queue, async |_, _| Ok(())).await;
        assert_eq!(all(told).await, Vec::<String>::new());
    }
}
