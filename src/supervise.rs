//! Parts that must not end while the daemon runs: when one does, by a panic or by itself, the process ends with an
//! error, and systemd starts it again. A daemon without one of them would take no calls, or answer no queries, and
//! still feed the watchdog.

use std::collections::HashMap;
use std::future::Future;

use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinSet};

/// The vital parts, by name.
#[derive(Default)]
pub struct Parts {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Parts {
    /// Starts one as a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
        handle
    }

    /// Starts one on a thread of its own, with a runtime of its own: the thread for the event socket is woken a
    /// thousand times a second while calls wait, and each time one worker would have to wake another.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn on_a_thread(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (running, ended) = oneshot::channel();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _running: oneshot::Sender<()> = running;
            runtime.block_on(task);
        })?;
        self.spawn(name, async {
            // Closed when the thread has ended, for whatever reason.
            let _ = ended.await;
        });
        Ok(())
    }

    /// Waits until one has ended, and returns which.
    pub async fn ended(&mut self) -> String {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, how) = match &ended {
            Ok((id, ())) => (*id, "ended"),
            Err(error) if error.is_panic() => (error.id(), "panicked"),
            Err(error) => (error.id(), "was stopped"),
        };
        let name = self.names.get(&id).copied().unwrap_or("a part of the daemon");
        format!("{name} {how}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn part_that_panics_or_ends_is_named_and_those_that_run_are_not() {
        let mut parts = Parts::default();
        parts.spawn("what runs", std::future::pending());
        parts.on_a_thread("a thread that runs", std::future::pending()).unwrap();
        parts.spawn("what panics", async { panic!("a defect") });
        assert_eq!(parts.ended().await, "what panics panicked");
        parts.on_a_thread("a thread", async { panic!("a defect") }).unwrap();
        assert_eq!(parts.ended().await, "a thread ended");
        parts.spawn("what ends", async {});
        assert_eq!(parts.ended().await, "what ends ended");
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(50), parts.ended()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }
}
