//! How others have a mark set: by SIGUSR1, or by `heaptide mark`, which finds recordings by their sockets.
//!
//! A recording listens at the abstract address `heaptide/PID`, where PID is heaptide's: the kernel lists such addresses in
//! `/proc/net/unix` and forgets them when heaptide ends, so none is ever left behind.

use std::{
    future::pending,
    io,
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr, UnixListener as StdListener},
    time::Duration,
};

use anyhow::Context;
use nix::unistd::geteuid;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use crate::{pipeline::Session, profile::Mark};

/// What all addresses begin with.
pub(in crate::cli) const PREFIX: &str = "heaptide/";

/// Whoever asks has so much time to say what for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Longest question.
const QUESTION: u64 = 64;

/// Those who want marks.
pub(super) struct MarkRequests {
    signals: Signal,
    listener: Option<UnixListener>,
}

/// Somebody who wants a mark.
pub(super) enum MarkRequest {
    /// A signal.
    Signal,
    /// `heaptide mark`.
    Peer(UnixStream),
}

impl MarkRequests {
    /// Listens from now on.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let signals = signal(SignalKind::user_defined1()).context("cannot catch SIGUSR1")?;
        let listener =
            listener().inspect_err(|error| log::info!("heaptide mark will not find this recording: {error}"));
        Ok(Self { signals, listener: listener.ok() })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> MarkRequest {
        tokio::select! {
            _ = self.signals.recv() => MarkRequest::Signal,
            peer = accept(self.listener.as_ref()) => MarkRequest::Peer(peer),
        }
    }
}

fn listener() -> io::Result<UnixListener> {
    let address = SocketAddr::from_abstract_name(format!("{PREFIX}{}", std::process::id()))?;
    let listener = StdListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// The next peer with a right to ask: the same user, or root.
async fn accept(listener: Option<&UnixListener>) -> UnixStream {
    let Some(listener) = listener else { return pending().await };
    loop {
        if let Ok((peer, _)) = listener.accept().await
            && peer.peer_cred().is_ok_and(|credentials| [0, geteuid().as_raw()].contains(&credentials.uid()))
        {
            return peer;
        }
    }
}

impl MarkRequest {
    /// Sets a mark, if it is this recording that is meant, and tells whoever asked.
    pub(super) async fn answer(self, session: &mut Session) -> Option<Mark> {
        let Self::Peer(mut peer) = self else { return Some(session.mark()) };
        let mut question = String::new();
        let mut reader = BufReader::new(tokio::io::AsyncReadExt::take(&mut peer, QUESTION));
        timeout(PATIENCE, reader.read_line(&mut question)).await.ok()?.ok()?;
        let mark = match question.trim().parse::<u32>() {
            Ok(0) => Some(session.mark()),
            Ok(pid) if session.alive().any(|traced| traced == pid) => Some(session.mark()),
            _ => None,
        };
        let answer = mark.map_or("none\n".to_owned(), |mark| format!("{} {:.1}\n", mark.number, mark.seconds));
        // Whoever asked may have gone; the mark is set all the same.
        let _ = timeout(PATIENCE, peer.write_all(answer.as_bytes())).await;
        mark
    }
}
