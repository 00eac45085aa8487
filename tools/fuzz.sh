#!/usr/bin/env bash
# Fuzzes what reads bytes from outside (boxes, configuration, RTSP), on stable Rust: cargo-fuzz would want a nightly
# one, but what it needs of the compiler is there. Whatever makes a target panic lies in fuzz/artifacts/ afterwards.
#
#   tools/fuzz.sh [SECONDS [TARGET...]]       60 seconds each of all targets by default
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(boxes config rtsp_client rtsp_sdp rtsp_packets)

# A target given by name, so that build scripts and procedural macros are compiled without these flags.
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
"${CARGO:-cargo}" build --release --target "$host"

"$CARGO_TARGET_DIR/$host/release/seeds"
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "artifacts/$target"
    "$CARGO_TARGET_DIR/$host/release/$target" "corpus/$target" -max_total_time="$seconds" -max_len=65536 \
        -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="artifacts/$target/"
done
