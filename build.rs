//! Compiles the protos: the admin service of this package as code, and all services
//! as descriptors, by which the command line writes requests and shows answers.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let admin = compiled(&[PathBuf::from("ordinal/admin/v1/admin.proto")])?;
    std::fs::write(out.join("admin_descriptor.bin"), admin.encode_file_descriptor_set())?;
    let mut descriptors = admin.file_descriptor_set();
    // Options are read from the descriptors; nothing uses them as code.
    descriptors.file.retain(|file| file.package() != "google.api");
    tonic_prost_build::configure().compile_fds(descriptors)?;

    let mut protos = Vec::new();
    find(Path::new("proto"), &mut protos)?;
    protos.sort();
    let all = compiled(&protos)?;
    std::fs::write(out.join("ordinal_descriptor.bin"), all.encode_file_descriptor_set())?;
    Ok(())
}

/// With comments and imports. Only the compiler's own encoding keeps `google.api.http`: the types
/// of a decoded descriptor set have no place for options of others.
fn compiled(protos: &[PathBuf]) -> Result<protox::Compiler, protox::Error> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(protos)?;
    Ok(compiler)
}

fn find(folder: &Path, protos: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, protos)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            protos.push(path);
        }
    }
    Ok(())
}
