"""Steps for the inputs of tests/cases and ../shared/cases that do not run by themselves, and the result that
is right. Not run by itself but by scripts/cases."""

import csv, http.server, json, pathlib, re, socketserver, subprocess, threading, time

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Wrong(Exception):
    """The result is not the right one."""


class Trial:
    """A case under way: the folder of its input, one of its own, and an engine if it has one."""

    def __init__(self, runner, inputs, folder, at, started):
        self.runner, self.inputs, self.folder, self.at, self.started = runner, inputs, folder, at, started

    def ordinal(self, *arguments, at=None):
        """Runs a verb, against the engine where there is one; returns its exit code and output."""
        at = at or self.at
        where = ["--address", at] if at and "--address" not in arguments else []
        done = subprocess.run(
            [self.runner.binary, *where, *arguments],
            env=self.runner.environment,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr

    def json(self, *arguments):
        code, said = self.ordinal("--json", *arguments)
        expect(code == 0, f"{arguments}: {said}")
        return json.loads(said.splitlines()[0])

    def engine(self, *flags):
        """Starts another engine, with these flags."""
        self.at = self.runner.engine(self.folder, self.started, "--data", self.folder / "own", *flags)

    def confirmed(self, *flags):
        """Places an order and waits until it is confirmed; returns its id."""
        self.ordinal("stock", "set", "MUG", "1000000")
        line = ["--customer", "018f6f3e-0000-7000-8000-000000000001", "--line", "MUG=1@12.50GBP"]
        address = ["--street", "1 High Street", "--city", "London", "--postal-code", "EC1A 1BB", "--country", "GB"]
        order = self.json("order", "place", *line, *address, *flags)["order"]["order_id"]
        until(lambda: "CONFIRMED" in self.ordinal("order", "get", order)[1], "the order is not confirmed")
        return order

    def loaded(self, file, code, report="report.json"):
        """Loads a file into a separate engine; returns the report."""
        came, said = self.ordinal("load", "--csv", self.inputs / file, "--report", report, "--data", self.folder / "load")
        expect(came == code, f"the exit code is {came}: {said}")
        return json.loads((self.folder / report).read_text())


def expect(holds, otherwise):
    if not holds:
        raise Wrong(otherwise)


def said(answer, code, *words):
    """Checks the exit code, and that all these texts are in the output."""
    came, text = answer
    flat = " ".join(text.split())
    expect(came == code, f"the exit code is {came}, not {code}: {text}")
    for word in words:
        expect(word in flat, f"{word!r} is not said: {text}")


def until(holds, otherwise, patience=20):
    end = time.monotonic() + patience
    while not holds():
        expect(time.monotonic() < end, otherwise)
        time.sleep(0.1)


def quote_never_closed(trial):
    report = trial.loaded("quote-never-closed.csv", 1)
    told = {problem["line"] for problem in report["problems"]}
    expect(report["placed"] + len(told) == 12, f"of 12 invoices {report['placed']} are placed and {told} told")


def time_with_offset(trial):
    expect(trial.loaded("time-with-offset.csv", 0)["placed"] == 3, "not all are placed")
    trial.engine()
    trial.ordinal("load", "--csv", trial.inputs / "time-with-offset.csv")
    # The list follows the journal a moment later.
    until = time.monotonic() + 10
    while len(orders := trial.json("order", "list")["orders"]) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    times = sorted(order["ordered_at"] for order in orders)
    expect(times == ["2026-03-02T09:15:00Z"] + 2 * ["2026-03-02T14:15:00Z"], f"ordered at {times}")


def prices_and_numbers_as_written(trial):
    details = {p["invoice"]: p["detail"] for p in trial.loaded("prices-and-numbers-as-written.csv", 1)["problems"]}
    for number in ("90001", "90002"):
        expect("finer" not in details[number] and "separators" in details[number], details[number])
    expect("4294967295" not in str(details), str(details))
    expect("begins with C, so it is a credit note" in details["CH-90004"], details["CH-90004"])


def semicolons(trial):
    report = trial.folder / "report.json"
    report.write_text('{"earlier": true}')
    run = ("load", "--csv", trial.inputs / "semicolons.csv", "--report", report, "--data", trial.folder / "load")
    said(trial.ordinal(*run), 2, "semicolons", "commas")
    expect(report.read_text() == '{"earlier": true}', "the earlier report is gone")


def quantities(trial):
    report = trial.loaded("quantities.csv", 1)
    details = {problem["invoice"]: problem["detail"] for problem in report["problems"]}
    expect(report["placed"] == 1 and set(details) == {"2", "3", "4"}, str(report))
    expect(all("1000000000" in details[number] for number in "23"), str(details))
    expect("credit note" in details["4"] and "4294967295" not in str(details), str(details))


def dry_run_in_a_file(trial):
    said(trial.ordinal("order", "place", "--file", trial.inputs / "dry-run-in-a-file.json"), 0, "would append")
    expect(trial.ordinal("order", "list")[1].strip() == "no orders", "there is an order")


class Deferring(socketserver.StreamRequestHandler):
    """A mail server that accepts nothing for the first seconds, as greylisting does."""

    def handle(self):
        def say(text):
            self.wfile.write(f"{text}\r\n".encode())

        say("220 mail")
        in_data = False
        for line in self.rfile:
            line = line.decode(errors="replace").strip()
            if in_data:
                if line == ".":
                    in_data = False
                    self.server.taken += 1
                    say("250 taken")
            elif line.upper().startswith("RCPT") and time.monotonic() < self.server.until:
                self.server.deferred += 1
                say("451 try again later")
            elif line.upper() == "DATA":
                in_data = True
                say("354 go on")
            elif line.upper() == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


def mail_server(patience):
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Deferring)
    server.daemon_threads = True
    server.until, server.deferred, server.taken = time.monotonic() + patience, 0, 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def mail_that_is_told_to_wait(trial):
    # The first try is repeated after half a minute.
    server = mail_server(20)
    try:
        trial.engine("--smtp-url", f"smtp://127.0.0.1:{server.server_address[1]}")
        order = trial.confirmed("--email", "ann@example.com")

        def states():
            listed = trial.json("notification", "list", "--order", order)["notifications"]
            return {message["state"] for message in listed}

        until(lambda: server.deferred > 0, "no mail was tried")
        expect(not any("FAILED" in state for state in states()), f"{states()}")
        until(lambda: all("DELIVERED" in state for state in states()), f"after a while it is {states()}", 120)
        expect(server.taken > 0, "the server took none")
    finally:
        server.shutdown()


