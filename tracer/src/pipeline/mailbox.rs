//! The way from the readers to the session: what the rings tell of stacks and processes, in order.
//!
//! The session reads what processes have mapped while notices come in, and can be slower than a program that meets new
//! stacks all the time. What waits is limited: beyond it stacks are refused and counted, and nothing else is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::live::Notice;

/// Most bytes of stacks that wait.
const MOST_WAITING: u64 = 256 << 20;

/// A reader's end. All are one.
#[derive(Clone)]
pub(super) struct Outbox {
    sender: UnboundedSender<Notice>,
    counts: Arc<Counts>,
}

/// The session's end.
pub(super) struct Inbox {
    receiver: UnboundedReceiver<Notice>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicU64,
    refused: AtomicU64,
}

/// Both ends.
pub(super) fn mailbox() -> (Outbox, Inbox) {
    let (sender, receiver) = unbounded_channel();
    let counts = Arc::new(Counts::default());
    (Outbox { sender, counts: Arc::clone(&counts) }, Inbox { receiver, counts })
}

impl Outbox {
    /// Sends a notice, unless it is a stack and too many wait.
    pub(super) fn send(&self, notice: Notice) {
        let bytes = bytes(&notice);
        let before = self.counts.waiting.fetch_add(bytes, Ordering::Relaxed);
        if bytes > 0 && before + bytes > MOST_WAITING {
            self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The session may have gone.
        let _ = self.sender.send(notice);
    }
}

impl Inbox {
    /// The next notice; `None` when no reader is left.
    pub(super) async fn next(&mut self) -> Option<Notice> {
        let notice = self.receiver.recv().await;
        self.taken(notice)
    }

    /// The next notice, if there is one.
    pub(super) fn waiting(&mut self) -> Option<Notice> {
        let notice = self.receiver.try_recv().ok();
        self.taken(notice)
    }

    /// Stacks that were refused, or what they lacked.
    pub(super) fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }

    fn taken(&self, notice: Option<Notice>) -> Option<Notice> {
        let bytes = notice.as_ref().map_or(0, bytes);
        self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
        notice
    }
}

/// Bytes of a stack that waits; 0 of what is not refused.
fn bytes(notice: &Notice) -> u64 {
    match notice {
        Notice::Stack { frames, .. } => (size_of::<Notice>() + size_of_val(&frames[..])) as u64,
        Notice::Remains(remains) => (size_of_val(&**remains) + remains.memory.len()) as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::Marks;

    fn stack(frames: usize) -> Notice {
        Notice::Stack { pid: 1, id: 2, frames: vec![7; frames].into(), marks: Marks::default() }
    }

    #[test]
    fn stacks_are_refused_while_too_many_wait_and_others_are_not() {
        const LARGE: usize = 1 << 20;
        let (outbox, mut inbox) = mailbox();
        let fit = MOST_WAITING as usize / (LARGE * 8 + size_of::<Notice>());
        (0..fit + 3).for_each(|_| outbox.send(stack(LARGE)));
        outbox.send(Notice::Exited(1));
        assert_eq!(inbox.refused(), 3);
        assert!(matches!(inbox.waiting(), Some(Notice::Stack { .. })));
        outbox.send(stack(LARGE));
        let waiting: Vec<Notice> = std::iter::from_fn(|| inbox.waiting()).collect();
        assert_eq!(waiting.len(), fit + 1);
        assert!(waiting.contains(&Notice::Exited(1)));
        assert_eq!((inbox.refused(), inbox.counts.waiting.load(Ordering::Relaxed)), (3, 0));
    }
}
