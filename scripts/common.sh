# Sourced by the other scripts: where the project is, and what it needs from Debian.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

# Installs what packages.txt lists and is missing, as root or through sudo. Everything there: nothing is asked of the network.
install_packages() {
    missing=""
    for package in $(grep -v '^#' packages.txt); do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "installing:$missing" >&2
    if [ "$(id -u)" = 0 ]; then
        run=""
    elif command -v sudo >/dev/null 2>&1; then
        run="sudo"
    else
        echo "these Debian packages are missing, and installing them needs root or sudo:$missing" >&2
        exit 3
    fi
    $run apt-get update -qq
    $run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

configure_and_build() {
    cmake --preset release >/dev/null
    cmake --build --preset release "$@"
}