def no_sms_where_none_can_be_sent(trial):
    server = mail_server(0)
    try:
        trial.engine("--smtp-url", f"smtp://127.0.0.1:{server.server_address[1]}")
        order = trial.confirmed("--email", "ann@example.com", "--phone", "+447400123456")
        until(lambda: server.taken >= 2, "the mails have not left")
        listed = trial.json("notification", "list", "--order", order)["notifications"]
        channels = {message["channel"] for message in listed}
        expect("SMS" not in channels and "EMAIL" in channels, f"channels are {channels}")
    finally:
        server.shutdown()


def webhook(trial, secret):
    """One call of a webhook with this secret: its headers and its body."""
    calls = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            calls.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        file = trial.folder / "secret"
        file.write_text(secret + "\n")
        file.chmod(0o600)
        port = server.server_address[1]
        trial.engine("--webhook-url", f"http://127.0.0.1:{port}/", "--webhook-secret-file", file)
        trial.confirmed("--email", "ann@example.com")
        until(lambda: calls, "no call came")
    finally:
        server.shutdown()
    return calls[0]


def webhook_secret(trial):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers, body = webhook(trial, secret)
    in_library(trial, "verify", secret, headers, body.decode())


def webhook_vector(trial):
    vector = json.loads((trial.inputs / "webhook-vector.json").read_text())
    secret = vector["secret_file_line"]
    signed = in_library(trial, "sign", secret, vector["webhook_id"], vector["webhook_timestamp"], vector["body"])
    expect(signed == vector["expected_webhook_signature"], f"the library signs {signed}")
    headers, body = webhook(trial, secret)
    in_library(trial, "verify", secret, headers, body.decode())


LIBRARY = """
import datetime, json, sys
from standardwebhooks import Webhook
what, secret, *rest = json.loads(sys.stdin.read())
if what == "verify":
    headers, body = rest
    Webhook(secret).verify(body, {key.lower(): value for key, value in headers.items()})
else:
    name, at, body = rest
    print(Webhook(secret).sign(name, datetime.datetime.fromtimestamp(at, datetime.timezone.utc), body))
"""


def in_library(trial, *asked):
    """The result of the library of Standard Webhooks."""
    run = [trial.runner.python, "-c", LIBRARY]
    done = subprocess.run(run, input=json.dumps(asked), capture_output=True, text=True, timeout=30)
    expect(done.returncode == 0, done.stderr)
    return done.stdout.strip()


