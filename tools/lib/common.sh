# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
# shellcheck shell=bash disable=SC2034
# Sourced by tools/quickstart and tools/run-tests: the one list of Debian packages, and what both do
# with packages, progress and the build.

# Needed to build the program.
BUILD_PACKAGES=(gcc libc6-dev pkg-config meson ninja-build libdpdk-dev libconfig-dev
	libssl-dev libfixbuf-dev)
# Needed on top of that to run the quickstart: namespaces, real ping, a userland IPsec peer.
RUN_PACKAGES=(iproute2 iputils-ping ethtool python3 python3-cryptography)
# Needed on top of both to run every test.
TEST_PACKAGES=(check clang clang-format shellcheck man-db dpdk-dev python3-pytest python3-scapy
	python3-hypothesis python3-matplotlib iperf3 curl procps valgrind bind9-dnsutils wireguard-go
	wireguard-tools libfixbuf-tools libevent-2.1-7 libevent-core-2.1-7 libevent-extra-2.1-7
	libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libfstrm0 libhiredis0.14 libmariadb3
	libpcre2-8-0 libpq5 libprotobuf-c1 libsqlite3-0)
# Servers that the tests start themselves. Installed, these would start now and at every boot, so
# they are only unpacked; what they link with is installed above.
UNPACKED_PACKAGES=(coturn nginx nsd)

PYTHON=/usr/bin/python3 # not whatever python3 is first in PATH: Debian's has the packages above
export PYTHONDONTWRITEBYTECODE=1

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${SPINAT_BUILD:-$ROOT/build}
PROGRAMS=${SPINAT_PROGRAMS:-/var/cache/spinat-programs}
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

# unpack_packages DIRECTORY PACKAGE...: a folder with the files of Debian packages, none of which is
# installed or started.
unpack_packages() {
	local dir=$1 p

	shift
	rm -rf "$dir.new" "$dir.debs"
	mkdir -p "$dir.new" "$dir.debs"
	say "unpacking $*"
	if ! download_packages "$dir.debs" "$@" >/dev/null 2>&1; then
		say "fetching the package lists first"
		quietly apt-get update -q || return 1
		quietly download_packages "$dir.debs" "$@" || return 1
	fi
	for p in "$dir.debs"/*.deb; do
		dpkg -x "$p" "$dir.new" || return 1
	done
	rm -r "$dir.debs"
	rm -rf "$dir"
	mv "$dir.new" "$dir"
}

download_packages() (
	cd "$1" && shift && apt-get -q -o APT::Sandbox::User=root download "$@"
)

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
