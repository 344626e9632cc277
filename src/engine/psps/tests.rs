use order_actor::clock::SystemClock;

use super::*;

fn read(text: &str) -> Result<Psps, String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("stripe.key", "sk_test_1\n");
    write("razorpay.key", "rzp_test_1:secret1\n");
    write("empty", "\n");
    write("new", "whsec_0123456789");
    write("old", "whsec_9876543210");
    let file = folder.path().join("psps.toml");
    std::fs::write(&file, text).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let prefix = format!("psps {}: ", file.display());
    from_file(&file, &clock).map_err(|error| error.to_string().replace(&prefix, ""))
}

const CARDS: &str = "[[psps]]\nname = \"cards\"\ndialect = \"stripe\"\n\
    secret-file = \"stripe.key\"\nwebhook-secret-files = [\"new\", \"old\"]\n\
    multi-capture = true\n\
    [[psps]]\nname = \"upi\"\ndialect = \"razorpay\"\nsecret-file = \"razorpay.key\"\n\
    timeout = \"5s\"\n\
    [[psps]]\nname = \"play\"\ndialect = \"simulator\"\nseed = 7\nodds = \"slow=10\"\n\
    latency = \"20ms\"\n\
    [[psps]]\nname = \"wallet\"\ndialect = \"wallet\"\n";

#[test]
fn providers_are_read_with_their_secrets() {
    let psps = read(CARDS).unwrap();
    let names = |all: Vec<PspName>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = || psps.psps(&Wallets::default());
    assert_eq!(names(all().into_keys().collect()), ["cards", "play", "upi", "wallet"]);
    for (name, psp) in all() {
        assert_eq!(psp.name(), name.as_str());
        let parts = psp.capabilities().multi_capture;
        assert_eq!(parts, !["upi", "wallet"].contains(&name.as_str()), "{name}");
    }
    assert!(psps.have_wallets());
    assert_eq!(names(psps.verifiers().into_keys().collect()), ["cards"]);
    let wrong = |psp: &str, currency: &str| {
        psps.wrong(&psp.parse().unwrap(), currency.parse().unwrap()).unwrap_or_default()
    };
    assert_eq!(wrong("cards", "GBP"), "");
    assert_eq!(wrong("cards", "UGX"), "cards is not known to take UGX");
    assert_eq!(wrong("wallet", "UGX"), "");
    assert_eq!(wrong("bank", "GBP"), "no such provider; there are cards, play, upi, wallet");
}

#[test]
fn payouts_are_by_a_provider_that_pays_sellers_out() {
    let with = |psp: &str| read(&format!("{CARDS}[payouts]\npsp = \"{psp}\"\n"));
    let days = Duration::from_secs(24 * 3_600) * 30;
    assert_eq!(read(CARDS).unwrap().payouts(days), None);
    let rules = with("play").unwrap().payouts(days).unwrap();
    assert_eq!((rules.psp.as_str(), rules.after), ("play", days));
    for (psp, expected) in [
        ("bank", "payouts: psp: no such provider: bank"),
        ("wallet", "payouts: psp: wallet pays nobody out"),
        ("upi", "payouts: psp: upi pays nobody out"),
        ("cards", "payouts: psp: cards pays nobody out"),
    ] {
        let error = with(psp).err().unwrap_or_default();
        assert!(error.contains(expected), "{psp}: {error}");
    }
    let able = CARDS.replace("multi-capture = true", "multi-capture = true\npayouts = true");
    let rules = read(&format!("{able}[payouts]\npsp = \"cards\"\n")).unwrap().payouts(days);
    assert_eq!(rules.unwrap().psp.as_str(), "cards");
    let unknown = read(&format!("{CARDS}[payouts]\npsp = \"play\"\nafterwards = \"1day\"\n"));
    assert!(unknown.err().unwrap_or_default().contains("unknown key afterwards"));
}

#[test]
fn what_is_wrong_with_a_provider_is_named_without_its_secret() {
    for (change, with, expected) in [
        ("\"stripe\"", "\"paypal\"", "cards: dialect: not simulator, stripe or razorpay"),
        ("\"cards\"", "\"Cards\"", "lower-case letters"),
        ("\"upi\"", "\"cards\"", "two providers have this name"),
        ("multi-capture = true", "multi-captures = true", "unknown key multi-captures"),
        ("secret-file = \"stripe.key\"", "", "cards: missing key secret-file"),
        ("\"stripe.key\"", "\"nowhere\"", "nowhere"),
        ("\"stripe.key\"", "\"empty\"", "it is empty"),
        ("\"razorpay.key\"", "\"stripe.key\"", "not what razorpay has"),
        ("[\"new\", \"old\"]", "[\"new\", \"old\", \"new\"]", "at most two webhook secrets"),
        ("[\"new\", \"old\"]", "[]", "webhook-secret-files: a webhook secret is missing"),
        ("timeout = \"5s\"", "timeout = \"90s\"", "timeout: is at most 30s"),
        ("timeout = \"5s\"", "payouts = true", "payouts: not with Razorpay"),
        ("timeout = \"5s\"", "seed = 1", "settings of the simulator"),
        ("odds = \"slow=10\"", "odds = \"slow\"", "play: odds: "),
        ("odds = \"slow=10\"", "url = \"http://127.0.0.1:1\"", "has no url"),
        ("timeout = \"5s\"", "url = \"http://pay.example\"", "the URL must be https://"),
        ("\"wallet\"", "\"purse\"", "purse: name: the wallets of the ledger are wallet"),
        ("\"upi\"", "\"wallet\"", "wallet: name: only the dialect wallet has it"),
        ("dialect = \"wallet\"", "dialect = \"wallet\"\nseed = 1", "and nothing else"),
        ("[[psps]]\nname = \"cards\"", "[psps\nname = \"cards\"", "not valid TOML"),
    ] {
        let error = read(&CARDS.replacen(change, with, 1)).err().unwrap_or_default();
        assert!(error.contains(expected), "{change}: {error}");
        assert!(!error.contains("sk_test_1") && !error.contains("secret1"), "{error}");
    }
}
