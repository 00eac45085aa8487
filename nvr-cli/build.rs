//! How programs are linked: the command, and the benchmarks of it.

fn main() {
    println!("cargo:rerun-if-env-changed=CARGO_CFG_TARGET_OS");
    if std::env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|os| os == "linux") {
        // Where the program lies is written into it at its start, from a table that takes 2 MB of memory, and packed 0.1 MB
        // (`DT_RELR`). glibc reads it from 2.36 on and musl from 1.2.4, which all systems with GStreamer 1.22 have.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
