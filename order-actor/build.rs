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
/// Large fields of messages that pass through many hands: a message that is moved is copied.
const BOXED: [&str; 19] = [
    "PlaceOrderRequest.address",
    "PlaceOrderRequest.billing_address",
    "PlaceOrderRequest.expected",
    "PlaceOrderResponse.order",
    "CancelOrderResponse.order",
    "FulfillOrderResponse.order",
    "RequestReturnResponse.order",
    "ApproveReturnResponse.order",
    "RejectReturnResponse.order",
    "ReceiveReturnResponse.order",
    "AddNoteResponse.order",
    "HoldOrderResponse.order",
    "ReleaseHoldResponse.order",
    "CorrectOrderResponse.order",
    "UpdateShipmentResponse.order",
    "RecordDeliveryResponse.order",
    "UndoShipmentResponse.order",
    "EditOrderResponse.order",
    "CommandOutcome.order",
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
    BOXED
        .iter()
        .fold(tonic_prost_build::configure(), |builder, field| builder.boxed(field))
        .build_client(true)
        .build_server(true)
        // In one order, always: what is shown, compared and written twice is the same twice.
        .btree_map(".")
        .include_file("tree.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
