# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What the end-to-end tests stand on: a guest with real IPsec peers, around the running box."""
