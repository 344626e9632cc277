//! Clients in other languages: each places, ships and returns an order, and reads the reason of
//! every refusal. And the protos that they are generated from.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::Engine;

const CLIENTS: &str = "examples/clients";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn tool(variable: &str) -> PathBuf {
    let path = std::env::var(variable);
    PathBuf::from(path.unwrap_or_else(|_| panic!("{variable} is not set; scripts/test does")))
}

/// With programs from npm before those of the system.
fn with_npm(program: &str) -> Command {
    let programs = tool("ORDINAL_TEST_TYPESCRIPT").join("node_modules/.bin");
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(program);
    command.env("PATH", format!("{}:{path}", programs.display()));
    command
}

/// Output of a program that must succeed.
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {printed}{error}");
    printed
}

/// An engine, and the output that every client must print: what the README shows.
fn engine() -> (TempDir, Engine, String) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(&directory.path().join("data"));
    let readme = std::fs::read_to_string(root().join(CLIENTS).join("README.md")).unwrap();
    let shown = readme.split_once("```text\n").and_then(|(_, rest)| rest.split_once("```"));
    (directory, engine, shown.expect("the README shows the output").0.to_owned())
}

/// Python stubs, generated from the protos in this folder.
fn stubs(folder: &Path, protos_in: &str) -> PathBuf {
    let stubs = folder.join("gen");
    std::fs::create_dir(&stubs).unwrap();
    let out = |kind: &str| format!("--{kind}_out={}", stubs.display());
    let mut protos = Vec::new();
    find(&root().join(protos_in), &mut protos);
    let mut protoc = Command::new(tool("ORDINAL_TEST_PYTHON"));
    protoc.args(["-m", "grpc_tools.protoc", "-I", "proto"]).current_dir(root());
    protoc.args([out("python"), out("pyi"), out("grpc_python")]).args(protos);
    output_of(&mut protoc);
    stubs
}

fn find(folder: &Path, protos: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, protos);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            // As protoc requires: relative to its -I path.
            protos.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

#[test]
fn a_shop_in_python_trades_and_reads_refusals() {
    let (directory, engine, shown) = engine();
    let mut shop = Command::new(tool("ORDINAL_TEST_PYTHON"));
    shop.arg(root().join(CLIENTS).join("python/shop.py"));
    shop.arg(engine.address.trim_start_matches("http://"));
    // Google's protos come with googleapis-common-protos.
    shop.env("PYTHONPATH", stubs(directory.path(), "proto/ordinal"));
    assert_eq!(output_of(&mut shop), shown);
}

/// The vendored Google protos must equal the public ones, so that both fit into one process: as
/// files, as stubs, and by reflection.
#[test]
fn protos_of_google_are_those_of_googleapis() {
    const CODE: &str = r#"
import pathlib, runpy, sys
import google.api.annotations_pb2, google.api.field_behavior_pb2
import google.rpc.error_details_pb2, google.rpc.status_pb2, google.type.money_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
import grpc

vendored, stubs, address = sys.argv[1:]
official = pathlib.Path(google.rpc.status_pb2.__file__).parent.parent.parent
names = [str(path.relative_to(vendored)) for path in pathlib.Path(vendored, "google").rglob("*.proto")]
assert len(names) == 6, names
for name in names:
    theirs = official.joinpath(name).read_bytes()
    assert pathlib.Path(vendored, name).read_bytes() == theirs, f"{name} is not the public one"

# Stubs of the vendored ones are taken beside those that googleapis-common-protos has brought.
for name in names:
    runpy.run_path(str(pathlib.Path(stubs, name.replace(".proto", "_pb2.py"))))
sys.path.insert(0, stubs)
from ordinal.orders.v1 import orders_pb2

# What the engine tells is the same.
def bare(file):
    nested = list(file.message_type)
    while nested:
        message = nested.pop()
        nested += message.nested_type
        for field in message.field:
            field.ClearField("json_name")
    for field in file.extension:
        field.ClearField("json_name")
    file.ClearField("source_code_info")
    return file

with grpc.insecure_channel(address) as channel:
    reflected = ProtoReflectionDescriptorDatabase(channel)
    # What no service imports is not told.
    for name in filter(lambda name: "field_behavior" not in name, names):
        known = descriptor_pb2.FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(name).CopyToProto(known)
        assert bare(reflected.FindFileByName(name)) == bare(known), f"reflection serves another {name}"
print(len(names), "files are the same")
"#;
    let (directory, engine, _) = engine();
    let stubs = stubs(directory.path(), "proto");
    let mut check = Command::new(tool("ORDINAL_TEST_PYTHON"));
    check.args(["-c", CODE]).arg(root().join("proto")).arg(stubs);
    check.arg(engine.address.trim_start_matches("http://"));
    assert_eq!(output_of(&mut check), "6 files are the same\n");
}

