/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

/* Not instrumented itself: see meson.build. */

#define LINE 64

extern const char __executable_start; /* the linker's */

static __thread struct bench_record *record;

int
bench_record_create(struct bench_record *r, uint32_t lines)
{
	r->mask = lines - 1;
	r->used = r->lost = 0;
	r->lines = calloc(lines, sizeof(*r->lines));
	return r->lines != NULL ? 0 : -1;
}

void
bench_record_clear(struct bench_record *r)
{
	for (uint32_t i = 0; i <= r->mask; i++)
		r->lines[i] = (struct bench_line){.line = 0};
	r->used = r->lost = 0;
}

void
bench_record_to(struct bench_record *r)
{
	record = r;
}

/* Where a line is, or the free place where it belongs. */
static struct bench_line *
place(const struct bench_record *r, uintptr_t line)
{
	uint32_t i = line * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	while (r->lines[i & r->mask].line != line && r->lines[i & r->mask].line != 0)
		i++;
	return &r->lines[i & r->mask];
}

const struct bench_line *
bench_record_find(const struct bench_record *r, uintptr_t line)
{
	const struct bench_line *l = place(r, line);

	return l->line != 0 ? l : NULL;
}

static void
note_line(struct bench_record *r, uintptr_t line, bool write, uintptr_t pc)
{
	struct bench_line *l = place(r, line);

	if (l->line == 0) {
		if (r->used > r->mask / 4 * 3) {
			r->lost++;
			return;
		}
		r->used++;
		l->line = line;
	}
	if (write && l->writes++ == 0)
		l->writer = pc;
	else if (!write && l->reads++ == 0)
		l->reader = pc;
}

static void
note(const volatile void *p, size_t size, bool write, const void *from)
{
	const uintptr_t first = (uintptr_t)p, last = first + size - 1;

	if (record == NULL || size == 0)
		return;
	for (uintptr_t line = first / LINE; line <= last / LINE; line++)
		note_line(record, line, write, (uintptr_t)from - (uintptr_t)&__executable_start);
}

/* What gcc calls; the prefix has no other use. */
#define FROM __builtin_return_address(0)
#define ACCESS(name, size, write)           \
	void __tsan_##name(void *p);        \
	void __tsan_##name(void *p)         \
	{                                   \
		note(p, size, write, FROM); \
	}
ACCESS(read1, 1, false)
ACCESS(read2, 2, false)
ACCESS(read4, 4, false)
ACCESS(read8, 8, false)
ACCESS(read16, 16, false)
ACCESS(write1, 1, true)
ACCESS(write2, 2, true)
ACCESS(write4, 4, true)
ACCESS(write8, 8, true)
ACCESS(write16, 16, true)
ACCESS(unaligned_read2, 2, false)
ACCESS(unaligned_read4, 4, false)
ACCESS(unaligned_read8, 8, false)
ACCESS(unaligned_read16, 16, false)
ACCESS(unaligned_write2, 2, true)
ACCESS(unaligned_write4, 4, true)
ACCESS(unaligned_write8, 8, true)
ACCESS(unaligned_write16, 16, true)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *p, size_t size);
void __tsan_write_range(void *p, size_t size);
void __tsan_atomic_thread_fence(int order);

void
__tsan_init(void)
{
}

void
__tsan_func_entry(void *caller)
{
	(void)caller;
}

void
__tsan_func_exit(void)
{
}

void
__tsan_read_range(void *p, size_t size)
{
	note(p, size, false, FROM);
}

void
__tsan_write_range(void *p, size_t size)
{
	note(p, size, true, FROM);
}

void
__tsan_atomic_thread_fence(int order)
{
	(void)order; /* the strongest is right for all */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#define ATOMICS(bits, type)                                                         \
	type __tsan_atomic##bits##_load(const volatile type *p, int order);         \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order);      \
	int __tsan_atomic##bits##_compare_exchange_strong(                          \
		volatile type *p, type *expected, type v, int order, int failed);   \
	int __tsan_atomic##bits##_compare_exchange_weak(                            \
		volatile type *p, type *expected, type v, int order, int failed);   \
	type __tsan_atomic##bits##_load(const volatile type *p, int order)          \
	{                                                                           \
		(void)order;                                                        \
		note(p, sizeof(type), false, FROM);                                 \
		return __atomic_load_n(p, __ATOMIC_SEQ_CST);                        \
	}                                                                           \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order)       \
	{                                                                           \
		(void)order;                                                        \
		note(p, sizeof(type), true, FROM);                                  \
		__atomic_store_n(p, v, __ATOMIC_SEQ_CST);                           \
	}                                                                           \
	int __tsan_atomic##bits##_compare_exchange_strong(                          \
		volatile type *p, type *expected, type v, int order, int failed)    \
	{                                                                           \
		(void)order;                                                        \
		(void)failed;                                                       \
		note(p, sizeof(type), true, FROM);                                  \
		return __atomic_compare_exchange_n(                                 \
			p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	}                                                                           \
	int __tsan_atomic##bits##_compare_exchange_weak(                            \
		volatile type *p, type *expected, type v, int order, int failed)    \
	{                                                                           \
		return __tsan_atomic##bits##_compare_exchange_strong(               \
			p, expected, v, order, failed);                             \
	}
#define CHANGE(bits, type, name)                                                \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order); \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order)  \
	{                                                                       \
		(void)order;                                                    \
		note(p, sizeof(type), true, FROM);                              \
		return __atomic_##name(p, v, __ATOMIC_SEQ_CST);                 \
	}
#define CHANGES(bits, type)           \
	ATOMICS(bits, type)           \
	CHANGE(bits, type, fetch_add) \
	CHANGE(bits, type, fetch_sub) \
	CHANGE(bits, type, fetch_and) \
	CHANGE(bits, type, fetch_or)  \
	CHANGE(bits, type, fetch_xor)
CHANGES(8, uint8_t)
CHANGES(16, uint16_t)
CHANGES(32, uint32_t)
CHANGES(64, uint64_t)

/* Calls of these go to __wrap_NAME, by the linker's --wrap. */
void *__real_memcpy(void *to, const void *from, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int c, size_t size);
int __real_memcmp(const void *a, const void *b, size_t size);
void *__wrap_memcpy(void *to, const void *from, size_t size);
void *__wrap_memmove(void *to, const void *from, size_t size);
void *__wrap_memset(void *to, int c, size_t size);
int __wrap_memcmp(const void *a, const void *b, size_t size);

void *
__wrap_memcpy(void *to, const void *from, size_t size)
{
	note(from, size, false, FROM);
	note(to, size, true, FROM);
	return __real_memcpy(to, from, size);
}

void *
__wrap_memmove(void *to, const void *from, size_t size)
{
	note(from, size, false, FROM);
	note(to, size, true, FROM);
	return __real_memmove(to, from, size);
}

void *
__wrap_memset(void *to, int c, size_t size)
{
	note(to, size, true, FROM);
	return __real_memset(to, c, size);
}

int
__wrap_memcmp(const void *a, const void *b, size_t size)
{
	note(a, size, false, FROM);
	note(b, size, false, FROM);
	return __real_memcmp(a, b, size);
}
