//! Servers of this test's own: one that has the file, and several that do what no server should.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use super::*;

/// A server, and how often it was asked.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// Gives every connection, and the path that is asked for, to `answer`.
    fn start(answer: impl Fn(&mut TcpStream, &str) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                counted.fetch_add(1, Ordering::SeqCst);
                answer(&mut connection, first.split(' ').nth(1).unwrap());
            }
        });
        Self { url, asked }
    }

    /// One that has `file` for the build `id`, and nothing else.
    fn with(id: &str, file: Vec<u8>) -> Self {
        let path = format!("/buildid/{id}/debuginfo");
        Self::start(move |connection, asked| {
            if asked == path {
                respond(connection, "200 OK", &file);
            } else {
                respond(connection, "404 Not Found", b"not found");
            }
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The other end may have hung up: then nobody misses the rest.
fn respond(connection: &mut TcpStream, status: &str, body: &[u8]) {
    let _ = write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = connection.write_all(body);
}

/// This program, as a file that has debug information and a build id.
fn program() -> (Vec<u8>, Image) {
    let path = env::current_exe().unwrap();
    (fs::read(&path).unwrap(), Image::read(&File::open(path).unwrap()).unwrap())
}

fn client(servers: &[&Server], cache: &TempDir) -> Debuginfod {
    let urls: Vec<&str> = servers.iter().map(|server| server.url.as_str()).collect();
    let urls = urls.join(" ");
    let cache = cache.path().to_str().unwrap().to_owned();
    Debuginfod::from_variables(|name| match name {
        "DEBUGINFOD_URLS" => Some(urls.clone()),
        "DEBUGINFOD_CACHE_PATH" => Some(cache.clone()),
        "DEBUGINFOD_TIMEOUT" => Some("1".to_owned()),
        _ => None,
    })
    .unwrap()
}

fn content(mut file: File) -> Vec<u8> {
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    content
}

/// Without curl nothing can be fetched, and nothing of that be tested.
fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok()
}

/// Whether nothing was left in the cache.
fn is_empty(cache: &TempDir) -> bool {
    fs::read_dir(cache.path()).unwrap().all(|entry| fs::read_dir(entry.unwrap().path()).unwrap().next().is_none())
}

#[test]
fn a_file_is_fetched_once_and_kept_where_elfutils_finds_it() {
    if !has_curl() {
        return;
    }
    let (file, image) = program();
    let id = image.build_id_text().unwrap();
    let (server, cache) = (Server::with(&id, file.clone()), tempfile::tempdir().unwrap());
    assert!(content(client(&[&server], &cache).find(&image).unwrap()) == file);
    assert!(fs::read(cache.path().join(&id).join("debuginfo")).unwrap() == file);
    assert!(content(client(&[&server], &cache).find(&image).unwrap()) == file);
    assert_eq!(server.asked(), 1);
}

#[test]
fn a_server_without_the_file_is_asked_once_for_it_and_the_next_one_then() {
    if !has_curl() {
        return;
    }
    let (file, image) = program();
    let id = image.build_id_text().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let without = Server::with("another", Vec::new());
    let mut client_of_one = client(&[&without], &cache);
    assert!(client_of_one.find(&image).is_none() && client_of_one.find(&image).is_none());
    assert_eq!((without.asked(), client_of_one.servers.len()), (1, 1));
    assert!(is_empty(&cache));
    let with = Server::with(&id, file);
    assert!(client(&[&without, &with], &cache).find(&image).is_some());
    assert_eq!((without.asked(), with.asked()), (2, 1));
}

#[test]
fn servers_that_fail_lie_or_stay_silent_are_asked_once() {
    if !has_curl() {
        return;
    }
    let (file, image) = program();
    let id = image.build_id_text().unwrap();
    let failing = Server::start(|connection, _| respond(connection, "500 Internal Server Error", b"sorry"));
    let lying = Server::start(|connection, _| respond(connection, "200 OK", b"no ELF file at all"));
    let silent = Server::start(|_, _| thread::sleep(Duration::from_secs(5)));
    let slow = Server::start(|connection, _| {
        let _ = write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        while connection.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let cut = Server::start(|connection, _| {
        let _ = write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nonly a part");
    });
    let elsewhere = Server::start(|connection, _| {
        let _ = write!(connection, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
    });
    let bad = [&failing, &lying, &silent, &slow, &cut, &elsewhere];
    let cache = tempfile::tempdir().unwrap();
    let mut client_of_bad = client(&bad, &cache);
    let clock = std::time::Instant::now();
    assert!(client_of_bad.find(&image).is_none());
    let (_, mut other) = program();
    other.build_id = Some([7; 20].into());
    assert!(client_of_bad.find(&other).is_none());
    assert_eq!(bad.map(Server::asked), [1; 6]);
    assert!(client_of_bad.servers.is_empty() && is_empty(&cache));
    assert!(clock.elapsed() < Duration::from_secs(20), "{:?}", clock.elapsed());
    // They do not keep a good one from being asked.
    let good = Server::with(&id, file);
    assert!(client(&[&failing, &lying, &good], &cache).find(&image).is_some());
}

#[test]
fn a_file_that_is_too_large_is_not_taken() {
    if !has_curl() {
        return;
    }
    let server = Server::start(|connection, _| respond(connection, "200 OK", &[0; 1000]));
    let mut to = tempfile::tempfile().unwrap();
    let mut ask = |most| download(&format!("{}/x", server.url), &mut to, PATIENCE, most);
    assert_eq!(ask(1000), Ok(Download::Done));
    assert_eq!(ask(999), Err("it gave more than 999 bytes".to_owned()));
}

#[test]
fn reasons_are_told_in_one_line() {
    if !has_curl() {
        return;
    }
    let failing = Server::start(|connection, _| respond(connection, "500 Internal Server Error", b"sorry"));
    let mut to = tempfile::tempfile().unwrap();
    let why = download(&failing.url, &mut to, PATIENCE, 1000).unwrap_err();
    assert_eq!(why, "The requested URL returned error: 500");
    // The port was free a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let why = download(&format!("http://{gone}/x"), &mut to, PATIENCE, 1000).unwrap_err();
    assert!(why.starts_with("Failed to connect to 127.0.0.1"), "{why}");
}

#[test]
fn the_environment_is_read_as_elfutils_reads_it() {
    let read = |variables: &[(&str, &str)]| {
        let variables: Vec<(String, String)> =
            variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Debuginfod::from_variables(|wanted| {
            variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        })
    };
    let urls = ("DEBUGINFOD_URLS", "https://one.example/  ima:enforcing file:///srv http://two.example:8002");
    let home = ("HOME", "/home/me");
    let client = read(&[urls, home]).unwrap();
    assert_eq!(client.servers, ["https://one.example", "http://two.example:8002"]);
    assert_eq!((client.cache, client.patience), ("/home/me/.cache/debuginfod_client".into(), PATIENCE));
    let client = read(&[urls, home, ("XDG_CACHE_HOME", "/cache"), ("DEBUGINFOD_TIMEOUT", "7")]).unwrap();
    assert_eq!((client.cache, client.patience), ("/cache/debuginfod_client".into(), Duration::from_secs(7)));
    let client = read(&[urls, home, ("DEBUGINFOD_CACHE_PATH", "/own")]).unwrap();
    assert_eq!(client.cache, Path::new("/own"));
    assert_eq!(read(&[home]).unwrap_err(), DebuginfodError::NoServer);
    assert_eq!(read(&[home, ("DEBUGINFOD_URLS", " ")]).unwrap_err(), DebuginfodError::NoServer);
    assert_eq!(read(&[urls]).unwrap_err(), DebuginfodError::NoCache);
}

#[test]
fn a_password_in_a_url_is_not_told() {
    assert_eq!(without_secrets("https://me:secret@one.example/path@2"), "https://one.example/path@2");
}