#[test]
fn a_shop_in_typescript_trades_and_reads_refusals() {
    let (directory, engine, shown) = engine();
    // As in a checkout, with npm's packages.
    let clients = directory.path().join(CLIENTS);
    let shop = clients.join("typescript");
    std::fs::create_dir_all(&shop).unwrap();
    for file in ["package.json", "tsconfig.json", "buf.gen.yaml", "shop.ts"] {
        std::fs::copy(root().join(CLIENTS).join("typescript").join(file), shop.join(file)).unwrap();
    }
    std::fs::copy(root().join(CLIENTS).join("refusals.json"), clients.join("refusals.json"))
        .unwrap();
    symlink(root().join("proto"), directory.path().join("proto")).unwrap();
    symlink(tool("ORDINAL_TEST_TYPESCRIPT").join("node_modules"), shop.join("node_modules"))
        .unwrap();
    output_of(with_npm("buf").arg("generate").current_dir(&shop));
    output_of(with_npm("tsc").current_dir(&shop));
    let trades = |engine: &Engine, protocol: &str| {
        let mut run = with_npm("node");
        output_of(run.args(["build/shop.js", &engine.address, protocol]).current_dir(&shop))
    };
    assert_eq!(trades(&engine, "grpc"), shown);
    // The last refusal is one of a stream.
    let (calls, _) = shown.trim_end().rsplit_once('\n').unwrap();
    for protocol in ["grpc-web", "connect", "connect-json"] {
        let (_directory, engine, _) = self::engine();
        assert_eq!(trades(&engine, protocol).trim_end(), calls, "{protocol}");
    }
}

#[test]
fn a_shop_of_buf_curl_trades_by_reflection_and_reads_refusals() {
    let (_directory, engine, shown) = engine();
    let mut shop = with_npm("bash");
    shop.arg(root().join(CLIENTS).join("buf/shop.sh")).arg(&engine.address);
    assert_eq!(output_of(&mut shop), shown);
    let health = format!("{}/grpc.health.v1.Health/Check", engine.address);
    let mut check = with_npm("buf");
    check.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge", &health]);
    assert!(output_of(&mut check).contains("SERVING"));
}

/// Works offline: style, and compatibility with stubs of the first release.
#[test]
fn protos_pass_the_linter_and_break_no_client() {
    output_of(with_npm("buf").arg("lint").current_dir(root()));
    let format = output_of(
        with_npm("buf").args(["format", "--diff", "--path", "proto/ordinal"]).current_dir(root()),
    );
    assert_eq!(format, "");
    let first = root().join("tests/it/protos-0.1.0.binpb");
    output_of(with_npm("buf").args(["breaking", "--against"]).arg(first).current_dir(root()));
}

/// Stands for the generators of Go and Java: writes the package of each file that it is asked for.
const GENERATOR: &str = r#"
import pathlib, sys
from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

name, *arguments = sys.argv[1:]
if "--version" in arguments:
    sys.exit(print("libprotoc 33.0"))
option = "go_package" if "go" in name else "java_package"
told = sys.stdin.buffer.read()
if name == "protoc":
    files = descriptor_pb2.FileDescriptorSet.FromString(told).file
    wanted = [argument for argument in arguments if not argument.startswith("-")]
    (out,) = [a.removeprefix("--java_out=") for a in arguments if a.startswith("--java_out=")]
else:
    request = plugin_pb2.CodeGeneratorRequest.FromString(told)
    files, wanted = request.proto_file, request.file_to_generate
answer = plugin_pb2.CodeGeneratorResponse(supported_features=1)
for file in files:
    if file.name in wanted:
        path = f"{name}/{file.name}"
        answer.file.add(name=path, content=getattr(file.options, option))
if name != "protoc":
    sys.exit(sys.stdout.buffer.write(answer.SerializeToString()) and 0)
for file in answer.file:
    path = pathlib.Path(out, file.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.content)
"#;

/// Every proto of ours gets a package below the one that the recipe names, and none of Google's is
/// generated: languages have their own, and two of them collide.
#[test]
fn recipes_for_go_and_java_name_packages() {
    let directory = tempfile::tempdir().unwrap();
    let programs = directory.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let generator = directory.path().join("generator.py");
    std::fs::write(&generator, GENERATOR).unwrap();
    let names = ["protoc-gen-go", "protoc-gen-go-grpc", "protoc", "protoc-gen-grpc-java"];
    for name in names {
        let python = tool("ORDINAL_TEST_PYTHON");
        let (python, generator) = (python.display(), generator.display());
        let script = format!("#!/bin/sh\nexec {python} {generator} {name} \"$@\"\n");
        std::fs::write(programs.join(name), script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(programs.join(name), mode).unwrap();
    }
    for recipe in ["go", "java"] {
        let mut buf = with_npm("buf");
        let path = buf.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        buf.env("PATH", format!("{}:{}", programs.display(), path.to_str().unwrap()));
        buf.args(["generate", "--template"]).arg(format!("{CLIENTS}/{recipe}/buf.gen.yaml"));
        output_of(buf.arg("-o").arg(directory.path()).current_dir(root()));
    }
    let mut ours = Vec::new();
    find(&root().join("proto/ordinal"), &mut ours);
    for name in names {
        let out = directory.path().join("gen").join(name);
        assert!(!out.join("google").exists(), "{name} is asked for Google's");
        for proto in &ours {
            let proto = proto.strip_prefix("proto").unwrap();
            let folder = proto.parent().unwrap().to_str().unwrap();
            let package = std::fs::read_to_string(out.join(proto)).unwrap();
            let expected = match name.contains("go") {
                true => format!("example.com/shop/gen/{folder}"),
                false => format!("com.example.{}", folder.replace('/', ".")),
            };
            // Go: the path, and the name of the package.
            assert_eq!(package.split(';').next().unwrap(), expected, "{name}: {}", proto.display());
        }
    }
}