def dead_letters_answer(trial):
    """A server with this answer, as `dead-letter list` shows it: built from the engine's own protos."""
    code = """
import concurrent.futures, json, sys
import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(grpc.insecure_channel(sys.argv[1])))
method = pool.FindServiceByName("ordinal.admin.v1.AdminService").FindMethodByName("ListDeadLetters")
# Letters have a subject by now; the input is from a time when that was always an order.
said = json.loads(open(sys.argv[2]).read().replace('"order_id"', '"subject"'))
answer = json_format.ParseDict(said, message_factory.GetMessageClass(method.output_type)())
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: answer, response_serializer=lambda m: m.SerializeToString())
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("ordinal.admin.v1.AdminService", {"ListDeadLetters": handler})])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination(60)
"""
    run = [trial.runner.python, "-c", code, trial.at, trial.inputs / "dead-letters-answer.json"]
    fake = subprocess.Popen(run, stdout=subprocess.PIPE, text=True)
    try:
        port = fake.stdout.readline().strip()
        answer = trial.ordinal("dead-letter", "list", at=f"127.0.0.1:{port}")
        words = ["follower", "subject", "stock", "01a21f8e-2ca7-779c-8d7f-b83080de8fc7", "POISON", "order.fulfilled.v1"]
        said(answer, 0, *words, "line 1: more units than are held")
    finally:
        fake.kill()
        fake.wait()


def addresses(trial):
    port = trial.at.rpartition(":")[2]
    for row in csv.DictReader((trial.inputs / "addresses.csv").open()):
        address = row["address"].replace("7400", port)
        code, text = trial.ordinal("order", "list", "--address", address)
        works = code == 0 and "no orders" in text
        refused = code == 2 and address in text
        if "or TLS" in row["expected"]:
            # The engine of this case has no TLS, and nothing is sent to it in clear text.
            refused = code == 3 and "does not speak TLS" in text
        expect(works if "works" in row["expected"] else refused, f"{address}: {code} {text}")


def one_request_id_two_callers(trial):
    file = trial.inputs / "one-request-id-two-callers.json"
    said(trial.ordinal("--as", "service:shop-1", "order", "place", "--file", file), 0, "appended OrderPlaced")
    said(trial.ordinal("--as", "service:shop-2", "order", "place", "--file", file), 0, "nothing changed")
    orders = trial.json("order", "list")["orders"]
    expect(len(orders) == 1, f"there are {len(orders)} orders")


def placed(file, *words):
    """A file that is refused, with these texts."""

    def place(trial):
        said(trial.ordinal("order", "place", "--file", trial.inputs / file), 2, *words)
        expect(trial.ordinal("order", "list")[1].strip() == "no orders", "there is an order")

    return place


def place_file_and_flags(trial):
    flags = ["--email", "other@example.com", "--postal-code", "XX"]
    file = trial.inputs / "place-file-and-flags.json"
    said(trial.ordinal("order", "place", "--file", file, *flags), 2, "--file", "--email")


def cancel_bidi_text(trial):
    request = json.loads((trial.inputs / "cancel-bidi-text.json").read_text())
    order = trial.confirmed("--email", "ann@example.com")
    code, text = trial.ordinal("order", "cancel", order, "--text", request["text"])
    expect("\u202e" not in text, "it is shown as it is")
    said((code, text), 2, "text")


def settings(file, *words):
    """A settings file that is refused at the start, with these texts."""

    def start(trial):
        run = ["--data", trial.folder / "data"]
        said(trial.ordinal("serve", "--config", trial.inputs / file, *run), 2, *words)

    return start


def tokens(file, *words):
    def start(trial):
        # As tokens are stored: a copy that only its owner can read.
        copy = trial.folder / "tokens.toml"
        copy.write_bytes((trial.inputs / file).read_bytes())
        copy.chmod(0o600)
        run = ["--data", trial.folder / "data", "--listen", "127.0.0.1:0"]
        answer = trial.ordinal("serve", "--tokens", copy, *run)
        said(answer, 2, *words)
        expect("ENGINE" not in answer[1], answer[1])

    return start


