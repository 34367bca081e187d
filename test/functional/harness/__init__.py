# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What the functional tests stand on: namespaces, fake hosts, the running box, the wire checker."""
