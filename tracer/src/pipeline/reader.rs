//! One thread a ring: it sleeps until the kernel part asks for a reader, applies what there is, and answers questions.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use heaptide_common::sampling::Counts;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    time::{ClockId, clock_gettime},
};
use tokio::sync::oneshot;

use super::{cpu::Stopwatch, mailbox::Outbox};
use crate::{
    kernel::Ring,
    live::{AgeScan, AgesOf, Key, Moment, Notice, Shard, ShardSample, Start, Summary},
    ring::decode,
};

/// The kernel part wakes a reader at every few hundred records. A target that makes fewer is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Records applied between two looks at the questions.
const BATCH: usize = 16_384;

/// What a reader publishes while it runs.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Records read.
    pub events: AtomicU64,
    /// Outstanding bytes.
    pub outstanding: AtomicU64,
}

/// What the threads of a process have done, as far as no ring tells of it.
type LivingCounts = Vec<(u32, Counts)>;

enum Question {
    /// Whether with the ages of what is outstanding.
    Summary(LivingCounts, bool, oneshot::Sender<Summary>),
    /// Whether with the stacks that changed.
    Sample(bool, oneshot::Sender<ShardSample>),
    Ages(oneshot::Sender<(AgesOf, Duration)>),
    Marks(Vec<Moment>),
    Begin(u32, oneshot::Sender<Key>),
    Exited(u32),
    Finish(LivingCounts),
}

/// A thread that reads a ring into a shard.
pub struct Reader {
    questions: mpsc::Sender<Question>,
    thread: JoinHandle<Summary>,
    gauge: Arc<Gauge>,
}

impl Reader {
    /// Starts the thread. Process notices come from the first reader alone: every ring tells them.
    pub fn start(ring: Ring, shard: Shard, index: usize, notices: Outbox) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel();
        let gauge = Arc::new(Gauge::default());
        let bell = Bell::new(&ring)?;
        let published = Arc::clone(&gauge);
        let thread = std::thread::Builder::new().name(format!("ring {index}")).spawn(move || {
            Loop { ring, shard, is_first: index == 0, notices, asked, gauge: published, bell, scan: None }.run()
        })?;
        Ok(Self { questions, thread, gauge })
    }

    /// What it publishes.
    #[must_use]
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Asks for what the shard knows, with what living threads have done, and with how old what is outstanding is if
    /// `ages` are wanted; `None` when the thread is gone.
    pub async fn summary(&self, counts: Vec<(u32, Counts)>, ages: bool) -> Option<Summary> {
        self.ask(|answer| Question::Summary(counts, ages, answer)).await
    }

    /// Asks for what is held, and for the `stacks` that changed since they were last asked for; `None` when the thread is
    /// gone.
    pub async fn sample(&self, stacks: bool) -> Option<ShardSample> {
        self.ask(|answer| Question::Sample(stacks, answer)).await
    }

    /// Asks how old is what is outstanding, and what it took to find out: the answer comes when it comes, and nothing waits
    /// for it. It is broken off when it is asked for again, or when the thread is gone.
    pub fn ages(&self) -> oneshot::Receiver<(AgesOf, Duration)> {
        let (answer, answered) = oneshot::channel();
        // Whoever waits sees that there is no answer.
        let _ = self.questions.send(Question::Ages(answer));
        answered
    }

    /// From now on blocks count after these marks, oldest first.
    pub fn set_marks(&self, marks: Vec<Moment>) {
        // A thread that is gone is told of elsewhere.
        let _ = self.questions.send(Question::Marks(marks));
    }

    /// Opens the account of a process that runs; `None` when the thread is gone.
    pub async fn begin(&self, pid: u32) -> Option<Key> {
        self.ask(|answer| Question::Begin(pid, answer)).await
    }

    /// Closes the account of a process that has ended before records told of its life.
    pub fn exited(&self, pid: u32) {
        // A thread that is gone is told of elsewhere.
        let _ = self.questions.send(Question::Exited(pid));
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(question(answer)).ok()?;
        answered.await.ok()
    }

    /// Has the ring read to its end; gives the shard's last word, with what living threads have done, or `None` when the
    /// thread has panicked.
    pub fn finish(self, counts: Vec<(u32, Counts)>) -> Option<Summary> {
        // A thread that is gone already has panicked; `join` tells.
        let _ = self.questions.send(Question::Finish(counts));
        self.thread.join().ok()
    }
}

