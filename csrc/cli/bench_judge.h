/* cli/bench_judge.h: one answer for a program that asks: is the candidate really faster than the
 * incumbent, and still right? */
#ifndef KERNMILL_CLI_BENCH_JUDGE_H
#define KERNMILL_CLI_BENCH_JUDGE_H

#include <jansson.h>
#include <stdbool.h>

/* From the cells of a suite that was narrowed to the two (km_suite_narrow):
 * { "verdict": ..., "reason": ..., "seconds": ..., "cells": [...] }; the caller's.
 *
 * faster: in a cell or more, and in none slower; slower: in a cell or more, and in none faster;
 * mixed: both; same: in all; undecided: some cells are open; wrong: the candidate is not right in
 * every cell. `accepted` is set for faster alone. */
json_t *km_bench_judge(const json_t *cells, const char *candidate, const char *incumbent,
                       double seconds, bool *accepted);

#endif
