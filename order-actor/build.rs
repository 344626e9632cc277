//! Compiles the protos of the order service without protoc, and stores their descriptors for
//! reflection.

use std::error::Error;
use std::path::PathBuf;

const PROTOS: [&str; 4] = [
    "ordinal/orders/v1/orders.proto",
    "ordinal/orders/v1/journal.proto",
    "ordinal/orders/v1/order_payment.proto",
    // The details of a refusal in a stream, for clients that use reflection.
    "google/rpc/error_details.proto",
];
const INCLUDE: &str = "../proto";
/// Large fields of requests that pass through many hands: a message that is moved is copied. So are
/// the orders of all answers to commands, which `main` finds.
const BOXED: [&str; 3] = [
    "PlaceOrderRequest.address",
    "PlaceOrderRequest.billing_address",
    "PlaceOrderRequest.expected",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={INCLUDE}/ordinal/orders");
    println!("cargo::rerun-if-changed={INCLUDE}/google");
    println!("cargo::rerun-if-changed={INCLUDE}/ordinal/policy");
    println!("cargo::rerun-if-changed=migrations");
    let mut compiler = protox::Compiler::new([INCLUDE])?;
    compiler.include_source_info(true).include_imports(true).open_files(PROTOS)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Only the compiler's own encoding keeps `google.api.http`.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let mut descriptors = compiler.file_descriptor_set();
    // Options are read from the descriptors; nothing uses them as code.
    descriptors.file.retain(|file| !["google.api", "ordinal.policy.v1"].contains(&file.package()));
    // What answers a command, as a call or in a stream, has both of these fields.
    let mut answers = Vec::new();
    for message in descriptors.file.iter().flat_map(|file| &file.message_type) {
        let has = |name: &str| message.field.iter().any(|field| field.name() == name);
        if has("order") && has("replayed") {
            answers.push(format!("{}.order", message.name()));
        }
    }
    let boxed = BOXED.into_iter().chain(answers.iter().map(String::as_str));
    boxed
        .fold(tonic_prost_build::configure(), |builder, field| builder.boxed(field))
        .build_client(true)
        .build_server(true)
        // In one order, always: what is shown, compared and written twice is the same twice.
        .btree_map(".")
        .include_file("tree.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
