//! Compiles the message service's proto, without a protoc to install.

use std::error::Error;
use std::path::PathBuf;

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let protos = PathBuf::from("../proto");
    println!("cargo::rerun-if-changed=../proto/ordinal/notifications");
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=templates");
    let proto = protos.join("ordinal/notifications/v1/notifications.proto");
    let descriptors = protox::compile([proto], [&protos])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