def mistakes(trial):
    """Each command of mistakes.csv, with an order for ID; the third column is the right result."""
    order = trial.confirmed("--email", "ann@example.com")
    address = "--street S --city C --postal-code N1 --country GB --email a@b.co --customer 018f6f3e-0000-7000-8000-000000000001"
    file = trial.inputs / "place-file-and-flags.json"
    right = {
        "order list --timeout 60s": (2, "more than 30s"),
        # A text that is no UUID is an order's number.
        "order get 123 --json": (1, '{"error":', '"reason":"NOT_FOUND"', "number 123", "a UUID"),
        "order get anna": (1, "NOT_FOUND: ", "number anna", "a UUID"),
        "order place --line MUG=2@12.505GBP …": (2, "more decimals"),
        "order place --line MUG=2@12.50gbp …": (0, "appended OrderPlaced"),
        "order cancel ID --reason because": (2, "not one of CUSTOMER_REQUEST, OPS"),
        "order list --status SHIPPED": (2, "is not one of PENDING, CONFIRMED, FULFILLED"),
        "order list --status pending": (0,),
        "follower pause nosuch --reason x": (2, "deadlines, ledger-entries, money-answers"),
        "stock adjust MUG 0": (2, "INVALID_FIELD: delta:"),
        "stock list --prefix MU": (0, "MUG"),
        "shards list": (0,),
        "return list": (0,),
        "dead-letter list": (0, "no dead letters"),
        "order place --file F --email other@example.com": (2, "cannot be used with"),
        "health --service nope": (1, "no service nope"),
        "version": (0, "ordinal "),
    }
    rows = list(csv.DictReader((trial.inputs / "mistakes.csv").open()))
    unknown = [row["command"] for row in rows if row["command"] not in right]
    expect(not unknown, f"nothing says what is right of {unknown}")
    for row in rows:
        words = row["command"].replace("…", address).split()
        words = [{"ID": order, "F": str(file)}.get(word, word) for word in words]
        answer = trial.ordinal(*words)
        said(answer, *right[row["command"]])
        expect("ORDER_STATUS_" not in answer[1] and "CANCEL_REASON_" not in answer[1], answer[1])


def stream(commands, window):
    """stream.py prints the results of its commands; then no stock may be reserved."""

    def run(trial):
        arguments = [trial.at, str(commands), *([str(window)] if window else [])]
        script = [trial.runner.python, trial.inputs / "stream.py", *arguments]
        done = subprocess.run(script, capture_output=True, text=True, timeout=600)
        text = done.stdout + done.stderr
        expect("the stream ended" not in text, text)
        expect("the rest is cancelled" in text, text)
        until(lambda: trial.json("stock", "get", "STREAM")["stock"].get("reserved", 0) in (0, "0"), "units stay held")

    return run


class Prepared:
    """The output of prepare.sh of security/, with a server. The scripts were written for earlier protos: a
    copy skips methods added since (the tests call every method by every role)."""

    SINCE = {
        "access-matrix.py": ("; assert set(M)==set(METHODS),set(METHODS)-set(M)", ""),
        "fuzz.py": ("msg.CopyFrom(B[p])", "p in B and msg.CopyFrom(B[p])"),
    }

    def __init__(self, trial):
        self.work, self.python = trial.folder / "work", trial.runner.python
        self.environment = trial.runner.environment | {"SECURITY_WORK": str(self.work)}
        for folder in ("gen", "run", "out", "src"):
            (self.work / folder).mkdir(parents=True)
        for script in trial.inputs.glob("*.py"):
            text = script.read_text()
            before, after = self.SINCE.get(script.name, ("", ""))
            expect(before in text, f"{script} is another one now: it has no {before!r}")
            (self.work / "src" / script.name).write_text(text.replace(before, after) if before else text)
        proto = ROOT / "proto"
        protos = [str(path.relative_to(proto)) for path in proto.rglob("*.proto")]
        self.run("-m", "grpc_tools.protoc", "-I", proto, f"--python_out={self.work}/gen", *protos)
        self.run("-c", "from common import *; tokens_file()")
        tokens = self.work / "run/tokens.toml"
        tokens.chmod(0o600)
        # The matrix asks which methods there are.
        trial.engine("--tokens", tokens, "--rate-limit", "CUSTOMER=off", "--reflection")
        self.server, self.log = trial.started[-1], trial.folder / "server.log"
        self.port = trial.at.rpartition(":")[2]
        (self.work / "run/case.pid").write_text(str(self.server.pid))

    def run(self, *arguments):
        done = subprocess.run(
            [self.python, *arguments], cwd=self.work / "src", env=self.environment, capture_output=True, text=True, timeout=300
        )
        expect(done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:])
        return done.stdout.splitlines()

    def matrix(self):
        return self.run("access-matrix.py", self.port)


