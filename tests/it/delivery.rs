//! Messages of a real process, with failing servers and invalid settings.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Engine, PATIENCE, free_port};

/// A mail server that accepts connections and never answers; how many it has accepted.
fn silent_mail() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().take(1_000) {
            kept.push(stream);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (url, taken)
}

/// A webhook receiver that answers immediately, and the ids of its calls.
fn hooks() -> (String, Arc<Mutex<BTreeSet<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let got: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let ids = Arc::clone(&got);
    std::thread::spawn(move || {
        for stream in listener.incoming().take(10_000).flatten() {
            let ids = Arc::clone(&ids);
            std::thread::spawn(move || take(stream, &ids));
        }
    });
    (url, got)
}

fn take(mut stream: TcpStream, ids: &Mutex<BTreeSet<String>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = Vec::new();
    let mut part = [0; 16_384];
    while let Ok(count @ 1..) = stream.read(&mut part) {
        request.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        if body.len() >= header("content-length").unwrap().parse::<usize>().unwrap() {
            ids.lock().unwrap().insert(header("webhook-id").unwrap().to_owned());
            let answer = "HTTP/1.1 204 X\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
            return;
        }
    }
}

fn secret(folder: &TempDir) -> String {
    let path = folder.path().join("secret");
    std::fs::write(&path, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_hanging_mail_server_delays_neither_webhooks_nor_shutdown() {
    let folder = TempDir::new().unwrap();
    let (smtp, taken) = silent_mail();
    let (hook, got) = hooks();
    let (data, secret) = (folder.path().join("data"), secret(&folder));
    let flags = ["--smtp-url", &smtp, "--webhook-url", &hook, "--webhook-secret-file", &secret];
    let flags = [&["--data", data.to_str().unwrap()], &flags[..]].concat();
    let engine = Engine::start_with(&flags);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    for _ in 0..10 {
        engine.place(&["MUG=1@4.50GBP"]);
    }
    let placed = Instant::now();
    // Each was placed and confirmed: 20 webhooks, while 20 mails wait for an answer. The first of
    // them are given up after 15 s.
    while got.lock().unwrap().len() < 20 || taken.load(Ordering::Relaxed) == 0 {
        let (called, taken) = (got.lock().unwrap().len(), taken.load(Ordering::Relaxed));
        assert!(placed.elapsed() < Duration::from_secs(14), "{called} webhooks, {taken} mails");
        std::thread::sleep(Duration::from_millis(20));
    }
    let stopping = Instant::now();
    assert!(engine.stop().success());
    // Those that wait would be given up 15 s after they began.
    assert!(stopping.elapsed() < Duration::from_secs(13), "{:?}", stopping.elapsed());

    // Nothing is lost: the next process sends all of them.
    let mail = folder.path().join("mail");
    let flags = ["--data", data.to_str().unwrap(), "--mail-dir", mail.to_str().unwrap()];
    let engine = Engine::start_with(&flags);
    let mails = || std::fs::read_dir(&mail).into_iter().flatten().flatten();
    let patience = Instant::now() + Duration::from_secs(90);
    while mails().count() < 20 {
        assert!(Instant::now() < patience, "{} mails", mails().count());
        std::thread::sleep(Duration::from_millis(50));
    }
    // They hold personal data: only the owner may read them.
    for mail in mails() {
        assert_eq!(mail.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::metadata(&mail).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(engine.stop().success());
}

/// Each of them has its own filter, secret, rows and outage.
#[test]
fn several_webhook_endpoints_are_read_from_a_file() {
    let folder = TempDir::new().unwrap();
    let (all, got_all) = hooks();
    let (some, got_some) = hooks();
    let closed = format!("127.0.0.1:{}", free_port());
    let (data, secret) = (folder.path().join("data"), secret(&folder));
    let file = folder.path().join("webhooks.toml");
    let text = format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"{some}\"\nsecret-file = \"secret\"\n\
         types = [\"order.confirmed.v1\"]\n\n\
         [[webhook]]\nname = \"closed\"\nurl = \"http://{closed}/hook\"\n\
         secret-file = \"secret\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let engine = Engine::start_with(&[
        "--data",
        data.to_str().unwrap(),
        "--webhook-url",
        &all,
        "--webhook-secret-file",
        &secret,
        "--webhooks",
        file.to_str().unwrap(),
    ]);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    for _ in 0..10 {
        engine.place(&["MUG=1@4.50GBP"]);
    }
    let patience = Instant::now() + PATIENCE;
    let count = |got: &Mutex<BTreeSet<String>>| got.lock().unwrap().len();
    while count(&got_all) < 20 || count(&got_some) < 10 {
        assert!(Instant::now() < patience, "{} and {}", count(&got_all), count(&got_some));
        std::thread::sleep(Duration::from_millis(20));
    }
    let listed = |flags: &[&str]| {
        let listed = engine.ask(&[&["notification", "list", "--page-size", "100"], flags].concat());
        listed["notifications"].as_array().cloned().unwrap_or_default()
    };
    let delivered = |rows: &[serde_json::Value]| {
        rows.iter().filter(|row| row["state"] == "NOTIFICATION_STATE_DELIVERED").count()
    };
    let patience = Instant::now() + PATIENCE;
    while delivered(&listed(&["--endpoint", "crm"])) < 10 {
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(listed(&["--endpoint", "crm"]).len(), 10);
    assert_eq!(listed(&["--channel", "webhook"]).len(), 50);
    let replay = [
        "notification",
        "replay",
        "--endpoint",
        "crm",
        "--since",
        "2020-01-01",
        "--reason",
        " Zoe\u{308} lost them ",
    ];
    let dry = engine.ask(&[&replay[..], &["--dry-run"]].concat());
    assert_eq!((&dry["queued"], listed(&["--endpoint", "crm"]).len()), (&10.into(), 10));
    let replayed = engine.ask(&replay);
    assert_eq!(replayed["queued"], 10);
    let id = replayed["replay_id"].as_str().unwrap();
    let again = engine.ask(&[&replay[..], &["--replay-id", id]].concat());
    assert_eq!(again["queued"], 0, "the same replay queues nothing twice");
    let other = ["--until", "2021-01-01", "--replay-id", id];
    let other = engine.refused(1, &[&replay[..], &other].concat());
    assert_eq!(other["reason"], "IDEMPOTENCY_KEY_REUSED", "{other}");
    let patience = Instant::now() + PATIENCE;
    while count(&got_some) < 20 {
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(20));
    }
    let done = engine.ask(&["operations", "list", "--kind", "WEBHOOK"]);
    let done = &done["actions"];
    assert_eq!((&done[0]["verb"], &done[0]["target"]), (&"REPLAY_WEBHOOKS".into(), &"crm".into()));
    assert_eq!(done[0]["reason"], "Zo\u{eb} lost them");
    let unknown =
        engine.refused(1, &["notification", "replay", "--endpoint", "x", "--since", "2020-01-01"]);
    assert_eq!(unknown["reason"], "NOT_FOUND");
    let waiting = listed(&["--endpoint", "closed", "--channel", "WEBHOOK"]);
    assert_eq!((waiting.len(), delivered(&waiting)), (20, 0));
    assert!(waiting.iter().all(|row| row["endpoint"] == "closed"), "{waiting:?}");
    let verified = engine.run(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert!(engine.stop().success());
    let verified = crate::support::ordinal(&["verify", "--data", data.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// The example of docs/webhooks.md is read; what is refused is another setting.
#[test]
fn the_documented_file_of_webhooks_is_read() {
    let folder = TempDir::new().unwrap();
    let secret = std::fs::read(secret(&folder)).unwrap();
    for name in ["crm.secret", "warehouse.secret"] {
        std::fs::write(folder.path().join(name), &secret).unwrap();
    }
    let page = std::fs::read_to_string("docs/webhooks.md").unwrap();
    let text = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = folder.path().join("webhooks.toml");
    let flags = ["--mail-ops", "ops", "--webhooks", file.to_str().unwrap()];
    std::fs::write(&file, text).unwrap();
    assert!(refused(&folder, &flags).contains("webhook CA"), "the authority is read");
    let lines = text.lines().filter(|line| !line.starts_with("ca = "));
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let error = refused(&folder, &flags);
    assert!(error.contains("--mail-ops ops is not an e-mail address"), "{error}");
}

#[test]
fn a_faulty_file_of_webhooks_is_refused_and_shows_no_secret() {
    let folder = TempDir::new().unwrap();
    secret(&folder);
    let file = folder.path().join("webhooks.toml");
    let one = "[[webhook]]\nname = \"crm\"\nurl = \"https://x/geheim\"\nsecret-file = \"secret\"\n";
    for (text, expected) in [
        (one.replace("crm", "CRM"), "\"CRM\": a name has 1 to 40 small letters"),
        (one.replace("crm", "default"), "the name of the endpoint of --webhook-url"),
        (one.repeat(2), "crm: two endpoints have this name"),
        (format!("{one}types = [\"order.made.v1\"]\n"), "crm: order.made.v1 is not a type of fact"),
        (format!("{one}sercet = \"geheim\"\n"), "unknown key sercet; there are name, url"),
        (one.replace("url = ", "#"), "missing key url"),
        (one.replace("\"secret\"", "7"), "is not of the right type"),
        (
            one.replace("https://x/geheim", "ftp://x/geheim"),
            "webhook crm: the webhook URL is neither",
        ),
        (one.replace("\"secret\"", "\"nowhere\""), "nowhere"),
        (one.replace("url = \"", "url = "), "not valid TOML"),
        ("url = \"geheim\"\n".to_owned(), "unknown key url; there are webhook"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let error = refused(&folder, &["--webhooks", file.to_str().unwrap()]);
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("geheim"), "{text}: {error}");
    }
}

/// As in an image that holds the program and nothing else.
#[test]
fn a_machine_without_certificate_authorities_serves_and_calls_webhooks() {
    let folder = TempDir::new().unwrap();
    let (hook, got) = hooks();
    let (data, secret) = (folder.path().join("data"), secret(&folder));
    let nothing = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let webhook = ["--webhook-url", &hook, "--webhook-secret-file", &secret];
    for (flags, calls) in [(&[][..], false), (&webhook, true)] {
        let flags = [&["--data", data.to_str().unwrap()], flags].concat();
        let engine = Engine::start_in(&nothing, &flags);
        engine.place(&["MUG=1@4.50GBP"]);
        let patience = Instant::now() + PATIENCE;
        // While it serves: a process that stops leaves unsent messages to the next.
        while calls && got.lock().unwrap().is_empty() {
            assert!(Instant::now() < patience, "no webhook was called");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(engine.stop().success());
    }
}

#[test]
fn an_unusable_webhook_is_refused_at_start() {
    let folder = TempDir::new().unwrap();
    let (data, secret) = (folder.path().join("data"), secret(&folder));
    let none = folder.path().join("none.pem");
    std::fs::write(&none, "no certificate\n").unwrap();
    let none = none.to_str().unwrap();
    for (url, more, expected) in [
        ("ftp://localhost/", &[][..], "neither https:// nor http://"),
        ("no url", &[], "the webhook URL is not a valid URL"),
        ("https://localhost/", &["--webhook-ca", none], "holds no certificate"),
        ("https://localhost/", &["--webhook-ca", "/nonexistent"], "webhook CA /nonexistent"),
    ] {
        let flags = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let hook = ["--webhook-url", url, "--webhook-secret-file", &secret];
        let output = crate::support::ordinal(&[&flags, &hook[..], more].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_invalid_webhook_secret_is_refused_and_not_shown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secret");
    let good = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    for (text, expected) in [
        ("webhook-secret-0123456789\n".to_owned(), "line 1: it does not begin with whsec_"),
        (format!("{good}\n\nwhsec_c2hvcnQ=\n"), "line 3: its key has 5 bytes, not 24 to 64"),
        ("\n \n".to_owned(), "it is empty"),
        (format!("{good}\n").repeat(6), "it has more than 5 secrets"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let hook = ["--webhook-url", "http://localhost/", "--webhook-secret-file"];
        let error = refused(&folder, &[&hook[..], &[path.to_str().unwrap()]].concat());
        assert!(error.contains(expected), "{error}");
        for line in text.lines().filter(|line| line.len() > 1) {
            assert!(!error.contains(line), "{error}");
        }
    }
}

#[test]
fn invalid_mail_settings_are_refused_at_start() {
    let folder = TempDir::new().unwrap();
    for (flags, expected) in [
        (&["--smtp-url", "smtp://mail.example.org"][..], "--smtp-url needs --mail-from"),
        (&["--smtp-url", "smtp://us:pw@10.0.0.1:587?tls=required"], "--smtp-url needs --mail-from"),
        (&["--mail-from", "orders@example..org"], "--mail-from orders@example..org is"),
        (&["--mail-from", "orders@[127.0.0.1]"], "--mail-from orders@[127.0.0.1] is"),
        (&["--mail-ops", "ops"], "--mail-ops ops is not an e-mail address"),
        (&["--shop-name", "two\nlines"], "on one line"),
        (&["--shop-name", "shop\u{202e}pohs"], "no control, bidirectional"),
        (&["--tracking-url", "DHL"], "not CARRIER=URL"),
        (
            &["--tracking-url", "DHL=https://x"],
            "--tracking-url DHL: not an http:// or https:// URL",
        ),
        (&["--tracking-url", "DHL=ftp://x/{tracking}"], "--tracking-url DHL: not an http://"),
    ] {
        let error = refused(&folder, flags);
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("us:pw"), "{error}");
    }
}

#[test]
fn a_faulty_template_is_refused_at_start_with_file_and_line() {
    let folder = TempDir::new().unwrap();
    let templates = folder.path().join("templates");
    std::fs::create_dir_all(templates.join("de")).unwrap();
    let file = templates.join("de/received.email.txt");
    let flags = ["--templates", templates.to_str().unwrap()];
    for (text, fault) in [
        ("Subject: x\n\nHallo\n{{ order.totl }}\n", ":4: unknown variable order.totl; there are"),
        ("Subject: x\n\n{% for line in lines %}\n", ":3: syntax error"),
        ("Hallo\n", ":1: a mail begins with `Subject: …`, then an empty line"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = refused(&folder, &flags);
        assert!(error.contains(&format!("{}{fault}", file.display())), "{error}");
    }
}

#[test]
fn customers_get_the_shops_own_texts_in_their_language() {
    let folder = TempDir::new().unwrap();
    let (data, mail) = (folder.path().join("data"), folder.path().join("mail"));
    let templates = folder.path().join("templates");
    std::fs::create_dir_all(templates.join("de")).unwrap();
    let received = "Subject: Ihre Bestellung bei {{ shop.name }}\n\n\
                    {% for line in lines %}\n{{ line.quantity }} x {{ line.sku }} zu \
                    {{ line.unit_price }}: {{ line.total }}\n{% endfor %}\n\
                    Summe {{ order.total }}\n";
    std::fs::write(templates.join("de/received.email.txt"), received).unwrap();
    let engine = Engine::start_with(&[
        "--data",
        data.to_str().unwrap(),
        "--mail-dir",
        mail.to_str().unwrap(),
        "--templates",
        templates.to_str().unwrap(),
        "--shop-name",
        "Tee & Co",
        "--tracking-url",
        "DHL=https://dhl.example/?id={tracking}",
        "--tracking-url",
        "UPS=https://ups.example/{tracking}",
    ]);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    let placed = engine.ask(
        &[&crate::support::placing(&["MUG=300@4.50EUR"])[..], &["--locale", "de-AT"]].concat(),
    );
    let order = placed["order"]["order_id"].as_str().unwrap();
    engine.until(order, "CONFIRMED");
    engine.ask(&["order", "fulfill", order, "--carrier", "UPS", "--tracking", "1Z 9"]);
    let patience = Instant::now() + PATIENCE;
    let mails = loop {
        let files = std::fs::read_dir(&mail).into_iter().flatten().flatten();
        let mails: Vec<String> = files
            // Not the one that is being written, which is hidden until it is whole.
            .filter(|file| !file.file_name().as_encoded_bytes().starts_with(b"."))
            .filter(|file| file.path().extension().is_some_and(|end| end == "eml"))
            .map(|file| plain(&std::fs::read_to_string(file.path()).unwrap()))
            .collect();
        if mails.len() >= 3 {
            break mails;
        }
        assert!(Instant::now() < patience, "{mails:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let with = |text: &str| mails.iter().any(|mail| mail.contains(text));
    assert!(with("Ihre Bestellung bei Tee & Co"), "{mails:?}");
    // Grouped as in Austria: a no-break space.
    assert!(with("300 x MUG zu 4,50 EUR: 1\u{a0}350,00 EUR"), "{mails:?}");
    // The others are built in.
    assert!(with("UPS 1Z 9\nhttps://ups.example/1Z%209\n"), "{mails:?}");
    assert!(engine.stop().success());
}

/// The subject and text of a mail, decoded.
fn plain(mail: &str) -> String {
    let mail = mail.replace("\r\n", "\n");
    let (head, body) = mail.split_once("\n\n").unwrap();
    let subject = head.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
    if !head.contains("quoted-printable") {
        return format!("{subject}\n{body}");
    }
    let body = body.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = body.as_bytes().iter().copied();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let code: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&code, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    format!("{subject}\n{}", String::from_utf8(bytes).unwrap())
}

/// The error of `serve` with flags that it refuses.
fn refused(folder: &TempDir, flags: &[&str]) -> String {
    let data = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let output = crate::support::ordinal(&[&serve[..], flags].concat());
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A resend is listed beside the message that it repeats, with the caller, and `verify` accepts it.
#[test]
fn a_resent_message_is_a_new_one_and_verify_accepts_it() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let flags = ["--data", data.to_str().unwrap()];
    let engine = Engine::start_with(&flags);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    engine.place(&["MUG=1@4.50GBP"]);
    let messages = || {
        let listed = engine.ask(&["notification", "list"]);
        listed["notifications"].as_array().cloned().unwrap_or_default()
    };
    let delivered = |count: usize| {
        let patience = Instant::now() + PATIENCE;
        loop {
            let messages = messages();
            let all = messages.iter().all(|one| one["state"] == "NOTIFICATION_STATE_DELIVERED");
            if messages.len() == count && all {
                return messages;
            }
            assert!(Instant::now() < patience, "{messages:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let first = delivered(2).remove(0);
    let id = first["notification_id"].as_str().unwrap();
    let again = engine.ask(&["notification", "resend", id])["notification"].clone();
    assert_eq!(
        (&again["resend_of"], &again["asked_by"]),
        (&first["notification_id"], &"developer".into())
    );
    assert_ne!(again["notification_id"], first["notification_id"]);
    let messages = delivered(3);
    assert_eq!(messages[0], first);
    let verified = engine.ask(&["verify"]);
    assert!(engine.stop().success(), "{verified}");
    let verified = crate::support::ordinal(&["verify", "--data", data.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
