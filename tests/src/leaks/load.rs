//! Clients that ask a service at a steady pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use super::requests::Draw;
use super::{Connection, Running, Service, period};

/// How a service is asked.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Questions a second, of all clients together.
    pub a_second: u32,
    /// One in so many questions is wrong; none where there is no number.
    pub one_wrong_in: Option<u32>,
}

/// What was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Questions that were answered with yes.
    pub right: u64,
    /// Questions that were refused.
    pub wrong: u64,
}

/// Clients at work. They stop when this is dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Asked>>>,
}

/// Connections, a thread each: a service answers more than one at a time.
const CLIENTS: u32 = 2;

impl Load {
    /// Asks until it is ended.
    pub fn start(service: &Running, mix: Mix) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self { stop: Arc::clone(&stop), clients: Vec::new() };
        for number in 0..CLIENTS {
            let mut client = Client {
                service: service.service,
                connection: service.connect()?,
                draw: Draw::new(u64::from(number) + 1),
                asked: Asked::default(),
            };
            let stop = Arc::clone(&stop);
            load.clients.push(thread::spawn(move || client.work(mix, &stop).map(|()| client.asked)));
        }
        Ok(load)
    }

    /// Ends it, and tells what was asked. Fails where an answer was not the right one.
    pub fn end(mut self) -> Result<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Asked::default();
        for client in self.clients.drain(..) {
            let asked = client.join().map_err(|_| anyhow!("a client has panicked"))??;
            sum.right += asked.right;
            sum.wrong += asked.wrong;
        }
        Ok(sum)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Asks `questions` times as quickly as they are answered: what a service does only at its start is done then.
pub fn warm_up(service: &Running, questions: u32, mix: Mix) -> Result<()> {
    let mut client = Client {
        service: service.service,
        connection: service.connect()?,
        draw: Draw::new(0),
        asked: Asked::default(),
    };
    (0..questions).try_for_each(|number| client.ask(mix.is_wrong(number)))
}

impl Mix {
    fn is_wrong(self, number: u32) -> bool {
        self.one_wrong_in.is_some_and(|of| number % of == of / 2)
    }
}

struct Client {
    service: Service,
    connection: Connection,
    draw: Draw,
    asked: Asked,
}

impl Client {
    fn work(&mut self, mix: Mix, stop: &AtomicBool) -> Result<()> {
        let period = period(mix.a_second / CLIENTS);
        let mut next = Instant::now();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.ask(mix.is_wrong(number))?;
            next += period;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn ask(&mut self, wrong: bool) -> Result<()> {
        let question = self.service.question(&mut self.draw, wrong);
        let answer = self.connection.ask(&question, self.service.answer());
        let accepted = answer.with_context(|| format!("asked {:?}", String::from_utf8_lossy(&question)))?;
        ensure!(
            accepted != wrong,
            "{} was {}",
            String::from_utf8_lossy(&question),
            if accepted { "accepted" } else { "refused" }
        );
        self.asked.right += u64::from(!wrong);
        self.asked.wrong += u64::from(wrong);
        Ok(())
    }
}
