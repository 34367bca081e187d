# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
# shellcheck shell=bash disable=SC2034
# Sourced by tools/quickstart and tools/run-tests: the one list of Debian packages, and what both do
# with packages, progress and the build.

# Needed to build the program.
BUILD_PACKAGES=(gcc libc6-dev pkg-config meson ninja-build libdpdk-dev libconfig-dev libssl-dev)
# Needed on top of that to run the quickstart: namespaces, real ping, a userland IPsec peer.
RUN_PACKAGES=(iproute2 iputils-ping ethtool python3 python3-cryptography)
# Needed on top of both to run every test.
TEST_PACKAGES=(check clang clang-format shellcheck man-db python3-pytest python3-scapy
	python3-hypothesis python3-matplotlib iperf3 curl procps valgrind)

PYTHON=/usr/bin/python3 # not whatever python3 is first in PATH: Debian's has the packages above
export PYTHONDONTWRITEBYTECODE=1

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${SPINAT_BUILD:-$ROOT/build}
STARTED=${EPOCHREALTIME/[.,]/}

# Prints a line with the seconds that have passed.
say() {
	local us=$((${EPOCHREALTIME/[.,]/} - STARTED))

	printf '[%4d.%d s] %s\n' $((us / 1000000)) $((us / 100000 % 10)) "$*"
}

# Prints a sentence to standard error and ends the script.
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

need_root() {
	[[ $EUID -eq 0 ]] || die "needs root, since it makes network namespaces: run it with sudo."
}

# Runs a command; its output is shown only when it fails.
quietly() {
	local log rc=0

	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	[[ $rc -eq 0 ]] || tail -n 60 "$log" >&2
	rm -f "$log"
	return "$rc"
}

# Installs those of the given packages that are missing. The package lists are fetched only when
# what they name could not be had.
install_packages() {
	local missing=() p

	for p in "$@"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] ||
			missing+=("$p")
	done
	[[ ${#missing[@]} -eq 0 ]] && return 0

	say "installing ${missing[*]}"
	apt_install "${missing[@]}" >/dev/null 2>&1 && return 0
	say "fetching the package lists first"
	quietly apt-get update -q || return 1
	quietly apt_install "${missing[@]}"
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
		-o Acquire::Retries=2 "$@" </dev/null
}

# configure DIRECTORY OPTION...: a meson build directory with these options, made or changed.
configure() {
	local dir=$1

	shift
	if [[ -f $dir/build.ninja ]]; then
		quietly meson configure "$dir" "$@"
	else
		quietly meson setup "$dir" "$ROOT" "$@"
	fi
}

# compile DIRECTORY: ninja shows on a terminal how far it is; elsewhere only what failed is shown.
compile() {
	if [[ -t 1 ]]; then
		ninja -C "$1"
	else
		quietly ninja --quiet -C "$1"
	fi
}
