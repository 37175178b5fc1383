//! What the service manager is told (sd_notify(3)), read from a socket that stands for systemd's.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use syva_e2e::daemon::Daemon;

use crate::home::Home;

/// Systemd's end of the socket, and a daemon that knows of it.
fn told(home: &Home) -> (UnixDatagram, Daemon) {
    let path = home.path("notify");
    let socket = UnixDatagram::bind(&path).expect("bound");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let setup = home
        .setup()
        .variable("NOTIFY_SOCKET", &path.display().to_string());
    let daemon = setup.variable("WATCHDOG_USEC", "2000000").start();
    (socket, daemon.expect("started"))
}

/// Messages up to the first that holds `wanted`.
fn until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| {
            panic!("{wanted:?} does not come: {error}; there were {messages:?}")
        });
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let found = message.contains(wanted);
        messages.push(message);
        if found {
            return messages;
        }
    }
}

#[test]
fn a_daemon_that_cannot_enforce_is_alive_and_not_ready() {
    let home = Home::new();
    let (socket, daemon) = told(&home);
    let mut messages = until(&socket, "STATUS=unsafe");
    for _ in 0..3 {
        messages.extend(until(&socket, "WATCHDOG=1"));
    }
    daemon.terminate().expect("ended");
    messages.extend(until(&socket, "STOPPING=1"));
    assert!(
        !messages.iter().any(|message| message.contains("READY=1")),
        "the memory backend attaches nothing: {messages:?}"
    );
    assert!(
        messages
            .iter()
            .any(|message| message.contains("the memory backend enforces nothing")),
        "{messages:?}"
    );
}
