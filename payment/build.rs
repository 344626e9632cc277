//! Compiles the protos of payments, without a protoc to install.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let protos = PathBuf::from("../proto");
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=../proto/ordinal/payments");
    println!("cargo:rerun-if-changed=../proto/google");
    println!("cargo:rerun-if-changed=../proto/ordinal/policy");
    let mut compiler = protox::Compiler::new([&protos])?;
    compiler.include_source_info(true).include_imports(true);
    for file in ["payments", "payouts", "settlement"] {
        compiler.open_file(protos.join(format!("ordinal/payments/v1/{file}.proto")))?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Only the compiler's own encoding keeps `google.api.http`.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let mut descriptors = compiler.file_descriptor_set();
    // Options are read from the descriptors; nothing uses them as code.
    descriptors.file.retain(|file| !["google.api", "ordinal.policy.v1"].contains(&file.package()));
    tonic_prost_build::configure().include_file("tree.rs").compile_fds(descriptors)?;
    Ok(())
}
