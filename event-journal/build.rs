//! Migrations are part of the program: one that changes or comes is compiled in again.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
