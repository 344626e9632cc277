//! The document of a small shop, and of the real protos; the files of Swagger UI.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod document; // every rule, at a small shop
mod pages; // what a browser gets
mod real; // laws over the protos of this engine

use prost_reflect::DescriptorPool;
use serde_json::Value;
use web_edge::Routes;
use web_openapi::{About, Refusal, document};

/// Everything that these files and their imports have.
fn pool(files: &[&str], folders: &[&str]) -> DescriptorPool {
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler.include_source_info(true).include_imports(true).open_files(files).unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

fn refusals() -> Vec<Refusal<'static>> {
    let meaning = "It is not there.";
    vec![
        Refusal { code: "NOT_FOUND", statuses: vec![404], meaning },
        Refusal { code: "VERSION_MISMATCH", statuses: vec![409, 412], meaning: "It changed." },
    ]
}

/// About a program without examples.
fn about<'a>(refusals: &'a [Refusal<'a>]) -> About<'a> {
    About { version: "1.2.3", first: "ordinal.orders.v1.OrderService", examples: "{}", refusals }
}

fn described(routes: &Routes) -> (String, Value) {
    let text = document(routes, &about(&refusals())).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}
