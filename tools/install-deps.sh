#!/usr/bin/env bash
# Installs what a set of tasks needs, on Debian and its relatives. Instant when all is there.
#
#   tools/install-deps.sh [build|run|ui|test|bench|lint|v4l2|deb|test-deb|test-prometheus|container|test-container|test-kubernetes ...]      (default: build run)
set -euo pipefail

build=(build-essential pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev)
run=(gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
     gstreamer1.0-plugins-ugly gstreamer1.0-libav tzdata)
test=(mosquitto python3-aiosmtpd ffmpeg chromium chromium-driver jq python3-venv bindfs iproute2 openssl)
# The S3 service of the tests, in an environment of its own.
moto="moto[s3,server]==5.2.5"
moto_dir="${HOME:?}/.local/share/nvr-test-tools"
# Azure's service and a WebDAV server of the tests, each by itself as well.
azurite="azurite@3.37.0"
azurite_dir="${HOME:?}/.local/share/nvr-test-tools-azurite"
wsgidav=("WsgiDAV==4.4.0" "cheroot==11.1.2")
wsgidav_dir="${HOME:?}/.local/share/nvr-test-tools-webdav"
# For building the page. A newer Node.js than Debian's serves as well.
ui=(nodejs npm)
bench=(wrk)
# The compiler and what libcamera needs are for the test of cameras on boards.
v4l2=(qemu-system-x86 cpio xz-utils build-essential libyaml-0-2 libdw1 libunwind8 libevent-2.1-7)
test_deb=(lintian mmdebstrap systemd systemd-container curl jq)
test_prometheus=(prometheus)
container=(buildah)
test_container=(mmdebstrap procps python3)
# The schemas of Kubernetes, in an environment of their own.
kubernetes_validate="kubernetes-validate==1.37.0"
kubernetes_dir="${HOME:?}/.local/share/nvr-test-tools-kubernetes"

say() { printf 'install-deps: %s\n' "$*" >&2; }

# Whether there is a Node.js that can build the page, wherever it came from.
node_serves() {
    command -v npm >/dev/null || return 1
    local major
    major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) || return 1
    ((major >= 18))
}

packages=()
tools=()
with_services=
with_kubernetes=
for set in "${@:-build run}"; do
    # The default is two sets in one word.
    for name in $set; do
        case "$name" in
        build) packages+=("${build[@]}") ;;
        run) packages+=("${run[@]}") ;;
        ui) node_serves || packages+=("${ui[@]}") ;;
        test)
            packages+=("${test[@]}"); tools+=(cargo-nextest); with_services=1
            node_serves || packages+=("${ui[@]}")
            ;;
        bench) packages+=("${bench[@]}") ;;
        lint) tools+=(cargo-deny) ;;
        v4l2) packages+=("${v4l2[@]}") ;;
        deb) tools+=(cargo-deb) ;;
        test-deb) packages+=("${test_deb[@]}") ;;
        test-prometheus) packages+=("${test_prometheus[@]}") ;;
        test-container) packages+=("${container[@]}" "${test_container[@]}") ;;
        container) packages+=("${container[@]}") ;;
        test-kubernetes) packages+=(python3-venv) && with_kubernetes=1 ;;
        *) say "unknown set '$name' (build, run, ui, test, bench, lint, v4l2, deb, test-deb, test-prometheus, container, test-container, test-kubernetes)"; exit 2 ;;
        esac
    done
done

missing=()
if ((${#packages[@]})); then
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: install these by hand: ${packages[*]}"
    else
        for package in "${packages[@]}"; do
            status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
            [[ $status == "install ok installed" ]] || missing+=("$package")
        done
    fi
fi

if ((${#missing[@]})); then
    sudo=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || { say "run as root, or install sudo: missing ${missing[*]}"; exit 1; }
        sudo=(sudo)
    fi
    say "installing ${missing[*]}"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # A machine that has just started may be installing its updates: wait for it.
    apt() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=600 "$@" >>"$log" 2>&1; }
    # The lists may be stale or absent: try with them, then update once.
    if ! apt install -y --no-install-recommends "${missing[@]}"; then
        if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; }; then
            cat "$log" >&2
            say "apt-get failed"
            exit 1
        fi
    fi
fi

if ! command -v cargo >/dev/null; then
    say "cargo is missing: install Rust from https://rustup.rs"
    exit 1
fi
for tool in ${tools[@]+"${tools[@]}"}; do
    if ! command -v "$tool" >/dev/null; then
        say "installing $tool (this takes some minutes)"
        cargo install --quiet --locked "$tool"
    fi
done
if [[ -n $with_services && ! -x $moto_dir/bin/moto_server ]]; then
    say "installing moto in $moto_dir"
    python3 -m venv "$moto_dir"
    "$moto_dir/bin/pip" install --quiet --disable-pip-version-check "$moto"
fi
if [[ -n $with_services && ! -x $azurite_dir/node_modules/.bin/azurite-blob ]]; then
    say "installing azurite in $azurite_dir"
    npm install --silent --no-fund --no-audit --prefix "$azurite_dir" "$azurite"
fi
if [[ -n $with_services && ! -x $wsgidav_dir/bin/wsgidav ]]; then
    say "installing WsgiDAV in $wsgidav_dir"
    python3 -m venv "$wsgidav_dir"
    "$wsgidav_dir/bin/pip" install --quiet --disable-pip-version-check "${wsgidav[@]}"
fi
if [[ -n $with_kubernetes && ! -x $kubernetes_dir/bin/kubernetes-validate ]]; then
    say "installing kubernetes-validate in $kubernetes_dir"
    python3 -m venv "$kubernetes_dir"
    "$kubernetes_dir/bin/pip" install --quiet --disable-pip-version-check "$kubernetes_validate"
fi