/// Wakes the thread when the kernel part asks for it, and only then: edge-triggered, since a ring that holds records
/// would be readable at once, and a reader that comes for each record costs more than it reads.
struct Bell(Epoll);

impl Bell {
    fn new(ring: &Ring) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(ring.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        Ok(Self(epoll))
    }

    fn wait(&self) {
        let timeout = EpollTimeout::try_from(LOOK_EVERY).unwrap_or(EpollTimeout::ZERO);
        match self.0.wait(&mut [EpollEvent::empty()], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                log::warn!("waiting for a ring failed ({error}); looking at it every {LOOK_EVERY:?} instead");
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

struct Loop {
    ring: Ring,
    shard: Shard,
    is_first: bool,
    notices: Outbox,
    asked: mpsc::Receiver<Question>,
    gauge: Arc<Gauge>,
    bell: Bell,
    /// A look at the ages of all blocks that is under way, and who waits for it.
    scan: Option<Scan>,
}

struct Scan {
    ages: AgeScan,
    cost: Duration,
    answer: oneshot::Sender<(AgesOf, Duration)>,
}

impl Loop {
    fn run(mut self) -> Summary {
        let counts = loop {
            let read = self.read();
            match self.asked.try_recv() {
                Ok(Question::Finish(counts)) => break counts,
                Ok(question) => self.answer(question),
                Err(mpsc::TryRecvError::Disconnected) => break LivingCounts::new(),
                Err(mpsc::TryRecvError::Empty) if self.scan.is_some() => self.scan_on(),
                Err(mpsc::TryRecvError::Empty) if read < BATCH => self.bell.wait(),
                Err(mpsc::TryRecvError::Empty) => {}
            }
        };
        while self.read() > 0 {}
        self.shard.finish(now(), &counts)
    }

    /// Whoever asked may have gone: then nobody hears the answer.
    fn answer(&mut self, question: Question) {
        match question {
            Question::Summary(counts, ages, answer) => {
                self.shard.look_for_peaks();
                let _ = answer.send(self.shard.summary(now(), &counts, ages));
            }
            Question::Sample(stacks, answer) => {
                let began = Stopwatch::start();
                let sample = self.shard.sample(stacks);
                let _ = answer.send(ShardSample { cost: began.elapsed(), ..sample });
            }
            Question::Ages(answer) => {
                self.scan = Some(Scan { ages: self.shard.begin_age_scan(now()), cost: Duration::ZERO, answer });
            }
            Question::Marks(marks) => self.shard.set_marks(marks),
            Question::Begin(pid, answer) => {
                let _ = answer.send(self.shard.begin(pid, Start::Attached));
            }
            Question::Exited(pid) => _ = self.shard.exit(pid, now()),
            Question::Finish(_) => {}
        }
    }

    /// One more part of the look at all blocks.
    fn scan_on(&mut self) {
        let Some(mut scan) = self.scan.take() else { return };
        let began = Stopwatch::start();
        let ages = self.shard.scan_ages(&mut scan.ages);
        scan.cost += began.elapsed();
        match ages {
            Some(ages) => _ = scan.answer.send((ages, scan.cost)),
            None => self.scan = Some(scan),
        }
    }

    fn read(&mut self) -> usize {
        let Self { ring, shard, is_first, notices, .. } = self;
        let read = ring.drain(BATCH, |record| {
            let Ok(event) = decode(record) else { return shard.skip() };
            if let Some(notice) = shard.apply(&event)
                && (*is_first || matches!(notice, Notice::Stack { .. } | Notice::Remains(_)))
            {
                notices.send(notice);
            }
        });
        if read > 0 {
            self.gauge.events.fetch_add(read as u64, Ordering::Relaxed);
            self.gauge.outstanding.store(self.shard.outstanding_bytes(), Ordering::Relaxed);
        }
        read
    }
}

/// Now, on the clock that records are stamped with.
pub(super) fn now() -> Moment {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    Moment::from_nanoseconds(time.as_nanos() as u64)
}
