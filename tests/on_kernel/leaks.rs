//! Real leaks in real programs are found by the line that allocates what is never released, without a hint; and the same
//! programs, asked only what is right at the same time, are not accused.

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide;
use heaptide_tests::leaks::conclusion::{Conclusion, Process};
use heaptide_tests::leaks::load::{Asked, Load, Mix, warm_up};
use heaptide_tests::leaks::{Running, Service};

/// One question in twenty is wrong: what leaks is ten blocks a second.
const MIXED: Mix = Mix { a_second: 200, one_wrong_in: Some(20) };
const RIGHT: Mix = Mix { one_wrong_in: None, ..MIXED };

/// As many questions as fill what a service keeps.
const WARM_UP: u32 = 2000;

const SECONDS: u64 = 20;

/// A service that is being asked.
struct Busy {
    running: Running,
    load: Load,
    mix: Mix,
}

impl Busy {
    fn start(service: Service, mix: Mix) -> Result<Self> {
        let running = service.start()?;
        warm_up(&running, WARM_UP, mix)?;
        Ok(Self { load: Load::start(&running, mix)?, running, mix })
    }

    /// Ends it. Fails when it was asked so little that there is nothing to find, or nothing to be found wrongly.
    fn end(self) -> Result<()> {
        let Asked { right, wrong } = self.load.end()?;
        let wanted = SECONDS * u64::from(self.mix.a_second) * 9 / 10;
        ensure!(right + wrong >= wanted, "asked too little: {right} right, {wrong} wrong");
        let wanted_wrong = self.mix.one_wrong_in.map_or(0, |of| wanted / u64::from(of));
        ensure!(wrong >= wanted_wrong, "asked too little that is wrong: {wrong}");
        Ok(())
    }
}

/// What is concluded of a service that is asked wrong things too, and of one that is not, watched together.
fn watched(service: Service) -> Result<[Process; 2]> {
    let services = [Busy::start(service, MIXED)?, Busy::start(service, RIGHT)?];
    let pids = services.each_ref().map(|service| service.running.pid());
    let list = pids.map(|pid| pid.to_string()).join(",");
    let duration = format!("{SECONDS}s");
    let ended = heaptide::run(["watch", "-p", &list, "--interval", "250ms", "--duration", &duration, "--json"])?;
    services.into_iter().try_for_each(Busy::end)?;
    ensure!(ended.status.code() == Some(0), "{ended:?}");
    let conclusion = Conclusion::read(&ended.out)?;
    Ok([conclusion.of(pids[0])?.clone(), conclusion.of(pids[1])?.clone()])
}

fn is_found(service: Service) -> Result<()> {
    let line = service.leak()?;
    let [leaking, healthy] = watched(service)?;
    let first = leaking.suspects.first().with_context(|| format!("there is no suspect: {leaking:?}"))?;
    ensure!(first.verdict == "growing", "the first suspect is not growing: {first:?}");
    ensure!(first.is_at(&line), "the first suspect is not at {line:?}: {first:?}");
    // It is the first thing that a reader sees, too.
    let begin = format!("{}:{} `{}` holds ", line.file, line.number, line.function);
    ensure!(first.explanation.starts_with(&begin), "{begin:?} is not how it begins: {:?}", first.explanation);
    ensure!(healthy.verdict != "growing" && healthy.suspects.is_empty(), "it is accused: {healthy:?}");
    Ok(())
}

#[test]
fn a_leak_in_an_extension_of_ruby_under_puma_is_found() -> Result<()> {
    is_found(Service::Ruby)
}

#[test]
fn a_leak_in_an_extension_of_python_under_its_server_is_found() -> Result<()> {
    is_found(Service::Python)
}

#[test]
fn a_leak_in_a_module_of_redis_is_found() -> Result<()> {
    is_found(Service::Redis)
}

#[test]
fn a_leak_in_a_service_with_libxml2_is_found() -> Result<()> {
    is_found(Service::Xml)
}
