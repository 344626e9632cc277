//! Compiles the proto of the fact feed, without an installed protoc, and keeps its descriptors for
//! reflection.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../proto/ordinal/facts");
    println!("cargo:rerun-if-changed=../proto/google");
    println!("cargo:rerun-if-changed=../proto/ordinal/policy");
    let mut compiler = protox::Compiler::new(["../proto"])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_file("ordinal/facts/v1/facts.proto")?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Only the compiler's own encoding keeps `google.api.http`.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let mut descriptors = compiler.file_descriptor_set();
    // Options are read from the descriptors; nothing uses them as code.
    descriptors.file.retain(|file| !["google.api", "ordinal.policy.v1"].contains(&file.package()));
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
