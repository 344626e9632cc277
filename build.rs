//! Compiles the protos: the admin service of this package as code, and all services
//! as descriptors, by which the command line writes requests and shows answers.

use std::path::{Path, PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let admin = protox::compile(["ordinal/admin/v1/admin.proto"], ["proto"])?;
    std::fs::write(out.join("admin_descriptor.bin"), admin.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(admin)?;

    let mut protos = Vec::new();
    find(Path::new("proto"), &mut protos)?;
    protos.sort();
    let all = protox::compile(protos, ["proto"])?;
    std::fs::write(out.join("ordinal_descriptor.bin"), all.encode_to_vec())?;
    Ok(())
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
