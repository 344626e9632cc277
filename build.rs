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
    descriptors.file.retain(|file| !["google.api", "ordinal.policy.v1"].contains(&file.package()));
    tonic_prost_build::configure().compile_fds(descriptors)?;

    let mut protos = Vec::new();
    find(Path::new("proto"), &mut protos)?;
    protos.sort();
    let all = compiled(&protos)?;
    every_method_has_a_policy(all.descriptor_pool())?;
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

/// A method without a policy could be called by nobody, and its author would not know why.
fn every_method_has_a_policy(pool: protox::prost_reflect::DescriptorPool) -> Result<(), String> {
    let policy = pool.get_extension_by_name("ordinal.policy.v1.policy").ok_or("no policy")?;
    let ours = pool.services().filter(|service| service.full_name().starts_with("ordinal."));
    for method in ours.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if !method.options().has_extension(&policy) {
            let name = method.full_name();
            return Err(format!(
                "{name} does not say who may call it: option (ordinal.policy.v1.policy)"
            ));
        }
    }
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
