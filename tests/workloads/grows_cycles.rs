// A program whose trees point from each child to its parent by `Rc`, so that none is ever dropped. As the kinds in C
// (grows.h): requests by the chance of a seed, work by the clock, an account at the end. Arguments: KIND SEED SECONDS wait.
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, Write};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const STEPS_A_SECOND: u32 = 100;

/// `SplitMix64` (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014).
struct Chance(u64);

impl Chance {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        ((self.bits() >> 32) as f64 + 1.0) / 4_294_967_296.0
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn scale(&mut self, low: f64, high: f64) -> f64 {
        low * (self.unit() * (high / low).ln()).exp()
    }

    fn poisson(&mut self, mean: f64) -> usize {
        let (end, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product >= end {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

struct Node {
    parent: RefCell<Option<Rc<Node>>>,
    children: RefCell<Vec<Rc<Node>>>,
    text: Box<[u8]>,
}

#[derive(Default)]
struct Account {
    held: u64,
    leaked: u64,
    blocks: u64,
}

fn text(size: f64) -> Box<[u8]> {
    vec![b'x'; size as usize].into_boxed_slice()
}

fn node(size: f64) -> Rc<Node> {
    Rc::new(Node { parent: RefCell::default(), children: RefCell::default(), text: text(size) })
}

/// A tree of a node and its children, which is used and forgotten.
#[inline(never)]
fn parse_document(chance: &mut Chance, size: f64, account: &mut Account) {
    let root = node(size);
    let count = 1 + (chance.bits() % 4) as usize;
    // A vector's first room is for four.
    let mut bytes = root.text.len() + 16 + size_of::<Node>() + 4 * size_of::<Rc<Node>>();
    for _ in 0..count {
        let child = node(size * chance.between(0.5, 1.5));
        bytes += child.text.len() + 16 + size_of::<Node>();
        *child.parent.borrow_mut() = Some(Rc::clone(&root));
        root.children.borrow_mut().push(child);
    }
    account.leaked += bytes as u64;
    account.held += bytes as u64;
    account.blocks += 3 + 2 * count as u64;
}

#[inline(never)]
fn read_request(size: f64) -> Box<[u8]> {
    text(size)
}

fn say(line: &str) {
    println!("{line}");
    let _ = io::stdout().flush();
}

/// Blocks by the step in which they will be freed, with room for all that can be expected: it is made before the account.
type Due = Vec<VecDeque<Box<[u8]>>>;

const WHEEL: usize = 1024;

fn rc_cycle(held: &mut Due, seed: u64, seconds: u32, traces: bool) -> Account {
    // Another chance than that of the kinds in C with the same seed.
    let mut chance = Chance(0x7263_5f63_7963_6c65 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (rate, life, size) = (chance.between(1200.0, 2000.0), chance.between(0.12, 0.25), chance.scale(400.0, 4000.0));
    let level = rate * life * size * 1.3525;
    let documents = chance.between(8.0, 30.0);
    let node = chance.scale(1.0, 5.0) * level / (documents * f64::from(seconds) * 3.5);
    let mut account = Account::default();
    let begin = Instant::now();
    for step in 0..seconds * STEPS_A_SECOND {
        let wake = begin + Duration::from_secs(1) / STEPS_A_SECOND * step;
        thread::sleep(wake.saturating_duration_since(Instant::now()));
        for block in held[step as usize % WHEEL].drain(..) {
            account.held -= block.len() as u64;
        }
        for _ in 0..chance.poisson(rate / f64::from(STEPS_A_SECOND)) {
            let block = read_request(chance.scale(size / 4.0, size * 4.0));
            account.held += block.len() as u64;
            let steps = (-life * chance.unit().ln() * f64::from(STEPS_A_SECOND)).ceil().clamp(1.0, WHEEL as f64 - 1.0);
            held[(step as usize + steps as usize) % WHEEL].push_back(block);
        }
        for _ in 0..chance.poisson(documents / f64::from(STEPS_A_SECOND)) {
            parse_document(&mut chance, node, &mut account);
        }
        if traces && step % 20 == 0 {
            say(&format!("sample {} {} {} 0 0 0 0", std::process::id(), begin.elapsed().as_millis(), account.held));
        }
    }
    account
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let told = |word: &str| arguments.iter().any(|argument| argument == word);
    let [_, kind, seed, seconds, ..] = arguments.as_slice() else { panic!("arguments: KIND SEED SECONDS") };
    assert_eq!(kind, "rc-cycle", "no such kind");
    let listen = || drop(io::stdin().lock().read_line(&mut String::new()));
    let pid = std::process::id();
    let mut held: Due = (0..WHEEL).map(|_| VecDeque::with_capacity(64)).collect();
    if told("wait") {
        say(&format!("ready {pid}"));
        listen();
    }
    say(&format!("process {pid} main"));
    let account = rc_cycle(&mut held, seed.parse().unwrap(), seconds.parse().unwrap(), told("trace"));
    say(&format!("leaked {pid} parse_document {} {}", account.leaked, account.blocks));
    if told("wait") {
        say("done");
        listen();
    }
}
