//! Migrations are compiled in: a changed or new one triggers a new build.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
