/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <string.h>

#include "config/reader.h"

/* Text file to libconfig tree. */

int
conf_parse_file(const char *path, config_t *cfg, struct spinat_conf_error *err)
{
	const char *slash = strrchr(path, '/');
	char dir[SPINAT_PATH_LEN + 1] = "/";
	const char *file;

	if (slash != NULL && slash != path)
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (conf_scan(path, slash != NULL ? dir : NULL, err) != 0)
		return -EINVAL;
	config_init(cfg);
	/* Includes are relative to the file that includes them, not to where the process runs. */
	if (slash != NULL)
		config_set_include_dir(cfg, dir);
	if (config_read_file(cfg, path) == CONFIG_TRUE)
		return 0;
	file = config_error_file(cfg);
	snprintf(err->text, sizeof(err->text), "%s:%d: %s", file != NULL ? file : path,
		config_error_line(cfg), config_error_text(cfg));
	config_destroy(cfg);
	return -EINVAL;
}
