use std::fmt::Write as _;

use tokio::net::TcpListener;

use super::*;
use crate::types::Secret;

/// A connection, and FreeSWITCH's end of it.
async fn connected() -> (SharedConnection, mpsc::Receiver<EslEvent>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        user: None,
        password: Secret::new("x"),
    };
    let (others, announced) = mpsc::channel(4);
    let accepts = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let text = b"Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: +OK accepted\n\n";
        socket.write_all(text).await.unwrap();
        let mut login = [0; 8];
        let _ = socket.read_exact(&mut login).await.unwrap();
        assert_eq!(&login, b"auth x\n\n");
        socket
    };
    let (connection, socket) = tokio::join!(SharedConnection::open(&endpoint, others), accepts);
    (connection.unwrap(), announced, socket)
}

fn event(headers: &[(&str, &str)]) -> String {
    let text = headers.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}: {value}");
        text
    });
    let text = text + "\n";
    format!(
        "Content-Length: {}\nContent-Type: text/event-plain\n\n{text}",
        text.len()
    )
}

fn of_channel(channel: &str) -> String {
    event(&[("Event-Name", "CHANNEL_ANSWER"), ("Unique-ID", channel)])
}

fn api(command: &str) -> EslCommand {
    EslCommand::Api {
        command: command.into(),
    }
}

fn answer(text: &str) -> String {
    format!("Content-Type: api/response\nContent-Length: {}\n\n{text}", text.len())
}

#[tokio::test]
async fn each_reply_goes_to_the_call_that_sent_the_command() {
    let (connection, _announced, mut freeswitch) = connected().await;
    // No call waits for this reply.
    connection.order(&[api("gone")]);
    let first = [api("one"), api("two")];
    let second = [api("three")];
    let answers = async {
        let mut read = [0; 64];
        let mut n = 0;
        while !read[..n].ends_with(b"three\n\n") {
            n += freeswitch.read(&mut read[n..]).await.unwrap();
        }
        assert_eq!(&read[..n], b"api gone\n\napi one\n\napi two\n\napi three\n\n");
        let text = ["0", "1", "2", "3"].map(answer).concat();
        freeswitch.write_all(text.as_bytes()).await.unwrap();
    };
    let (first, second, ()) = tokio::join!(connection.send_all(&first), connection.send_all(&second), answers);
    let bodies = |replies: Result<Vec<EslResponse>, EslError>| -> Vec<String> {
        let replies = replies.unwrap();
        replies.iter().map(|reply| reply.body().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (bodies(first), bodies(second)),
        (vec!["1".into(), "2".into()], vec!["3".into()])
    );
}

#[tokio::test]
async fn events_go_to_the_calls_of_their_channel_or_job() {
    let (connection, mut announced, mut freeswitch) = connected().await;
    let (listener, mut events) = connection.listen();
    connection.route("u-1", listener);
    let job = [EslCommand::BgApi {
        command: "originate x".into(),
    }];
    let (replies, ()) = tokio::join!(connection.send(&job, Some(listener)), async {
        let reply = "Content-Type: command/reply\nReply-Text: +OK Job-UUID: j-1\nJob-UUID: j-1\n\n";
        let jobs = ["j-0", "j-1"].map(|job| event(&[("Event-Name", "BACKGROUND_JOB"), ("Job-UUID", job)]));
        let announcement = event(&[
            ("Event-Name", "CUSTOM"),
            ("Event-Subclass", "fswake%3A%3Ahold"),
            ("Unique-ID", "u-1"),
        ]);
        let text = reply.to_owned() + &jobs.concat() + &announcement + &of_channel("u-2") + &of_channel("u-1");
        freeswitch.write_all(text.as_bytes()).await.unwrap();
    });
    assert!(replies.unwrap()[0].is_success());
    assert_eq!(events.recv().await.unwrap().header_str("Job-UUID"), Some("j-1"));
    assert_eq!(events.recv().await.unwrap().header_str("Unique-ID"), Some("u-1"));
    let subclass = announced.recv().await.unwrap();
    assert_eq!(subclass.header_str("Event-Subclass"), Some("fswake::hold"));
    // Two phones of one ring group have the same caller.
    let (second, mut other_events) = connection.listen();
    connection.route("u-1", second);
    freeswitch.write_all(of_channel("u-1").as_bytes()).await.unwrap();
    assert!(events.recv().await.is_some() && other_events.recv().await.is_some());
    connection.forget("u-0", &["u-1".into()], listener);
    assert!(events.recv().await.is_none());
    connection.forget("u-0", &["u-1".into()], second);
    let mut read = [0; 64];
    let mut n = 0;
    while !read[..n].ends_with(b"u-1\n\n") {
        n += freeswitch.read(&mut read[n..]).await.unwrap();
    }
    let text = String::from_utf8_lossy(&read[..n]).into_owned();
    assert!(text.ends_with("\n\nfilter delete Unique-ID u-1\n\n"), "{text:?}");
    assert_eq!(text.matches("filter").count(), 1, "for the last of them: {text:?}");
}

#[tokio::test]
async fn call_that_does_not_handle_its_events_loses_its_connection_and_no_other_call_waits() {
    let (connection, _announced, mut freeswitch) = connected().await;
    let [(stuck, mut unhandled), (other, mut events)] = [connection.listen(), connection.listen()];
    connection.route("u-1", stuck);
    connection.route("u-2", other);
    let text = of_channel("u-1").repeat(QUEUE + 1) + &of_channel("u-2");
    freeswitch.write_all(text.as_bytes()).await.unwrap();
    assert!(events.recv().await.is_some());
    for _ in 0..QUEUE {
        assert!(unhandled.recv().await.is_some());
    }
    assert!(unhandled.recv().await.is_none(), "its connection is over");
}

#[tokio::test]
async fn all_waits_end_with_the_connection() {
    let (connection, _announced, freeswitch) = connected().await;
    let (_, mut events) = connection.listen();
    let question = [api("status")];
    let (replies, ()) = tokio::join!(connection.send_all(&question), async { drop(freeswitch) });
    assert!(replies.is_err() && events.recv().await.is_none());
    connection.closed().await;
    assert!(connection.send_all(&question).await.is_err());
    assert!(connection.listen().1.recv().await.is_none());
}
