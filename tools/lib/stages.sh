#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
# One stage of tools/run-tests, in a process of its own: stages.sh NAME.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

stage_packages() {
	install_packages "${BUILD_PACKAGES[@]}" "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
	[[ -d $PROGRAMS ]] || unpack_packages "$PROGRAMS" "${UNPACKED_PACKAGES[@]}"
}

stage_build() {
	configure "$BUILD" -Dtests=true
	compile "$BUILD"
}

# unit_tests DIRECTORY: runs them all and shows Check's summary line of each.
unit_tests() {
	local rc=0

	meson test -C "$1" --no-rebuild --suite unit --timeout-multiplier 3 --print-errorlogs || rc=1
	grep -E '^[0-9]+%: Checks: ' "$1/meson-logs/testlog.txt" || rc=1
	return "$rc"
}

stage_unit() {
	unit_tests "$BUILD"
}

stage_sanitize() {
	configure "$BUILD-asan" -Dtests=true -Db_sanitize=address,undefined -Db_lundef=false
	compile "$BUILD-asan"
	unit_tests "$BUILD-asan"
}

stage_clang() {
	CC=clang configure "$BUILD-clang" -Dtests=true -Dwerror=true
	compile "$BUILD-clang"
}

stage_format() {
	find "$ROOT/app" "$ROOT/lib" "$ROOT/test" "$ROOT/tools" -name '*.[ch]' -print0 |
		xargs -0 clang-format --dry-run -Werror
}

# Everything that asks for a shell in its first line, or is there to be sourced by one.
stage_shellcheck() {
	cd "$ROOT"
	find .ci tools test -type f ! -name '*.[chp]*' -print0 |
		xargs -0 grep -lZE '^#!.*[ /](ba)?sh( |$)|^# shellcheck shell=' |
		xargs -0 shellcheck -x
}

stage_tools() {
	SPINAT_BIN=$BUILD/app/spinat "$PYTHON" -m pytest -p no:cacheprovider "$ROOT/test/tools"
}

stage_instructions() {
	SPINAT_BUILD=$BUILD "$PYTHON" -m pytest -p no:cacheprovider "$ROOT/test/bench"
}

stage_functional() {
	SPINAT_BIN=$BUILD/app/spinat "$PYTHON" -m pytest -p no:cacheprovider \
		"$ROOT/test/functional"
}

stage_quickstart() {
	SPINAT_BUILD=$BUILD "$ROOT/tools/quickstart"
}

"stage_$1"