def access_matrix(trial):
    lines = Prepared(trial).matrix()

    def all_that(begin):
        found = [line for line in lines if line.startswith(begin)]
        expect(found, f"nothing is said of {begin!r}: {lines[-5:]}")
        return found

    expect(all_that("unauthenticated variants") == ["unauthenticated variants not refused: []"], str(lines))
    for line in all_that("path "):
        expect(" OK " not in line, line)
    # An order of another customer looks missing; only its id cannot be used again.
    since = lines.index("--- existence oracles as customer B")
    of_absent = [line for line in lines[since:] if " absent  " in line and not line.startswith("PlaceOrder")]
    expect(len(of_absent) > 10, str(lines[since:]))
    for line in of_absent:
        foreign = line.replace(" absent  ", " foreign ", 1)
        expect(foreign in lines, f"not as a foreign one: {line}")
    for line in all_that("timing "):
        absent, foreign = (float(number) for number in re.findall(r"(\d+)/\d+", line))
        expect(abs(absent - foreign) < 0.1 * absent + 300, line)
    for line in all_that("B with header ") + all_that("replay of A request by B"):
        expect("NOT_FOUND" in line, line)
    for line in all_that("token A used by "):
        expect("INVALID_ARGUMENT" in line, line)
    for line in all_that("Place for another customer") + all_that("two authorization headers ('B', 'OPS')"):
        expect("PERMISSION_DENIED" in line, line)


def fuzz(trial):
    prepared = Prepared(trial)
    prepared.matrix()
    lines = prepared.run("fuzz.py", prepared.port, "20", "7", "2", "100000", "case")
    # The Python client's own text, where its stream is refused early.
    bad = [line for line in lines if line.startswith("BAD") and "Internal error from Core" not in line]
    expect(not bad, "\n".join(bad))
    expect("slow {}" in lines[0], lines[0])
    expect(prepared.server.poll() is None and "panicked" not in prepared.log.read_text(), "the server panicked")


# By folder: the input, its steps, whether it takes seconds, and whether it needs an engine.
INPUTS = [
    ("security", "access-matrix.py", access_matrix, False, None),
    ("security", "fuzz.py", fuzz, False, None),
    ("commerce", "stream.py 6000", stream(6000, None), False, "open"),
    ("commerce", "stream.py 10050 300", stream(10050, 300), False, "open"),
    ("commerce", "quote-never-closed.csv", quote_never_closed, True, None),
    ("commerce", "time-with-offset.csv", time_with_offset, True, None),
    ("commerce", "prices-and-numbers-as-written.csv", prices_and_numbers_as_written, True, None),
    ("commerce", "semicolons.csv", semicolons, True, None),
    ("commerce", "dry-run-in-a-file.json", dry_run_in_a_file, True, "open"),
    ("commerce", "mail that is told to wait", mail_that_is_told_to_wait, False, None),
    ("commerce", "SMS with --smtp-url", no_sms_where_none_can_be_sent, True, None),
    ("commerce", "webhook secret of Standard Webhooks", webhook_secret, True, None),
    ("newcomer", "dead-letters-answer.json", dead_letters_answer, True, "open"),
    ("newcomer", "webhook-vector.json", webhook_vector, True, None),
    ("newcomer", "addresses.csv", addresses, True, "open"),
    ("newcomer", "one-request-id-two-callers.json", one_request_id_two_callers, True, "open"),
    ("newcomer", "place-file-and-flags.json", place_file_and_flags, True, "open"),
    ("newcomer", "nil-order-id.json", placed("nil-order-id.json", "INVALID_FIELD: order_id"), True, "open"),
    ("newcomer", "nil-customer-id.json", placed("nil-customer-id.json", "INVALID_FIELD: customer_id"), True, "open"),
    ("newcomer", "currency-xxx.json", placed("currency-xxx.json", "INVALID_LINE", "currency"), True, "open"),
    ("newcomer", "bidi-city.json", placed("bidi-city.json", "address.city"), True, "open"),
    ("newcomer", "cancel-bidi-text.json", cancel_bidi_text, True, "open"),
    ("newcomer", "misspelt-inner-field.json", placed("misspelt-inner-field.json", "contact.emial"), True, "open"),
    ("newcomer", "config-underscore.toml", settings("config-underscore.toml", "did you mean confirm-within"), True, None),
    ("newcomer", "config-section.toml", settings("config-section.toml", "at the top level"), True, None),
    (
        "newcomer",
        "config-ignored-on-sqlite.toml",
        settings("config-ignored-on-sqlite.toml", "--archive", "Postgres"),
        True,
        None,
    ),
    (
        "newcomer",
        "tokens-lower-case-role.toml",
        tokens("tokens-lower-case-role.toml", "CUSTOMER, SERVICE or OPS"),
        True,
        None,
    ),
    ("newcomer", "tokens-empty.toml", tokens("tokens-empty.toml", "it has no tokens"), True, None),
    ("newcomer", "quantities.csv", quantities, True, None),
    ("newcomer", "mistakes.csv", mistakes, True, "open"),
]
